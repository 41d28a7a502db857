"""What a ref means in the mirror, and which commit holds which."""

from __future__ import annotations

import re

from agent.git.command import CommandError
from agent.git.repository import Repository
from agent.model.errors import UsageError

_NAMED = 5
"""Commits that an error about an ambiguous id names."""
_FULL_ID = re.compile(r"[0-9a-fA-F]{40}")
_SHORT_ID = re.compile(r"[0-9a-fA-F]{4,39}")
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./+#=,@-]{0,254}")


class History:
    """Answers about the commits of a mirror, for any thread; each question costs a git process or two."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def resolve(self, ref: str) -> str:
        """The full id of the commit that a branch, a tag, or a whole or abbreviated id names; empty where none does.

        Raises:
            UsageError: It can be no ref, or it is ambiguous.
            GitError: The mirror cannot be read.
        """
        if ref == "HEAD" or not _NAME.fullmatch(ref):
            raise UsageError(
                f"{ref[:64]!r} names no revision here", hint="name a commit by its id, or a branch or a tag"
            )
        if _FULL_ID.fullmatch(ref):
            return ref.lower() if self._repository.has_commit(ref) else ""
        return self._named(ref) or (self._abbreviated(ref.lower()) if _SHORT_ID.fullmatch(ref) else "")

    def contains(self, revision: str, commit: str) -> bool:
        """Whether `commit` is this revision or one of its ancestors; both are full ids, an empty one is in none.

        Raises:
            GitError: The mirror cannot be read.
        """
        if revision == commit or not (revision and commit):
            return bool(revision and commit)
        try:
            self._repository.local("merge-base", "--is-ancestor", commit, revision)
        except CommandError as error:
            if error.status == 1:
                return False
            raise
        return True

    def _named(self, ref: str) -> str:
        """The commit of a branch or tag, by its own name or its full one; a branch goes before a tag."""
        listing = self._repository.local("for-each-ref", "--format=%(objectname) %(*objectname) %(refname)")
        commits = {}
        for line in listing.decode(errors="replace").splitlines():
            own, peeled, name = line.split(" ", 2)
            commits[name] = peeled or own
        return next((commits[name] for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref) if name in commits), "")

    def _abbreviated(self, prefix: str) -> str:
        found = self._repository.local("rev-parse", f"--disambiguate={prefix}")
        kinds = self._repository.local("cat-file", "--batch-check", stdin=found) if found else b""
        commits = [words[0] for line in kinds.decode().splitlines() if (words := line.split())[1] == "commit"]
        if len(commits) > 1:
            named = ", ".join(commit[:12] for commit in commits[:_NAMED])
            raise UsageError(f"the commit id {prefix} is ambiguous: {named}", hint="give more of it")
        return commits[0] if commits else ""
