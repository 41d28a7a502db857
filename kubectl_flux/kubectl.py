"""`kubectl proxy` as a child process of one command: started at once, waited for when it is needed, always ended.

Where unix sockets exist it listens on one, in a folder that only this user may enter; on Windows on a free port under a
random prefix. It lets through nothing but the agent's paths and the list of Services. A tiny shell stands by and ends
it, and removes the folder, should this process die without saying so. Credential plugins talk to people: stdin is
inherited and stderr passed on, but for kubectl's own log lines, which are kept back for our error sentence.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from shutil import rmtree
from typing import IO, TYPE_CHECKING, Self, cast

from kubectl_flux.errors import UnreachableError

if TYPE_CHECKING:
    from kubectl_flux.options import ClusterAccess
    from kubectl_flux.wait import Deadline

ACCEPTED_PATHS = (
    "^/api/v1/namespaces/{namespace}/services/[^/]+/proxy/flux[.]v1[.]Flux/[A-Za-z]+$",
    "^/api/v1/(namespaces/{namespace}/)?services$",
)
REJECTED_METHODS = "^(PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE)$"

_OWN_LINE = re.compile(rb"[EWIF]\d{4} \d\d:\d\d:\d\d|error: |Error: ")
_READY = re.compile(rb"Starting to serve on (\S+)")
_KEPT_BACK = 4096
_WATCH = 'read _; kill "$1"; rm -rf "$2"'
_LONGEST_SOCKET_PATH = 100


class KubectlProxy:
    """One running `kubectl proxy`; a context manager that ends it.

    Attributes:
        prefix: What stands before every path sent to it.
    """

    def __init__(self, cluster: ClusterAccess, namespace: str = "", *, unix_socket: bool = os.name == "posix") -> None:
        """Start it for the agent in this namespace, empty for any.

        Raises:
            UnreachableError: There is no kubectl.
        """
        self._folder = _private_folder() if unix_socket else ""
        self.prefix = "" if unix_socket else f"/{os.urandom(16).hex()}"
        self._watcher: subprocess.Popen[bytes] | None = None
        self._first_line: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        command = [*proxy_command(cluster, namespace), *self._listen_flags()]
        try:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            self._remove_folder()
            raise UnreachableError(
                f"kubectl cannot be run: {error.strerror}", hint="Install kubectl, or use --url to reach the agent."
            ) from error
        self._complaints = _Relay(cast("IO[bytes]", self._process.stderr))
        threading.Thread(target=self._read_stdout, name="kubectl-stdout", daemon=True).start()
        if unix_socket:
            self._watcher = _watch(self._process.pid, self._folder)

    def address(self, deadline: Deadline) -> str:
        """Where it listens, once it does: a socket's path, or `host:port`.

        Raises:
            UnreachableError: It ended instead, or is not ready in time.
        """
        try:
            line = self._first_line.get(timeout=deadline.left())
        except queue.Empty:
            raise UnreachableError("kubectl proxy was not ready in time") from None
        self._first_line.put(line)
        ready = _READY.match(line)
        if ready is None:
            self._complaints.join()
            said = self._complaints.kept_back().removeprefix("error: ") or "it ended without a word"
            raise UnreachableError(f"kubectl cannot reach the cluster: {said}", hint="Try: kubectl cluster-info")
        return os.fsdecode(ready[1])

    def close(self) -> None:
        """End it and remove its folder."""
        self._process.terminate()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._complaints.join()
        self._remove_folder()
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen_flags(self) -> list[str]:
        if self._folder:
            return [f"--unix-socket={self._folder}/s"]
        return ["--port=0", f"--api-prefix={self.prefix}/"]

    def _read_stdout(self) -> None:
        with cast("IO[bytes]", self._process.stdout) as stdout:
            self._first_line.put(stdout.readline(_KEPT_BACK))
            while stdout.read(_KEPT_BACK):
                pass

    def _remove_folder(self) -> None:
        if self._folder:
            rmtree(self._folder, ignore_errors=True)


def proxy_command(cluster: ClusterAccess, namespace: str) -> list[str]:
    """The arguments that start it, but for where it listens."""
    accepted = ",".join(path.replace("{namespace}", namespace or "[^/]+") for path in ACCEPTED_PATHS)
    named = {"context": cluster.context, "kubeconfig": cluster.kubeconfig, "as": cluster.as_user}
    return [
        "kubectl",
        "proxy",
        f"--accept-paths={accepted}",
        f"--reject-methods={REJECTED_METHODS}",
        "--append-server-path",
        *(f"--{name}={value}" for name, value in named.items() if value),
        *(f"--as-group={group}" for group in cluster.as_groups),
    ]


class _Relay:
    """Passes a child's stderr on to ours as it comes, but for the lines that are kubectl's own."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = b""
        self._thread = threading.Thread(target=self._run, name="kubectl-stderr", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the child's stderr is closed; a grandchild that keeps it open is not waited for."""
        self._thread.join(timeout=1)

    def kept_back(self) -> str:
        """The last lines that were not passed on."""
        return self._kept.decode(errors="replace").strip()

    def _run(self) -> None:
        with self._stream as stream:
            start_of_line = True
            ours = False
            while chunk := os.read(stream.fileno(), _KEPT_BACK):
                for line in chunk.splitlines(keepends=True):
                    ours = bool(_OWN_LINE.match(line)) if start_of_line else ours
                    start_of_line = line.endswith(b"\n")
                    self._kept = (self._kept + line)[-_KEPT_BACK:] if ours else self._kept
                    if not ours:
                        sys.stderr.write(line.decode(errors="replace"))
                        sys.stderr.flush()


def _private_folder() -> str:
    """A new folder that only this user may enter, its path short enough for a socket's name."""
    folder = tempfile.mkdtemp(prefix="kubectl-flux-")
    if len(folder) > _LONGEST_SOCKET_PATH:
        Path(folder).rmdir()
        folder = tempfile.mkdtemp(prefix="kubectl-flux-", dir="/tmp")
    return folder


def _watch(pid: int, folder: str) -> subprocess.Popen[bytes] | None:
    """Start the shell that ends the proxy when this process is gone; it waits for the end of its stdin, our pipe."""
    with contextlib.suppress(OSError):
        return subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "kubectl-flux-watch", str(pid), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return None
