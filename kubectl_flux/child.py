"""One kubectl beside one command: started at once, waited for when it is needed, always ended.

A tiny shell stands by and ends it, and removes its folder, should this process die without saying so. Credential
plugins talk to people: stdin is inherited and stderr passed on, but for kubectl's own log lines, which are kept back
for our error sentences. What kubectl is asked to do is not known here: see `kubectl`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
from shutil import rmtree
from typing import IO, TYPE_CHECKING, cast

from kubectl_flux.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubectl_flux.wait import Deadline

_OWN_LINE = re.compile(rb"[EWIF]\d{4} \d\d:\d\d:\d\d|error: |Error: |Error from server")
_LOG_LINE = re.compile(r'[EWIF]\d{4} \S+ +\d+ \S+\] (?:".*?" err="(?P<error>.*)"|(?P<rest>.*))')
_KEPT_BACK = 4096
_WATCH = 'read _; kill "$1"; rm -rf "$2"'


class Child:
    """One running kubectl that says on its first line where it listens.

    Args:
        command: What to run.
        folder: A folder of its own, removed with it; empty for none.
    """

    def __init__(self, command: Sequence[str], folder: str = "") -> None:
        """Start it.

        Raises:
            UnreachableError: There is no kubectl.
        """
        self._folder = folder
        self._what = " ".join(command[:2])
        self._first_line: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._watcher: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            self._remove_folder()
            raise UnreachableError(
                f"kubectl cannot be run: {error.strerror}", hint="Install kubectl, or use --url to reach the agent."
            ) from error
        self._complaints = _Relay(cast("IO[bytes]", self._process.stderr))
        threading.Thread(target=self._read_stdout, name="kubectl-stdout", daemon=True).start()
        if os.name == "posix":
            self._watcher = _watch(self._process.pid, self._folder)

    def first_line(self, deadline: Deadline) -> bytes:
        """Its first line on stdout, once there is one; empty where it ended instead.

        Raises:
            UnreachableError: There is none in time.
        """
        try:
            line = self._first_line.get(timeout=deadline.left())
        except queue.Empty:
            raise UnreachableError(f"{self._what} was not ready in time") from None
        self._first_line.put(line)
        return line

    def last_words(self) -> str:
        """Why it ended: the lines that it wrote for itself, waited for."""
        self._complaints.join()
        return self.complaint() or "it ended without a word"

    def complaint(self) -> str:
        """What it has complained of so far, without the head of its log lines; empty where nothing."""
        said = self._complaints.kept_back().removeprefix("error: ")
        logged = _LOG_LINE.fullmatch(said.rpartition("\n")[2])
        return (logged["error"] or logged["rest"] or said) if logged else said

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

    def _read_stdout(self) -> None:
        with cast("IO[bytes]", self._process.stdout) as stdout:
            self._first_line.put(stdout.readline(_KEPT_BACK))
            while stdout.read(_KEPT_BACK):
                pass

    def _remove_folder(self) -> None:
        if self._folder:
            rmtree(self._folder, ignore_errors=True)


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


def _watch(pid: int, folder: str) -> subprocess.Popen[bytes] | None:
    """Start the shell that ends the child when this process is gone; it waits for the end of its stdin, our pipe."""
    with contextlib.suppress(OSError):
        return subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "kubectl-flux-watch", str(pid), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return None
