"""The one place that starts git: own process group, deadline, stop event, bounded output, clean environment.

A child is read by polling with short waits, so that the deadline and the stop event end it within a tick, with
everything it started (ssh, index-pack, helpers). What it says is scrubbed of the secrets of every URL in its
environment before anybody sees it. Neighbours: `environment` (what it may see), `diagnosis` (what it means).
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from agent.git.diagnosis import diagnose
from agent.git.environment import child_environment
from agent.git.url import scrubbed
from agent.model.errors import GitError, StoppedError

MAX_OUTPUT = 256 * 1024 * 1024
"""Bytes of standard output; more is an error."""
MAX_COMPLAINT = 4096
"""Bytes of standard error that are kept, the last ones: git's verdict comes at the end."""

_TICK = 0.05
"""Seconds between two looks at the deadline and the stop event."""
_LINGER = 1.0
"""Seconds that a grandchild may hold the pipes after git has ended, such as an ssh that stays connected."""
_PATIENCE = 2.0
"""Seconds that a terminated git has to remove its lock files before it is killed."""
_CHUNK = 65536
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x1f\x7f]")
_NOISE = re.compile(r"hint: |Please make sure you have the correct access rights|and the repository exists\.|To \S+$")


class CommandError(GitError):
    """A git command failed.

    Attributes:
        status: Its exit code; None where it was ended before it had one.
        complaint: What it said, on one line, without secrets.
    """

    def __init__(
        self, message: str, *, status: int | None, complaint: str = "", hint: str = "", temporary: bool = False
    ) -> None:
        super().__init__(message, hint=hint, temporary=temporary)
        self.status = status
        self.complaint = complaint


@dataclass(slots=True)
class _Output:
    """What a child wrote so far."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    cut: bool = False

    def take(self, name: str, data: bytes) -> None:
        """Keep what was read: all of stdout, the end of stderr."""
        if name == "stdout":
            self.stdout += data
        else:
            self.stderr += data
            self.cut = self.cut or len(self.stderr) > MAX_COMPLAINT
            del self.stderr[:-MAX_COMPLAINT]

    @property
    def words(self) -> str:
        """The end of stderr; cut at a space, so that no half of a secret escapes scrubbing."""
        text = self.stderr.decode(errors="replace")
        return re.sub(r"^\S*", "", text) if self.cut else text


@dataclass(frozen=True, slots=True)
class _Limits:
    """When a child is to be ended: `deadline` on the monotonic clock, `timeout` the seconds it was given."""

    deadline: float
    timeout: float
    stop: threading.Event

    def check(self, verb: str, output: _Output) -> None:
        if self.stop.is_set():
            raise StoppedError(f"git {verb} was ended because the agent is shutting down")
        if time.monotonic() >= self.deadline:
            raise CommandError(
                f"git {verb} did not finish within {self.timeout:g} s",
                status=None,
                hint="check that the git server can be reached, or raise --git-timeout",
                temporary=True,
            )
        if len(output.stdout) > MAX_OUTPUT:
            raise CommandError(f"git {verb} wrote more than {MAX_OUTPUT} bytes", status=None)


def run(
    args: Sequence[str],
    *,
    cwd: Path,
    timeout: float,
    stop: threading.Event,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> bytes:
    """Run `git` with these arguments (the first is its verb) and return what it wrote to standard output.

    Args:
        args: The verb and its arguments; never a secret.
        cwd: The working directory.
        timeout: Seconds until it is ended.
        stop: Ends it at once when set.
        env: Variables on top of the allow-list of `environment`.
        stdin: What it reads.

    Raises:
        CommandError: It failed, ran too long, wrote too much or could not be started.
        StoppedError: `stop` was set.
    """
    environment = child_environment(os.environ, env or {})
    limits = _Limits(time.monotonic() + timeout, timeout, stop)
    output = _Output()
    limits.check(args[0], output)
    with ExitStack() as stack:
        child = _start(args, cwd, environment, stack.enter_context(_input(args[0], stdin)))
        stack.callback(_close, child)
        try:
            status = _watch(child, args[0], limits, output)
        except BaseException:
            _kill_group(child)
            raise
    if status != 0:
        raise _failure(args[0], status, output.words, environment.values())
    return bytes(output.stdout)


def _input(verb: str, stdin: bytes) -> IO[bytes]:
    try:
        return _file_of(stdin)
    except OSError as error:
        raise CommandError(
            f"git {verb} was not started, its input could not be written: {error}",
            status=None,
            hint="make room for temporary files",
        ) from error


def _file_of(stdin: bytes) -> IO[bytes]:
    """Standard input as a file: a child that writes before it has read all of a pipe would block both sides."""
    if not stdin:
        return open(os.devnull, "rb")  # noqa: PTH123 - os.devnull is a string
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's stack closes it
    try:
        file.write(stdin)
        file.seek(0)
    except OSError:
        with suppress(OSError):  # what could not be written cannot be flushed either
            file.close()
        raise
    return file


def _start(args: Sequence[str], cwd: Path, environment: dict[str, str], stdin: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            ["git", *args],
            cwd=cwd,
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a group to kill, and no terminal for ssh to ask on
        )
    except OSError as error:
        lacks_git = error.filename == "git"
        raise CommandError(
            f"git {args[0]} could not be started: {error}",
            status=None,
            hint="install git" if lacks_git else "",
            temporary=not lacks_git,  # else the folder is gone, and the next fetch makes it anew
        ) from error


def _watch(child: subprocess.Popen[bytes], verb: str, limits: _Limits, output: _Output) -> int:
    """Read both pipes until they are closed and the child has ended; its exit code."""
    ended_at = 0.0
    with selectors.DefaultSelector() as selector:
        for name, stream in (("stdout", child.stdout), ("stderr", child.stderr)):
            selector.register(stream, selectors.EVENT_READ, name)  # type: ignore[arg-type] # pipes, as started
        while selector.get_map():
            limits.check(verb, output)
            for key, _ in selector.select(_TICK):
                data = os.read(key.fd, _CHUNK)
                output.take(key.data, data)
                if not data:
                    selector.unregister(key.fileobj)
            if child.poll() is not None:
                ended_at = ended_at or time.monotonic()
                if time.monotonic() - ended_at > _LINGER:
                    _kill_group(child)
                    break
    while child.poll() is None:
        limits.check(verb, output)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_TICK)
    return child.returncode


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """End the child with all it started: git gets a moment to remove its lock files, what is left is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_PATIENCE)


def _close(child: subprocess.Popen[bytes]) -> None:
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def _failure(verb: str, status: int, words: str, values: Iterable[str]) -> CommandError:
    """The error that a failed child's own words make."""
    urls = [value for value in values if "://" in value or "@" in value]
    complaint = one_line(scrubbed(words, urls))
    diagnosis = diagnose(complaint)
    return CommandError(
        f"git {verb} failed: {complaint or f'it ended with status {status} and said nothing'}",
        status=status,
        complaint=complaint,
        hint=diagnosis.hint,
        temporary=diagnosis.temporary,
    )


def one_line(text: str) -> str:
    """Git's and the server's words on one line: without control characters, advice and empty lines."""
    lines = (_CONTROL.sub("", line).strip() for line in text.replace("\r", "\n").splitlines())
    return "; ".join(line for line in lines if line and not _NOISE.match(line))
