"""A real Kubernetes control plane, without kubelets, in a network namespace of its own.

etcd, the API server, the controller manager, the scheduler and kwok run as plain processes; kwok plays the kubelets, so
pods become Running and Ready with no container behind them. Every address of 10.99.0.0/16 is local inside: that is the
"pod network", and the API server's proxy reaches what listens there when a hostNetwork pod of a Node with that address
stands behind a Service. Planes do not see one another, so any number may run at once. Processes are ended by their own
ids, and end with the thread that started the plane: start it in the main thread.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from controlplane.build import STAGES, build
from controlplane.door import Door, DoorError, enter_command
from controlplane.programs import (
    HOST,
    KWOK_FLAGS,
    NEW_KEY,
    PORT,
    SERVER,
    api_server_flags,
    authority_arguments,
    controller_flags,
    etcd_flags,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

START_TIMEOUT = 90.0
# Each user's token is its name and `-token`. Only admin may do anything before RBAC grants it.
USERS: Mapping[str, tuple[str, ...]] = {
    "admin": ("system:masters",),
    "alice": ("team-a",),
    "bob": ("team-b",),
    "carol": (),
}
_READY_TAINT = "kubectl-flux/agent"


class PlaneError(Exception):
    """The control plane did not do what was asked; the message carries what its programs said."""


class Node(NamedTuple):
    """A simulated Node and the address its hostNetwork pods have."""

    name: str
    ip: str


class ControlPlane:
    """One control plane: a context manager, or `start` and `stop`."""

    def __init__(self, say: Callable[[str], None] = print, api_server_flags: Sequence[str] = ()) -> None:
        """`say` is told when the programs must be built first; `api_server_flags` come after the usual ones."""
        self._binaries = build(say)
        self._flags = list(api_server_flags)
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._addresses = itertools.count(10)
        self._cleanup = contextlib.ExitStack()

    def start(self) -> Self:
        """Starts everything and waits until a pod could run: a few seconds.

        Raises:
            PlaneError: a program ended or was not ready in time; with the last lines of its log.
        """
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="controlplane-"))
            self._cleanup.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.door = Door()
            self._cleanup.callback(self.door.close)
            self._cleanup.callback(self._kill_all)
            self._start_programs()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends every process that was started here, the namespace and the data. May be called twice."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- what runs inside ---------------------------------------------------------------------------------------------

    def run(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        input: str | None = None,  # noqa: A002  # subprocess.run's own name
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command inside to its end.

        Raises:
            PlaneError: `check` and it failed; with its stderr.
        """
        done = subprocess.run(
            [*enter_command(self.door.pid), *command],
            env={**self.environment, **(env or {})},
            input=input if input is not None else "",
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            words = " ".join(str(part) for part in command)
            raise PlaneError(f"`{words}` ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def popen(
        self, command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None, name: str = ""
    ) -> subprocess.Popen[bytes]:
        """Starts a process inside with stdout and stderr in `log`; it is ended with the plane at the latest."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*enter_command(self.door.pid), *command],
                env={**self.environment, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which end the rest in order
            )
        self._processes.append((name or str(command[0]), process))
        return process

    @property
    def environment(self) -> dict[str, str]:
        """What commands inside see: the caller's PATH, a home of their own, the administrator's kubeconfig."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.admin_kubeconfig),
            "LC_ALL": "C.UTF-8",
        }

    def kubectl(self, *arguments: str | Path, input: str | None = None, timeout: float = 60.0) -> str:  # noqa: A002
        """Runs kubectl inside as the administrator and returns its stdout.

        Raises:
            PlaneError: kubectl refused; with its words.
        """
        return self.run(["kubectl", *arguments], input=input, timeout=timeout).stdout

    # -- who may ask --------------------------------------------------------------------------------------------------

    @property
    def admin_kubeconfig(self) -> Path:
        """The administrator's kubeconfig, for use inside."""
        return self.folder / "admin.kubeconfig"

    @property
    def authority(self) -> Path:
        """The certificate that the API server's own is checked by."""
        return self.folder / "certificates" / "apiserver.crt"

    def kubeconfig_for(self, token: str, path: Path, *, namespace: str = "", server: str = SERVER) -> Path:
        """Writes a kubeconfig that signs in with a token; for use inside unless `server` says otherwise."""
        context = {"cluster": "plane", "user": "user"} | ({"namespace": namespace} if namespace else {})
        cluster = {"server": server, "certificate-authority": str(self.authority)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "plane", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "plane", "context": context}],
            "current-context": "plane",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path

    def kubeconfig_of(self, user: str) -> Path:
        """The kubeconfig of one of `USERS`, for use inside."""
        return self.kubeconfig_for(f"{user}-token", self.folder / f"{user}.kubeconfig")

    def client_certificate(self, user: str, folder: Path) -> tuple[Path, Path]:
        """Makes a certificate by which the API server knows a user, and its key; `folder` must exist."""
        certificate, key = folder / f"{user}.crt", folder / f"{user}.key"
        authority = ["-CA", self.folder / "client-ca.crt", "-CAkey", self.folder / "client-ca.key"]
        self.run(
            [
                "openssl",
                "req",
                "-x509",
                *NEW_KEY,
                "-subj",
                f"/CN={user}",
                *authority,
                "-keyout",
                key,
                "-out",
                certificate,
            ]
        )
        return certificate, key

    def token(self, namespace: str, service_account: str, *, duration: str = "1h", audience: str = "") -> str:
        """A fresh token of a ServiceAccount, as `kubectl create token` gives it."""
        wanted = [f"--audience={audience}"] if audience else []
        return self.kubectl(
            "create", "token", service_account, f"--namespace={namespace}", f"--duration={duration}", *wanted
        ).strip()

    # -- from outside -------------------------------------------------------------------------------------------------

    def outside_url(self) -> str:
        """An address of the API server for processes outside the namespace; each call opens a port of its own."""
        return f"https://localhost:{self.door.forward(HOST, PORT)}"

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request to the API server as the administrator, from this process.

        Raises:
            PlaneError: the answer is not a success; with its message.
            OSError: the API server cannot be reached.
        """
        answer: dict[str, Any] = json.loads(self.raw(path, method=method, body=json.dumps(body) if body else None))
        return answer

    def raw(self, path: str, *, method: str = "GET", body: str | bytes | None = None, user: str = "admin") -> bytes:
        """As `api`, with bytes in and out and as any of `USERS`: what `kubectl get --raw` does, in a millisecond."""
        headers = {"Authorization": f"Bearer {user}-token", "Content-Type": "application/json"}
        status, content = self.http(HOST, PORT, path, method=method, body=body, headers=headers)
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise PlaneError(f"{method} {path}: HTTP {status}: {content[:2000].decode(errors='replace').strip()}")
        return content

    def http(
        self,
        host: str,
        port: int,
        path: str,
        *,
        method: str = "GET",
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """One HTTP request from this process to an address inside: status and body. The API server's port means TLS."""
        connection = http.client.HTTPConnection(host, port, timeout=30.0)
        connection.sock = self._tls(host, port) if port == PORT else self.door.connect(host, port)
        connection.sock.settimeout(30.0)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()

    def _tls(self, host: str, port: int) -> socket.socket:
        context = ssl.create_default_context(cafile=str(self.authority))
        return context.wrap_socket(self.door.connect(host, port), server_hostname=host)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def add_node(self, *, tainted: bool = True) -> Node:
        """Adds a simulated Node with an address of its own; a tainted one takes only pods that name it.

        So a process that listens on the address is reached through the API server by a hostNetwork pod there.
        """
        number = next(self._addresses)
        node = Node(f"node-{number}", f"10.99.{number // 250}.{number % 250}")
        capacity = {"cpu": "1000", "memory": "1Ti", "pods": "100000"}
        taints = [{"key": _READY_TAINT, "effect": "NoSchedule"}] if tainted else []
        self.api(
            "POST",
            "/api/v1/nodes",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": node.name,
                    "annotations": {"kwok.x-k8s.io/node": "fake"},
                    "labels": {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"},
                },
                "spec": {"taints": taints},
                "status": {
                    "addresses": [
                        {"type": "InternalIP", "address": node.ip},
                        {"type": "Hostname", "address": node.name},
                    ],
                    "allocatable": capacity,
                    "capacity": capacity,
                },
            },
        )
        self._wait(lambda: self._node_is_ready(node), f"the simulated Node {node.name}")
        return node

    def _node_is_ready(self, node: Node) -> bool:
        live = self.api("GET", f"/api/v1/nodes/{node.name}")
        untouched = all(taint["key"] == _READY_TAINT for taint in live["spec"].get("taints", []))
        conditions = {one["type"]: one["status"] for one in live["status"].get("conditions", [])}
        return untouched and conditions.get("Ready") == "True"

    # -- the programs -------------------------------------------------------------------------------------------------

    def _start_programs(self) -> None:
        self.admin_kubeconfig.touch()
        self.run(["ip", "-batch", "-"], input=f"link set lo up\naddr add {HOST}/16 dev lo\n")
        self._program("server", "etcd", *etcd_flags(self.folder))
        lines = [f'{user}-token,{user},{user},"{",".join(groups)}"' for user, groups in USERS.items()]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        self.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "256", "-m", "PEM", "-N", "", "-f", self.folder / "sa.key"])
        self.run(["openssl", *authority_arguments(self.folder)])
        self._program("kube-apiserver", "kube-apiserver", *api_server_flags(self.folder), *self._flags)
        self._wait(self._has_certificate, "the API server's certificate")
        self.kubeconfig_for("admin-token", self.admin_kubeconfig)
        self._wait(self._is_ready, "the API server")
        config = f"--kubeconfig={self.admin_kubeconfig}"
        self._program("kube-controller-manager", "kube-controller-manager", config, *controller_flags(self.folder))
        self._program("kube-scheduler", "kube-scheduler", config, "--leader-elect=false")
        self._program("kwok", "kwok", config, f"--config={self._binaries / STAGES}", *KWOK_FLAGS)
        self.add_node(tainted=False)
        self._wait(self._has_default_account, "the controller manager")

    def _program(self, binary: str, name: str, *flags: str) -> None:
        self.popen([self._binaries / binary, *flags], log=self.folder / f"{name}.log", name=name)

    def _has_certificate(self) -> bool:
        return "END CERTIFICATE" in self.authority.read_text() and self.authority.with_suffix(".key").exists()

    def _is_ready(self) -> bool:
        return self.raw("/readyz") == b"ok"

    def _has_default_account(self) -> bool:
        return bool(self.api("GET", "/api/v1/namespaces/default/serviceaccounts/default"))

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """Polls, because what is waited for is another program's; a program that ended is told at once."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            with contextlib.suppress(OSError, DoorError, PlaneError, http.client.HTTPException):
                if condition():
                    return
            for name, process in self._processes:
                if process.poll() is not None and (self.folder / f"{name}.log").exists():
                    raise PlaneError(f"{name} ended with {process.returncode}:\n{tail(self.folder / f'{name}.log')}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"== {log.name}\n{tail(log)}" for log in sorted(self.folder.glob("*.log")))
                raise PlaneError(f"Gave up waiting for {what} after {START_TIMEOUT:.0f} s.\n{logs}")
            time.sleep(0.02)

    def _kill_all(self) -> None:
        """Nothing here has state worth saving, so nothing is asked to end politely."""
        for _, process in self._processes:
            process.kill()
        for _, process in self._processes:
            process.wait(30.0)
        self._processes.clear()


def tail(log: Path, lines: int = 40) -> str:
    """The last lines of a log file, for an error's text."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
