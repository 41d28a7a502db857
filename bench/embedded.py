"""An agent on an embedded cluster and registry: the stage for what depends on no control plane.

The agent is the real program in a process of its own, with the default `--auth=token`, behind a Service of the cluster;
`kubectl flux` reaches it through the cluster's proxy and signs in with the ServiceAccounts of `deploy/`. Cluster and
registry are those of `make demo`, together in another process.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml
from journal import Journal
from repository import BRANCH, Remote
from standins import StandIns

ROOT = Path(__file__).resolve().parents[1]
INSIDE = Path(__file__).with_name("inside.py")
ACCESS = ROOT / "deploy" / "flux-access.yaml"
PROGRAMS = Path(sys.executable).parent
NAMESPACE = "flux"
LONG = 1800.0
_TIMEOUT = 60.0
_LOOK = 0.1
_FLAGS = (
    f"--git-branch={BRANCH}",
    "--git-poll-interval=1h",
    "--sync-interval=1h",
    "--sync-timeout=30m",
    f"--k8s-agent-namespace={NAMESPACE}",
    "--log-format=json",
)


class EmbeddedError(Exception):
    """The agent did not do what was waited for; the message carries the end of its log."""


class Embedded:
    """Cluster, registry and repository; a context manager. The agent runs between `start` and `stop`."""

    def __init__(self) -> None:
        self._cleanup = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Starts all but the agent."""
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
            self._cleanup.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.standins = self._cleanup.enter_context(StandIns(self.folder, "--cluster"))
            self._cleanup.callback(self.stop)
            self.remote = Remote(self.folder / "git")
            self.log = self.folder / "flux-agent.log"
            self.journal = Journal(self.log)
            self._address = f"127.0.0.1:{_free_port()}"
            self._install()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def pid(self) -> int:
        """The agent's process."""
        if self._process is None:
            raise EmbeddedError("the agent is not running")
        return self._process.pid

    @property
    def cache(self) -> Path:
        """The agent's cache folder."""
        return self.folder / "cache"

    def start(self, *flags: str) -> None:
        """Starts the real program and waits until it has synced and is ready."""
        known = len(self.journal.syncs())
        place = [
            f"--git-url={self.remote.url}",
            f"--kubeconfig={self.standins.served['kubeconfig']}",
            f"--listen={self._address}",
            "--listen-grpc=127.0.0.1:0",
            f"--cache-dir={self.cache}",
            f"--registry-insecure-host={self.standins.registry}",
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAMS / "flux-agent", *place, *_FLAGS, *flags],
                env={**os.environ, "KUBECONFIG": "", "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_for(self._is_ready, "the agent")
        self.journal.wait_for(known + 1, LONG)

    def stop(self) -> None:
        """Ends the agent as Kubernetes would."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_TIMEOUT)

    def wait_for(self, condition: Callable[[], bool], what: str, timeout: float = LONG) -> None:
        """Looks every tenth of a second.

        Raises:
            EmbeddedError: The agent has ended, or it was not so in time.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise EmbeddedError(f"waited for {what} in vain:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(_LOOK)

    def run(self, *command: str, times: int = 1) -> dict[str, Any]:
        """Runs a command so many times as `inside.py` does, with `kubectl flux` leading to the agent."""
        environment = {
            **os.environ,
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "KUBECONFIG": self.standins.served["kubeconfig"],
            "XDG_CACHE_HOME": str(self.folder / "home"),
        }
        done = subprocess.run(
            [sys.executable, INSIDE, "run", str(times), *command],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=LONG,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _install(self) -> None:
        """What an installation makes besides the agent's own pod: a Service, and who may use it."""
        self._post("/api/v1/namespaces", _object("Namespace", NAMESPACE))
        port = int(self._address.rpartition(":")[2])
        service = _object("Service", "flux", NAMESPACE)
        service["spec"] = {"selector": {"app": "flux"}, "ports": [{"name": "http", "port": port}]}
        self._post(f"/api/v1/namespaces/{NAMESPACE}/services", service)
        self.standins.ask(do="route", namespace=NAMESPACE, service="flux", port=port)
        for found in yaml.load_all(ACCESS.read_bytes(), yaml.CSafeLoader):
            namespace = found["metadata"].get("namespace")
            root = "/api" if found["apiVersion"] == "v1" else "/apis"
            place = f"/namespaces/{namespace}" if namespace else ""
            self._post(f"{root}/{found['apiVersion']}{place}/{found['kind'].lower()}s", found)

    def _post(self, path: str, body: dict[str, Any]) -> None:
        address = self.standins.served["cluster"].removeprefix("http://")
        with contextlib.closing(http.client.HTTPConnection(address, timeout=_TIMEOUT)) as connection:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status >= http.HTTPStatus.MULTIPLE_CHOICES:
                raise EmbeddedError(f"POST {path}: HTTP {answer.status}: {answer.read()[:500]!r}")

    def _is_ready(self) -> bool:
        with contextlib.closing(http.client.HTTPConnection(self._address, timeout=_TIMEOUT)) as connection:
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.HTTPStatus.OK
            except OSError:
                return False


def _object(kind: str, name: str, namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app": "flux"}} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
