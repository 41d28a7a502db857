"""The agent as it is deployed: manifests applied to a control plane, and the real program behind its Service.

Each agent has a namespace and a simulated Node of its own. The pod of its Deployment shares the Node's address, where
the process listens, so commands travel through the API server's proxy as in a real cluster. The process signs in with
the token of its ServiceAccount and has the rights that the manifests grant, never the administrator's.
"""

from __future__ import annotations

import contextlib
import http
import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from controlplane.door import DoorError
from controlplane.plane import PlaneError, tail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controlplane.plane import ControlPlane

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BINDINGS = ("flux", "flux-viewer", "flux-operator")
KUSTOMIZATION = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
PROGRAMS = Path(sys.executable).parent
HTTP_PORT = 3030
GRPC_PORT = 3032
READY_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0


class AgentError(Exception):
    """The agent did not start, or did not end well; the message carries the end of its log."""


class DeployedAgent:
    """One agent: deployed on construction, running between `start` and `stop`, any number of times."""

    def __init__(self, plane: ControlPlane, folder: Path, namespace: str, installed: Path | None = None) -> None:
        """`folder` must exist and be the agent's own.

        `installed` holds what `kubectl flux install -o` wrote for this namespace; None takes `deploy/`. Both make it.
        """
        self.plane = plane
        self.folder = folder
        self.namespace = namespace
        self.log = folder / "flux-agent.log"
        self.node = plane.add_node()
        self._process: subprocess.Popen[bytes] | None = None
        self._owned = [f"clusterrolebinding/{name}-{namespace}" for name in BINDINGS] if installed is None else []
        self._overlay = folder / "overlay"
        overlay = _of_deploy(self._overlay, namespace) if installed is None else _of_files(self._overlay, installed)
        overlay["patches"] = [*overlay.get("patches", ()), *_placing(self.node.name)]
        (self._overlay / "kustomization.yaml").write_text(yaml.safe_dump(KUSTOMIZATION | overlay, sort_keys=False))
        plane.kubectl("apply", "-k", self._overlay)
        self.kubeconfig = plane.kubeconfig_for(plane.token(namespace, "flux"), folder / "agent.kubeconfig")

    @property
    def listen(self) -> str:
        """Where HTTP is served inside the plane, `host:port`."""
        return f"{self.node.ip}:{HTTP_PORT}"

    @property
    def listen_grpc(self) -> str:
        """Where native gRPC is served inside the plane, `host:port`."""
        return f"{self.node.ip}:{GRPC_PORT}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process.

        Raises:
            AgentError: it was not started, or was stopped.
        """
        if self._process is None:
            raise AgentError("The agent is not running.")
        return self._process

    def start(self, *flags: str, env: Mapping[str, str] | None = None) -> Self:
        """Starts `flux-agent` with `flags` after the ones that place it, and waits until the Service leads to it.

        Raises:
            AgentError: it ended, or was not ready in time.
        """
        place = [
            f"--kubeconfig={self.kubeconfig}",
            f"--listen={self.listen}",
            f"--listen-grpc={self.listen_grpc}",
            f"--cache-dir={self.folder / 'cache'}",
            f"--k8s-agent-namespace={self.namespace}",
        ]
        self._process = self.plane.popen(
            [PROGRAMS / "flux-agent", *place, *flags],
            log=self.log,
            env={"HOME": str(self.folder), "KUBECONFIG": "", **(env or {})},
            name=f"flux-agent in {self.namespace}",
        )
        self._wait_until_served()
        return self

    def stop(self) -> None:
        """Asks the process to end, as the kubelet does. Does nothing when it is not running.

        Raises:
            AgentError: it did not end in time, or not with 0.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT)
            raise AgentError(
                f"flux-agent was still there {STOP_TIMEOUT:.0f} s after SIGTERM.\n{tail(self.log)}"
            ) from None
        if code != 0:
            raise AgentError(f"flux-agent ended with {code} after SIGTERM.\n{tail(self.log)}")

    def kill(self) -> None:
        """Ends the process as a power cut would."""
        self.process.kill()
        self.process.wait(STOP_TIMEOUT)
        self._process = None

    def remove(self) -> None:
        """Stops the process and takes what was deployed out of the cluster, without waiting for that."""
        try:
            self.stop()
        finally:
            self.plane.kubectl("delete", "--wait=false", f"namespace/{self.namespace}", f"node/{self.node.name}")
            if self._owned:
                self.plane.kubectl("delete", *self._owned)
            else:
                self.plane.kubectl("delete", "--ignore-not-found", "--wait=false", "-k", self._overlay)

    def kubectl_flux(
        self, *arguments: str, user: str = "admin", check: bool = True, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Runs `kubectl flux …` through the real kubectl as one of the plane's users, pointed at this agent.

        Raises:
            PlaneError: `check` and it failed; with its stderr.
        """
        return self.plane.run(
            ["kubectl", "flux", *arguments], env=self.plugin_environment(user), check=check, timeout=timeout
        )

    def plugin_environment(self, user: str = "admin") -> dict[str, str]:
        """What `kubectl flux` needs in its environment to be found by kubectl and to find this agent."""
        return {
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.plane.kubeconfig_of(user)),
            "FLUX_FORWARD_NAMESPACE": self.namespace,
        }

    def proxy_path(self, path: str = "", port: str = "http") -> str:
        """The API server's path that leads to the agent, for `kubectl get --raw` and `ControlPlane.api`."""
        return f"/api/v1/namespaces/{self.namespace}/services/flux:{port}/proxy/{path.lstrip('/')}"

    def http(self, path: str) -> tuple[int, bytes]:
        """GETs a path of the agent directly: status and body."""
        return self.plane.http(self.node.ip, HTTP_PORT, path)

    def _wait_until_served(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        while not (self._answers() and self._is_reached()):
            if self.process.poll() is not None:
                raise AgentError(f"flux-agent ended with {self.process.returncode}.\n{tail(self.log)}")
            if time.monotonic() > deadline:
                raise AgentError(f"flux-agent was not ready after {READY_TIMEOUT:.0f} s.\n{tail(self.log)}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, DoorError, http.client.HTTPException):
            return self.http("/readyz")[0] == http.HTTPStatus.OK
        return False

    def _is_reached(self) -> bool:
        with contextlib.suppress(OSError, DoorError, PlaneError):
            self.plane.raw(self.proxy_path("/healthz"))
            return True
        return False


def _of_deploy(folder: Path, namespace: str) -> dict[str, Any]:
    """An overlay of `deploy/` as a user would write one: another namespace, and bindings that are this agent's own."""
    folder.mkdir()
    renamed = [
        _patch("ClusterRoleBinding", [("replace", "/metadata/name", f"{name}-{namespace}")], name) for name in BINDINGS
    ]
    return {
        "namespace": namespace,
        "resources": [os.path.relpath(DEPLOY.resolve(), folder.resolve())],
        "patches": renamed,
    }


def _of_files(folder: Path, installed: Path) -> dict[str, Any]:
    """An overlay of manifests that need nothing changed but where the pod runs."""
    shutil.copytree(installed, folder)
    return {"resources": sorted(path.name for path in folder.glob("*.yaml"))}


def _placing(node: str) -> list[dict[str, object]]:
    """The patches that give the pod the simulated Node's address, which a restricted namespace would not allow."""
    privileged = [("replace", "/metadata/labels/pod-security.kubernetes.io~1enforce", "privileged")]
    here = [("add", "/spec/template/spec/hostNetwork", True), ("add", "/spec/template/spec/nodeName", node)]
    return [_patch("Namespace", privileged), _patch("Deployment", here)]


def _patch(kind: str, operations: Sequence[tuple[str, str, object]], name: str = "") -> dict[str, object]:
    steps = [{"op": op, "path": path, "value": value} for op, path, value in operations]
    return {"target": {"kind": kind} | ({"name": name} if name else {}), "patch": yaml.safe_dump(steps)}
