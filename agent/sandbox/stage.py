"""The stage of the demo: a repository, an agent, and commands that are shown as they are run."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from agent.sandbox.cluster import SandboxCluster
from agent.sandbox.registry import SandboxRegistry

_NAMESPACE = "flux"
_SPACE = "demo"
_TIMEOUT = 60.0
_REPOSITORY = "acme/shop"
_NOTIFY = "/api/flux/v11/notify"
_PERSON = {"NAME": "Ann", "EMAIL": "ann@example.com"}
_ACCESS = Path(__file__).resolve().parents[2] / "deploy" / "flux-access.yaml"
_KEPT_FOR = 7 * 86400
"""Seconds for which the token holds that the plugin is given where there is no kubectl to ask for one."""

_GROUPS = {"deployment": ("apps", "deployments"), "configmap": ("", "configmaps")}


class StageError(Exception):
    """Something did not come out as told."""


class Stage:
    """Runs and shows; a context manager that starts and ends the agent."""

    def __init__(self, folder: Path, cluster: SandboxCluster, registry: SandboxRegistry) -> None:
        self._folder = folder
        self._cluster = cluster
        self._registry = registry
        self.tree = folder / "config"
        self.kubeconfig = cluster.kubeconfig(folder / "kubeconfig", _SPACE)
        self._kubectl = shutil.which("kubectl")
        self._address = ""
        self._token = ""
        self._agent: subprocess.Popen[bytes] | None = None
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def __enter__(self) -> Self:
        """Make the repository and start the agent."""
        self._git("init", "-q", "--bare", "-b", "master", str(self._folder / "config.git"), cwd=self._folder)
        self._git("init", "-q", "-b", "master", str(self.tree), cwd=self._folder)
        self._git("remote", "add", "origin", f"file://{self._folder}/config.git")
        self._serve()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the agent as Kubernetes would."""
        if self._agent is not None and self._agent.poll() is None:
            self._agent.send_signal(signal.SIGTERM)
            try:
                self._agent.wait(20)
            except subprocess.TimeoutExpired:
                self._agent.kill()

    # -- what is shown ------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A line for the reader."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def title(self, text: str) -> None:
        """The heading of a chapter."""
        self.say(f"\n\033[1m{text}\033[0m" if self._colour else f"\n== {text}")

    def flux(self, *arguments: str, expect: int = 0) -> str:
        """`kubectl flux …`; what it said on both streams."""
        if self._kubectl:
            return self._show(["kubectl", "flux", *arguments], expect=expect)
        command = ["kubectl-flux", f"--url=http://{self._address}", *arguments]
        return self._show(
            command, expect=expect, shown=f"kubectl flux --url=http://{self._address} {shlex.join(arguments)}"
        )

    def get(self, *objects: str, missing: bool = False) -> None:
        """Show objects of the cluster; with `missing` they are expected to be gone."""
        if self._kubectl:
            self._show(["kubectl", "get", *objects, "-n", _SPACE], expect=1 if missing else 0)
            return
        for name in objects:
            kind, _, instance = name.partition("/")
            group, plural = _GROUPS[kind]
            found = self._cluster.get(plural, _SPACE, instance, group=group)
            text = json.dumps({"spec": found.get("spec"), "data": found.get("data")})[:300] if found else "not found"
            self.say(f"\n(no kubectl here) {name}: {text}")

    def scale(self, deployment: str, replicas: int) -> None:
        """What a person does by hand."""
        if self._kubectl:
            self._show(["kubectl", "scale", f"deployment/{deployment}", "-n", _SPACE, f"--replicas={replicas}"])
            return
        path = f"/apis/apps/v1/namespaces/{_SPACE}/deployments/{deployment}?fieldManager=kubectl-edit"
        body = {"spec": {"replicas": replicas}}
        self.say(f"\n(no kubectl here) PATCH {path} {json.dumps(body)}")
        self._ask("PATCH", path, body, "application/merge-patch+json")

    def image(self, tag: str) -> str:
        """The shop's image in the registry."""
        return f"{self._registry.host}/{_REPOSITORY}:{tag}"

    def push_image(self, tag: str, created: float) -> None:
        """A new image appears in the registry, shown."""
        self.say(f"\n(pushed {self.image(tag)})")
        self._registry.push(_REPOSITORY, tag, created)

    def commit(self, message: str) -> None:
        """Commit everything and push, shown."""
        self._git("add", "-A")
        self._show(["git", "commit", "--quiet", "-m", message], cwd=self.tree)
        self._show(["git", "push", "--quiet", "origin", "master"], cwd=self.tree)

    def tell_of_image(self) -> None:
        """What a registry's webhook says of a push, at the address of Flux v1's flux-recv, shown."""
        notice = {"Kind": "image", "Source": {"Name": f"{self._registry.host}/{_REPOSITORY}"}}
        self.say(f"\n(a webhook) POST http://{self._address}{_NOTIFY} {json.dumps(notice)}")
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT)
        try:
            connection.request("POST", _NOTIFY, json.dumps(notice), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            self.say(answer.read().decode().strip())
            if answer.status >= 300:
                raise StageError(f"the webhook was answered with {answer.status}")
        finally:
            connection.close()

    def await_commit(self, *words: str) -> None:
        """Wait until the branch has a commit of the agent that says these words, shown.

        Raises:
            StageError: It has none.
        """
        deadline = time.monotonic() + _TIMEOUT
        while not all(word in self._newest_subject() for word in words):
            if time.monotonic() > deadline:
                raise StageError(f"the agent made no commit that says {' '.join(words)}")
            time.sleep(0.05)
        self.say(f"\n(a moment later, in git: {self._newest_subject().strip()})")

    def pull(self) -> None:
        """Take the agent's commits into the work tree, shown."""
        self._show(["git", "pull", "--quiet", "--rebase", "origin", "master"], cwd=self.tree)

    def show_commit(self) -> None:
        """The newest commit with what it changes."""
        self._show(["git", "--no-pager", "show", "--unified=0", "--no-color"], cwd=self.tree)

    def show_log(self) -> None:
        """The newest commits."""
        self._show(["git", "--no-pager", "log", "--max-count=4", "--format=%h %an: %s", "--no-color"], cwd=self.tree)

    def show_diff(self) -> None:
        """What is about to be committed."""
        self._show(["git", "--no-pager", "diff", "--unified=0", "--no-color"], cwd=self.tree)

    def _show(self, command: list[str], *, expect: int = 0, cwd: Path | None = None, shown: str = "") -> str:
        self.say(f"\n$ {shown or shlex.join(command)}")
        done = subprocess.run(
            command,
            cwd=cwd,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        sys.stdout.write(done.stdout)
        if done.returncode != expect:
            raise StageError(f"`{shlex.join(command)}` ended with {done.returncode} instead of {expect}")
        if expect:
            self.say(f"(exit code {done.returncode})")
        return done.stdout

    # -- behind the scenes --------------------------------------------------------------------------------------------

    def write(self, files: dict[str, str]) -> None:
        """Files of the work tree."""
        for name, text in files.items():
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def remove(self, *files: str) -> None:
        """Take files out of the work tree, shown."""
        self._show(["git", "rm", "--quiet", *files], cwd=self.tree)

    def expect(self, plural: str, name: str, holds: Callable[[Any], bool]) -> None:
        """Check what the cluster has now.

        Raises:
            StageError: It is something else.
        """
        found = self._cluster.get(plural, _SPACE, name, group="apps" if plural == "deployments" else "")
        if not holds(found):
            raise StageError(f"{plural}/{name} is not as it should be: {found}")

    def agent_log(self) -> str:
        """The end of what the agent said."""
        log = self._folder / "flux-agent.log"
        return log.read_text(encoding="utf-8", errors="replace")[-4000:] if log.exists() else ""

    def _newest_subject(self) -> str:
        """What the newest commit of the branch says first."""
        bare = self._folder / "config.git"
        command = ["git", "log", "--max-count=1", "--format=%s", "master"]
        done = subprocess.run(
            command, cwd=bare, env=self._environment(), capture_output=True, text=True, timeout=_TIMEOUT, check=True
        )
        return done.stdout

    def _git(self, *arguments: str, cwd: Path | None = None) -> None:
        subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.tree,
            env=self._environment(),
            check=True,
            timeout=_TIMEOUT,
            stdin=subprocess.DEVNULL,
        )

    def _environment(self) -> dict[str, str]:
        person = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _PERSON.items()}
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        own = {"KUBECONFIG": str(self.kubeconfig), "XDG_CACHE_HOME": str(self._folder / "home")}
        token = {"FLUX_TOKEN": self._token} if self._token else {}
        return {**os.environ, **person, **nobody, "PATH": programs, **own, **token}

    def _serve(self) -> None:
        """Start the agent and put a Service in front of it."""
        http, grpc = _free_port(), _free_port()
        self._address = f"127.0.0.1:{http}"
        flags = [
            f"--git-url=file://{self._folder}/config.git",
            f"--kubeconfig={self.kubeconfig}",
            f"--listen={self._address}",
            f"--listen-grpc=127.0.0.1:{grpc}",
            f"--cache-dir={self._folder}/cache",
            "--k8s-default-namespace=default",
            "--sync-garbage-collection",
            f"--registry-insecure-host={self._registry.host}",
        ]
        with (self._folder / "flux-agent.log").open("wb") as log:
            self._agent = subprocess.Popen(
                [sys.executable, "-m", "agent", *flags],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._install(http, grpc)
        self._await_agent()

    def _install(self, http: int, grpc: int) -> None:
        """What an installation makes besides the agent's own pod: a Service, and who may use it."""
        self._ask(
            "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}
        )
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "flux", "namespace": _NAMESPACE, "labels": {"app": "flux", "name": "flux"}},
            "spec": {
                "selector": {"app": "flux"},
                "ports": [{"name": "http", "port": http}, {"name": "grpc", "port": grpc}],
            },
        }
        self._ask("POST", f"/api/v1/namespaces/{_NAMESPACE}/services", service)
        self._cluster.route(_NAMESPACE, "flux", "127.0.0.1", http)
        for obj in yaml.load_all(_ACCESS.read_bytes(), yaml.CSafeLoader):
            namespace = obj["metadata"].get("namespace")
            place = f"/namespaces/{namespace}" if namespace else ""
            root = "/api" if obj["apiVersion"] == "v1" else "/apis"
            self._ask("POST", f"{root}/{obj['apiVersion']}{place}/{obj['kind'].lower()}s", obj)
        if not self._kubectl:
            path = f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts/flux-operator/token"
            wanted = {"audiences": [f"flux:{_NAMESPACE}/flux"], "expirationSeconds": _KEPT_FOR}
            self._token = self._ask("POST", path, {"spec": wanted})["status"]["token"]

    def _await_agent(self) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while time.monotonic() < deadline:
            if self._is_ready():
                return
            if self._agent is not None and self._agent.poll() is not None:
                break
            time.sleep(0.05)
        raise StageError(f"the agent did not start\n{self.agent_log()}")

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self._address, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: dict[str, Any], content_type: str = "application/json") -> Any:
        """One request to the cluster's API, and its answer."""
        connection = http.client.HTTPConnection(self._cluster.url.removeprefix("http://"), timeout=_TIMEOUT)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": content_type})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                raise StageError(f"{method} {path} was answered with {answer.status}: {text[:300]!r}")
            return json.loads(text)
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
