"""What kubectl is asked to do: `kubectl proxy`, and `kubectl port-forward` where the proxy does not reach the agent.

Where unix sockets exist the proxy listens on one, in a folder that only this user may enter; on Windows on a free port
under a random prefix. It lets through nothing but the agent's paths, the list of Services, and the requests for tokens
of the ServiceAccounts that were asked for.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kubectl_flux.child import Child
from kubectl_flux.errors import UnreachableError
from kubectl_flux.identity import USUAL_ACCOUNTS

if TYPE_CHECKING:
    from kubectl_flux.locate import Service
    from kubectl_flux.options import ClusterAccess
    from kubectl_flux.wait import Deadline

ACCEPTED_PATHS = (
    "^/api/v1/namespaces/{namespace}/services/[^/]+/proxy/flux[.]v1[.]Flux/[A-Za-z]+$",
    "^/api/v1/(namespaces/[^/]+/)?services$",
    "^/api/v1/namespaces/{account_namespace}/serviceaccounts/({accounts})/token$",
)
REJECTED_METHODS = "^(PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE)$"

_PROXY_READY = re.compile(rb"Starting to serve on (\S+)")
_FORWARD_READY = re.compile(rb"Forwarding from (127\.0\.0\.1:\d+) -> ")
_LONGEST_SOCKET_PATH = 100


class KubectlProxy:
    """One running `kubectl proxy`; a context manager that ends it.

    Args:
        cluster: Which API server, as whom.
        namespace: The agent's, empty for any.
        account: The ServiceAccount whose token may be asked for, `[NAMESPACE/]NAME`; empty for the usual ones.

    Attributes:
        prefix: What stands before every path sent to it.
    """

    def __init__(
        self, cluster: ClusterAccess, namespace: str = "", account: str = "", *, unix_socket: bool = os.name == "posix"
    ) -> None:
        """Start it.

        Raises:
            UnreachableError: There is no kubectl.
        """
        folder = _private_folder() if unix_socket else ""
        self.prefix = "" if unix_socket else f"/{os.urandom(16).hex()}"
        listen = [f"--unix-socket={folder}/s"] if unix_socket else ["--port=0", f"--api-prefix={self.prefix}/"]
        self._child = Child([*proxy_command(cluster, namespace, account), *listen], folder)

    def address(self, deadline: Deadline) -> str:
        """Where it listens, once it does: a socket's path, or `host:port`.

        Raises:
            UnreachableError: It ended instead, or is not ready in time.
        """
        ready = _PROXY_READY.match(self._child.first_line(deadline))
        if ready is None:
            raise UnreachableError(
                f"kubectl cannot reach the cluster: {self._child.last_words()}", hint="Try: kubectl cluster-info"
            )
        return os.fsdecode(ready[1])

    def close(self) -> None:
        """End it and remove its folder."""
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PortForward:
    """One running `kubectl port-forward` to a pod behind a Service, on a free port of loopback."""

    def __init__(self, cluster: ClusterAccess, service: Service) -> None:
        """Start it.

        Raises:
            UnreachableError: There is no kubectl.
        """
        self._child = Child(forward_command(cluster, service))

    def address(self, deadline: Deadline) -> str:
        """Where it listens, `host:port`, once it does.

        Raises:
            UnreachableError: It ended instead, or is not ready in time.
        """
        ready = _FORWARD_READY.match(self._child.first_line(deadline))
        if ready is None:
            raise UnreachableError(f"kubectl port-forward: {self._child.last_words()}")
        return os.fsdecode(ready[1])

    def complaint(self) -> str:
        """What it complains of while it runs, such as a port on which nothing listens; empty where nothing."""
        return self._child.complaint()

    def close(self) -> None:
        """End it."""
        self._child.close()


def proxy_command(cluster: ClusterAccess, namespace: str, account: str = "") -> list[str]:
    """The arguments that start the proxy, but for where it listens."""
    account_namespace, _, name = account.rpartition("/")
    values = {
        "{namespace}": namespace or "[^/]+",
        "{account_namespace}": account_namespace or namespace or "[^/]+",
        "{accounts}": "|".join([name] if name else USUAL_ACCOUNTS).replace(".", "[.]"),
    }
    paths = ",".join(ACCEPTED_PATHS)
    for placeholder, value in values.items():
        paths = paths.replace(placeholder, value)
    return [
        "kubectl",
        "proxy",
        f"--accept-paths={paths}",
        f"--reject-methods={REJECTED_METHODS}",
        "--append-server-path",
        *cluster_flags(cluster),
    ]


def forward_command(cluster: ClusterAccess, service: Service) -> list[str]:
    """The arguments that start a port-forward."""
    return [
        "kubectl",
        "port-forward",
        f"--namespace={service.namespace}",
        f"service/{service.name}",
        f":{service.port}",
        "--address=127.0.0.1",
        *cluster_flags(cluster),
    ]


def cluster_flags(cluster: ClusterAccess) -> list[str]:
    """The flags that kubectl itself has for which cluster, as whom."""
    named = {
        "context": cluster.context,
        "kubeconfig": cluster.kubeconfig,
        "cluster": cluster.cluster,
        "user": cluster.user,
        "certificate-authority": cluster.certificate_authority,
        "as": cluster.as_user,
        "as-uid": cluster.as_uid,
    }
    return [
        *(f"--{name}={value}" for name, value in named.items() if value),
        *(f"--as-group={group}" for group in cluster.as_groups),
        *(["--insecure-skip-tls-verify"] if cluster.insecure else []),
    ]


def _private_folder() -> str:
    """A new folder that only this user may enter, its path short enough for a socket's name."""
    folder = tempfile.mkdtemp(prefix="kubectl-flux-")
    if len(folder) > _LONGEST_SOCKET_PATH:
        Path(folder).rmdir()
        folder = tempfile.mkdtemp(prefix="kubectl-flux-", dir="/tmp")
    return folder
