"""The mirror: a bare copy of the branch, the sync tag and the notes, kept equal to the git server's by one thread.

Each fetch first asks the server for its refs, then takes what differs: an unchanged repository costs one question, and
an empty repository or a missing branch is told from the answer, not from an error text. Nothing about the server is
stored in the folder (URL and credentials come from the settings each time), so a changed URL or branch needs no care,
and a folder that is lost or broken is made anew.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.git.command import CommandError
from agent.git.objects import RevisionReader
from agent.git.repository import UPKEEP_TIMEOUT, Repository
from agent.git.url import redacted
from agent.model.errors import GitError, NotReadyError
from agent.settings import GitSettings

_HEADS = "refs/heads/"
_MAX_BRANCHES = 10
"""Branches that an error names."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit of the branch: full id, author as `Name <email>`, commit time in Unix seconds."""

    sha: str
    author: str = ""
    committed_at: int = 0

    def __str__(self) -> str:
        return self.sha


class Mirror(RevisionReader):
    """The copy of the repository that the agent works from.

    `fetch` belongs to one thread, as does pushing; the reads of `RevisionReader` are for all. While a broken mirror is
    made anew, a read in another thread may fail; it succeeds when tried again.
    """

    def __init__(self, settings: GitSettings, directory: Path, stop: threading.Event) -> None:
        self.repository = Repository(settings, directory, stop)
        super().__init__(self.repository)
        self._settings = settings
        self._branch = _HEADS + settings.branch
        self._tag = f"refs/tags/{settings.sync_tag}" if settings.sync_tag else ""
        self._notes = f"refs/notes/{settings.notes_ref}" if settings.notes_ref else ""
        self._owned = False
        self._tidied = ""

    def fetch(self) -> Revision:
        """Bring the mirror to the server's state and tell the head of the branch.

        Raises:
            NotReadyError: There is no URL, no commit or no such branch yet.
            GitError: The server or the disk cannot be reached, `temporary` where waiting may help.
            StoppedError: The agent is shutting down.
        """
        if not self._settings.url:
            raise NotReadyError("no git repository is configured", hint="name one with --git-url")
        try:
            self._prepare()
            self._bring(self._wanted(self._advertised()))
            sha = self.repository.refs().get(self._branch, "")
            if not sha:  # git may leave a ref out and call the fetch a success
                raise GitError(f"the git server did not give the branch {self._settings.branch}", temporary=True)
            if sha != self._tidied:  # also where the agent itself has pushed
                self._tidy()
                self._tidied = sha
        except OSError as error:
            raise GitError(f"the mirror {self.repository.directory} cannot be written: {error}") from error
        commit = self.commit(sha)
        return Revision(sha, commit.author, commit.time)

    def _prepare(self) -> None:
        """A folder that is a repository, without the traces of an earlier life."""
        if not self._owned:
            self.repository.remove_leftovers()
            self._owned = True
        if not self.repository.exists() or (self._doubted.is_set() and not self.repository.is_intact()):
            self.repository.create()
        self._doubted.clear()

    def _advertised(self) -> dict[str, str]:
        """The server's branches by full name with their ids, and the tag and the notes where it has them.

        Git asks for branches and tags alone or for all there is, so the notes cost a longer answer.
        """
        kinds = () if self._notes else ("--heads", "--tags")
        names = [name for name in (f"{_HEADS}*", self._tag, self._notes) if name]
        lines = self.repository.remote("ls-remote", "--quiet", *kinds, "origin", *names).splitlines()
        pairs = (line.decode(errors="replace").partition("\t") for line in lines)
        return {name: sha for sha, _, name in pairs}

    def _wanted(self, advertised: Mapping[str, str]) -> dict[str, str]:
        """The refs to have, with the server's ids: the branch, and the tag and the notes where the server has them.

        Raises:
            NotReadyError: The branch is not there.
        """
        branches = sorted(name.removeprefix(_HEADS) for name in advertised if name.startswith(_HEADS))
        url, branch = redacted(self._settings.url), self._settings.branch
        if not branches:
            raise NotReadyError(f"the repository {url} is empty", hint=f"push a first commit to branch {branch}")
        if self._branch not in advertised:
            named = ", ".join(branches[:_MAX_BRANCHES]) + (", …" if len(branches) > _MAX_BRANCHES else "")
            raise NotReadyError(
                f"the repository {url} has no branch {branch}, only {named}", hint="name one of these with --git-branch"
            )
        return {name: advertised[name] for name in (self._branch, self._tag, self._notes) if name in advertised}

    def _bring(self, wanted: Mapping[str, str]) -> None:
        """Fetch what differs; a mirror that cannot take it and is found broken is made anew once."""
        here = self.repository.refs()
        for name in here.keys() - wanted.keys():
            # A tag or notes deleted on the server, or the branch followed before: `a` would be in the way of `a/b`.
            self.repository.local("update-ref", "-d", name)
        changed = [name for name, sha in wanted.items() if here.get(name) != sha]
        if not changed and self.repository.has_commit(wanted[self._branch]):
            return
        try:
            self._transfer(wanted)
            whole = self.repository.has_commit(self._branch)
        except CommandError as error:
            if error.status is None or error.temporary or self.repository.is_intact():
                raise
            whole = False
        if not whole:
            self.repository.create()
            self._transfer(wanted)

    def _transfer(self, names: Mapping[str, str]) -> None:
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")
        shallow = "--update-shallow"  # else a server whose own copy is shallow gives nothing, without a word
        try:
            self.repository.remote("fetch", *options, shallow, "origin", *(f"+{name}:{name}" for name in names))
        except GitError:
            # An unfinished pack of every attempt would fill the disk.
            self.repository.remove_leftovers()
            raise

    def _tidy(self) -> None:
        """Let git pack what many small fetches and commits left; it decides itself whether that is due."""
        with suppress(CommandError):  # only a matter of disk space, and the next fetch tries again
            self.repository.local("gc", "--auto", "--quiet", timeout=UPKEEP_TIMEOUT)
