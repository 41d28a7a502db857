"""The public half of the deploy key, worked out by ssh-keygen from the mounted private one.

The file may be replaced at any time: what was found is remembered for as long as the file stays the same. ssh-keygen
reads the file itself; the private key never passes through this process.
"""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from agent.git.command import one_line
from agent.model.errors import GitError

TIMEOUT = 5.0
"""Seconds that one ssh-keygen may take; it takes milliseconds."""

_INHERITED = ("PATH", "HOME")
_FIXED = {"LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never"}
_HINTS = {
    "incorrect passphrase": "the agent has nobody to ask: use a key without a passphrase",
    "bad permissions": "mount the Secret with defaultMode: 0400",
    "permission denied": "let the agent's user or group read the file",
    "no user exists": "ssh wants a user id that has a name: run the image's own user",
}
_HINT = "see that the Secret holds a private ssh key"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key; all empty where there is no key.

    Attributes:
        key: As `authorized_keys` has it, without a line break at its end.
        fingerprint: What ssh-keygen prints as its fingerprint: bits, hash, comment and type.
        randomart: Its picture, several lines with a line break after each.
    """

    key: str = ""
    fingerprint: str = ""
    randomart: str = ""


_State = tuple[int, int, int, int]


class DeployKey:
    """The key at a path; safe for many threads."""

    def __init__(self, path: str) -> None:
        """`path` is the private key's file, empty for none; it need not exist."""
        self._path = path
        self._lock = threading.Lock()
        self._known: tuple[_State, PublicKey | GitError] | None = None

    def public(self) -> PublicKey:
        """The public half of what is there now.

        Raises:
            GitError: There is a file, but no key that can be used.
        """
        with self._lock:
            state = self._state()
            if state is None:
                return PublicKey()
            if self._known is None or self._known[0] != state:
                self._known = (state, self._found())
            found = self._known[1]
        if isinstance(found, GitError):
            raise GitError(found.message, hint=found.hint)
        return found

    def _state(self) -> _State | None:
        """What changes with the file; None where there is none."""
        if not self._path:
            return None
        try:
            stat = Path(self._path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise GitError(
                f"the deploy key cannot be read: {error.strerror}", hint=_HINTS["permission denied"]
            ) from None
        return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size

    def _found(self) -> PublicKey | GitError:
        try:
            key = _keygen("-y", "-P", "", "-f", self._path).strip()
            fingerprint, _, randomart = _keygen("-l", "-v", "-f", "-", stdin=f"{key}\n").partition("\n")
        except GitError as error:
            return error
        return PublicKey(key, fingerprint, randomart)


def _keygen(*args: str, stdin: str = "") -> str:
    """Run ssh-keygen where nobody can be asked: no terminal, no passphrase program.

    Raises:
        GitError: It failed, took too long or is not there.
    """
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | _FIXED
    try:
        done = subprocess.run(
            ["ssh-keygen", *args],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise GitError(f"ssh-keygen did not read the deploy key within {TIMEOUT:g} s", temporary=True) from None
    except OSError as error:
        raise GitError(f"ssh-keygen could not be started: {error.strerror}", hint="install OpenSSH") from None
    if done.returncode != 0:
        said = one_line(done.stderr).rpartition("; ")[2]  # its verdict comes last, after a banner
        hint = next((hint for words, hint in _HINTS.items() if words in said.lower()), _HINT)
        raise GitError(f"the deploy key cannot be used: {said or 'ssh-keygen said nothing'}", hint=hint)
    return done.stdout
