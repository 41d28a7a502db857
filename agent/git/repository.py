"""A bare repository on disk and the commands that run in it, each with its deadline and the agent's stop event.

The owner of a folder removes what a killed git left there: nothing else works in it, so a lock file that exists
before a command starts belongs to nobody.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from agent.git.command import CommandError, run
from agent.git.environment import remote_environment, repository_environment
from agent.model.errors import GitError
from agent.settings import GitSettings

UPKEEP_TIMEOUT = 300.0
"""Seconds for a garbage collection or a full check: work on the own disk, which --git-timeout does not mean."""

_SIGNS = ("HEAD", "objects", "refs", "packed-refs")
_LEFTOVERS = ("**/*.lock", "gc.pid", "objects/pack/tmp_*", "objects/??/tmp_obj_*")


class Repository:
    """Git in one folder. Safe for many threads as long as one of them writes."""

    def __init__(self, settings: GitSettings, directory: Path, stop: threading.Event) -> None:
        self.settings = settings
        self.directory = directory.absolute()
        self.stop = stop

    def local(
        self, *args: str, stdin: bytes = b"", timeout: float = 0.0, env: Mapping[str, str] | None = None
    ) -> bytes:
        """Run a command that needs only this folder; `timeout` in seconds, --git-timeout unless given.

        `env` are variables on top of those that every command here gets.

        Raises:
            CommandError: It failed.
            StoppedError: The agent is shutting down.
        """
        return run(
            args,
            cwd=self.directory,
            timeout=timeout or self.settings.timeout,
            stop=self.stop,
            env={**repository_environment(str(self.directory), self.settings), **(env or {})},
            stdin=stdin,
        )

    def remote(self, *args: str) -> bytes:
        """Run a command that talks to the git server, which it calls `origin`.

        Raises:
            CommandError: It failed.
            StoppedError: The agent is shutting down.
        """
        environment = remote_environment(str(self.directory), self.settings, os.environ)
        return run(args, cwd=self.directory, timeout=self.settings.timeout, stop=self.stop, env=environment)

    def succeeds(self, *args: str) -> bool:
        """Whether a local command answers with success; a command without an answer is still an error."""
        try:
            self.local(*args)
        except CommandError as error:
            if error.status is None:
                raise
            return False
        return True

    def exists(self) -> bool:
        """Whether git takes the folder for a repository."""
        return self.directory.is_dir() and self.succeeds("rev-parse", "--git-dir")

    def has_commit(self, commit: str) -> bool:
        """Whether the commit and its root folder are here."""
        return self.succeeds("cat-file", "-e", f"{commit}^{{tree}}")

    def is_intact(self) -> bool:
        """Whether every object that a ref reaches is here and readable; reads the whole repository.

        One that is too large to be read in time is taken for whole.
        """
        try:
            self.local("fsck", "--no-dangling", "--no-progress", timeout=UPKEEP_TIMEOUT)
        except CommandError as error:
            return error.status is None
        return True

    def refs(self) -> dict[str, str]:
        """The refs by name, with the ids they hold (of an annotated tag the tag's own)."""
        lines = self.local("for-each-ref", "--format=%(objectname) %(refname)").decode(errors="replace").splitlines()
        return {name: sha for sha, _, name in (line.partition(" ") for line in lines)}

    def create(self) -> None:
        """Make the folder an empty repository, whatever was left of one.

        Raises:
            GitError: The folder holds something else, or cannot be written.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # manifests are nobody else's business
            entries = list(self.directory.iterdir())
            if entries and {entry.name for entry in entries}.isdisjoint(_SIGNS):
                raise GitError(
                    f"{self.directory} holds files that are no git repository, so it is left alone",
                    hint="name another folder in --cache-dir",
                )
            for entry in entries:  # the folder itself stays: it may be a mount
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        except OSError as error:
            raise GitError(f"{self.directory} cannot be written: {error}", hint="check --cache-dir") from error
        # No template: the user's may bring hooks.
        self.local("init", "--quiet", "--bare", "--template=", "--initial-branch=main")

    def remove_leftovers(self) -> None:
        """Delete the lock files and half-written packs of a git that was killed."""
        for pattern in _LEFTOVERS:
            for path in self.directory.glob(pattern):
                path.unlink(missing_ok=True)
