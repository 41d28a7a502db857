"""A bare git repository with commits, for the demo and for tests; the stand-in of a git host, reached by `file://`.

Commits are made by `git fast-import`, straight onto the branch, without a work tree: so they may alternate with what
others push. Git runs without the machine's and the user's configuration.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TIMEOUT = 30.0
"""Seconds a git command may take."""

_AUTHOR = "Demo User <demo@example.com>"


class RepoError(Exception):
    """Git refused; the text is its stderr."""


class SandboxRepo:
    """A bare repository in a folder that may not exist yet.

    Args:
        folder: Where it is made; what is there is used as it is.
        branch: The branch that is committed to, also its HEAD.
    """

    def __init__(self, folder: Path, branch: str = "master") -> None:
        self.folder = folder
        self.branch = branch
        if not (folder / "HEAD").exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._git("init", "--quiet", "--bare", f"--initial-branch={branch}")

    @property
    def url(self) -> str:
        """The address to clone from and push to."""
        return self.folder.resolve().as_uri()

    def commit(self, files: Mapping[str, str | bytes | None], message: str, *, author: str = _AUTHOR) -> str:
        """Commit files onto the branch.

        Args:
            files: Contents by path from the repository's root; None deletes.
            message: The whole message.
            author: `NAME <EMAIL>`.

        Returns:
            The new commit's id.

        Raises:
            RepoError: Git refused, for example because someone pushed at the same moment.
        """
        lines = [f"commit refs/heads/{self.branch}".encode(), f"committer {author} {int(time.time())} +0000".encode()]
        lines += _data(message.encode())
        if self.head():
            lines.append(f"from refs/heads/{self.branch}^0".encode())
        for path, content in files.items():
            if content is None:
                lines.append(b"D " + _quoted(path))
                continue
            lines.append(b"M 100644 inline " + _quoted(path))
            lines += _data(content.encode() if isinstance(content, str) else content)
        self._git("fast-import", "--quiet", stdin=b"\n".join(lines) + b"\n")
        return self.head()

    def head(self) -> str:
        """The branch's commit id; empty before the first."""
        found = self._run(["rev-parse", "--quiet", "--verify", f"refs/heads/{self.branch}^{{commit}}"], b"")
        return found.stdout.decode().strip()

    def read(self, path: str, revision: str = "") -> str:
        """A file as of a revision, the branch's head by default.

        Raises:
            RepoError: There is no such file.
        """
        return self._git("show", f"{revision or self.branch}:{path}").decode()

    def log(self) -> list[str]:
        """The subjects of the branch's commits, the latest first."""
        return self._git("log", "--format=%s", self.branch).decode().splitlines() if self.head() else []

    def refs(self) -> dict[str, str]:
        """Every ref and the object it names."""
        listed = self._git("for-each-ref", "--format=%(refname) %(objectname)").decode().splitlines()
        return {name: object_ for name, _, object_ in (line.partition(" ") for line in listed)}

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        done = self._run(arguments, stdin)
        if done.returncode != 0:
            raise RepoError(f"git {arguments[0]}: {done.stderr.decode(errors='replace')[-2000:].strip()}")
        return done.stdout

    def _run(self, arguments: Sequence[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "LC_ALL": "C.UTF-8",
        }
        command = ["git", "--git-dir", str(self.folder), *arguments]
        return subprocess.run(command, input=stdin, env=environment, capture_output=True, check=False, timeout=TIMEOUT)


def _data(content: bytes) -> list[bytes]:
    return [b"data %d" % len(content), content]


def _quoted(path: str) -> bytes:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode()
