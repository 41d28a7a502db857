"""Commits made in the mirror and pushed to the branch, without a working tree.

A commit is: the contents written as one pack, an index of the base with the changed paths put in, the tree that this
gives, and a check that it differs from the base in exactly what was asked. 1,000 files cost seven processes and
0.1 s, 30 ms of it `git fast-import`; `git hash-object --stdin-paths` took 290 ms and left 1,000 loose objects.

A commit's id is known before it is pushed and belongs to this one attempt: when a push ended without an answer,
fetching and asking `is_on_branch` tells whether it arrived, so nothing is done twice. Belongs to the thread that
fetches. Neighbours: `push` (why a server did not take it), `authors`, `trailers` (what stands in the message).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from agent.git.authors import Author, resolved_author
from agent.git.command import CommandError
from agent.git.history import History
from agent.git.mirror import Mirror
from agent.git.push import push
from agent.git.repository import Repository
from agent.model.errors import GitError, StoppedError
from agent.settings import GitSettings

_COMMIT_ID = re.compile(r"[0-9a-f]{40}")
_NEW_FILE = b"100644"
_SPECIAL = {b"120000": "a symbolic link", b"160000": "a submodule"}
_NAMED = 3
"""Paths that an error names."""


class EmptyChangeError(GitError):
    """The changes leave every file as it is."""


class UneditableError(GitError):
    """A path is no plain file, so it is never edited.

    Attributes:
        path: Which one.
    """

    def __init__(self, message: str, *, path: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class _State(NamedTuple):
    """What a path holds in a tree."""

    mode: bytes
    sha: bytes


class _Entry(NamedTuple):
    """A path of the base: its bytes, and what it holds there."""

    path: bytes
    state: _State


_ABSENT = _State(b"000000", b"0" * 40)


class Writer:
    """Writes to the branch `settings.branch`."""

    def __init__(self, mirror: Mirror, settings: GitSettings) -> None:
        self._repository = mirror.repository
        self._settings = settings
        self._ref = f"refs/heads/{settings.branch}"

    def author(self, text: str, base: str) -> Author:
        """The author that `Name <email>`, or a name or address alone, means in the history of the commit `base`.

        Raises:
            UsageError: No author there matches.
            GitError: The history cannot be read.
        """
        return resolved_author(self._repository, text, base)

    def commit(
        self,
        base: str,
        changes: Mapping[str, bytes | None],
        message: str,
        author: Author | None = None,
        *,
        allow_empty: bool = False,
    ) -> str:
        """Make a commit on top of `base`; it is in the mirror only, and no ref names it before it is pushed.

        Args:
            base: The full id of the commit to build on, the head of the branch as fetched.
            changes: Contents by path from the root as in `TreeFile`; None deletes. A file keeps its mode.
            message: The whole message, with its trailers.
            author: Who it is by; the committer, `settings.user`, unless given.
            allow_empty: Whether a commit that changes no file is wanted, for what its message says.

        Returns:
            The new commit's full id.

        Raises:
            EmptyChangeError: Nothing would change.
            UneditableError: A path is a symbolic link or a submodule.
            GitError: A path cannot be written, or the mirror cannot; nothing was changed then.
            StoppedError: The agent is shutting down.
        """
        try:
            if allow_empty and not changes:
                return self._commit_tree(f"{_full(base)}^{{tree}}", base, message, author)
            tree = self._tree(base, self._edits(_full(base), changes))
            return self._commit_tree(tree, base, message, author)
        except (GitError, StoppedError):
            self._clean()
            raise
        except OSError as error:
            self._clean()
            raise GitError(f"the commit could not be written: {error}", hint="make room for it") from error

    def push(self, commit: str) -> None:
        """Send a commit that `commit` made to the branch, if the branch is still where the commit was built on.

        Raises:
            PushRaceError: Somebody pushed in between: fetch, plan again, try again.
            PushRefusedError: The server refused it: a protected branch, a hook, a key that may only read.
            GitError: The server could not be reached or the connection broke; after the next fetch, `is_on_branch`
                tells whether it arrived.
            StoppedError: The agent is shutting down; the outcome is as unknown.
        """
        base = self._repository.local("rev-parse", "--verify", f"{_full(commit)}^").decode().strip()
        push(self._repository, commit, self._ref, expected=base)
        try:
            self._repository.local("update-ref", self._ref, commit)
        except (CommandError, StoppedError, OSError):
            self._clean()  # the server has it, which is what counts, and the next fetch brings it

    def is_on_branch(self, commit: str) -> bool:
        """Whether the branch, as last fetched or pushed, contains this commit.

        Raises:
            GitError: The mirror cannot be read.
        """
        head = self._repository.refs().get(self._ref, "")
        return self._repository.has_commit(commit) and History(self._repository).contains(head, commit)

    def _edits(self, base: str, changes: Mapping[str, bytes | None]) -> dict[bytes, _State]:
        """What the changed paths are to hold, without those that hold it already; their contents are written.

        Raises:
            EmptyChangeError: All hold it already.
        """
        listing = self._repository.local("ls-tree", "-r", "-z", "--full-tree", base)
        present = _entries(listing)
        for path in changes:
            _require_editable(path, present.get(path))
        contents = {path: content for path, content in changes.items() if content is not None}
        shas = dict(zip(contents, _blobs(self._repository, contents.values()), strict=True))
        edits = {}
        for path in changes:
            entry = present.get(path) or _Entry(path.encode(), _ABSENT)
            mode = entry.state.mode if entry.state != _ABSENT else _NEW_FILE
            state = _State(mode, shas[path]) if path in shas else _ABSENT
            if state != entry.state:
                edits[entry.path] = state
        if not edits:
            raise EmptyChangeError("no changes made in repo")
        return edits

    def _tree(self, base: str, edits: Mapping[bytes, _State]) -> str:
        """Write the tree of `base` with these edits, and make sure that it differs in nothing else."""
        rows = b"".join(b"%s %s\t%s\0" % (state.mode, state.sha, path) for path, state in edits.items())
        with tempfile.TemporaryDirectory(prefix="flux-index-") as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._repository.local("read-tree", base, env=env)
            self._repository.local("update-index", "-z", "--index-info", stdin=rows, env=env)
            tree = self._repository.local("write-tree", env=env).decode().strip()
        difference = _changed(self._repository.local("diff-tree", "-r", "-z", "--raw", "--no-renames", base, tree))
        if difference != edits:
            odd = sorted(path for path, _ in difference.items() ^ edits.items())
            named = ", ".join(dict.fromkeys(path.decode(errors="backslashreplace") for path in odd[:_NAMED]))
            raise GitError(
                f"the change cannot be written as it was asked for, because of {named}",
                hint="a file cannot be where a folder is, and git refuses names such as .git",
            )
        return tree

    def _commit_tree(self, tree: str, base: str, message: str, author: Author | None) -> str:
        committer = Author(self._settings.user, self._settings.email)
        by = author or committer
        env = {  # named one by one: the user's own configuration may hold an author and a committer
            "GIT_AUTHOR_NAME": _header(by.name),
            "GIT_AUTHOR_EMAIL": _header(by.email),
            "GIT_COMMITTER_NAME": _header(committer.name),
            "GIT_COMMITTER_EMAIL": _header(committer.email),
        }
        text = message.replace("\0", "").strip() + "\n"
        arguments = ("commit-tree", "-p", base, tree)
        return self._repository.local(*arguments, stdin=text.encode(errors="replace"), env=env).decode().strip()

    def _clean(self) -> None:
        """Remove what an unfinished attempt left, which would fill the disk in the end."""
        with suppress(OSError):
            self._repository.remove_leftovers()
            for report in self._repository.directory.glob("fast_import_crash_*"):
                report.unlink(missing_ok=True)


def _full(commit: str) -> str:
    if not _COMMIT_ID.fullmatch(commit):
        raise GitError(f"{commit!r} is no full commit id")
    return commit


def _blobs(repository: Repository, contents: Iterable[bytes]) -> list[bytes]:
    """Write these contents as they are and return their ids."""
    stream = b"".join(
        b"blob\nmark :%d\ndata %d\n%s\nget-mark :%d\n" % (number, len(content), content, number)
        for number, content in enumerate(contents, start=1)
    )
    return repository.local("fast-import", "--quiet", "--done", stdin=stream + b"done\n").split() if stream else []


def _entries(listing: bytes) -> dict[str, _Entry]:
    """The entries of `MODE TYPE SHA<tab>PATH`, by their paths as `TreeFile` has them."""
    entries = {}
    for line in listing.split(b"\0"):
        facts, _, path = line.partition(b"\t")
        if path:
            mode, _, sha = facts.split()
            entries[path.decode(errors="backslashreplace")] = _Entry(path, _State(mode, sha))
    return entries


def _require_editable(path: str, entry: _Entry | None) -> None:
    if "\0" in path or not path:
        raise GitError(f"{path!r} is no path")
    if entry is not None and entry.state.mode in _SPECIAL:
        raise UneditableError(
            f"{path} is {_SPECIAL[entry.state.mode]}, which is never edited",
            path=path,
            hint="change what it leads to instead",
        )


def _changed(difference: bytes) -> dict[bytes, _State]:
    """What the paths hold after a change, of diff-tree's `:MODE MODE SHA SHA STATUS<nul>PATH<nul>`."""
    fields = difference.split(b"\0")
    found = {}
    for facts, path in zip(fields[0::2], fields[1::2], strict=False):
        _, mode, _, sha, _ = facts.split()
        found[path] = _State(mode, sha)
    return found


def _header(text: str) -> str:
    """A name or an address as an environment variable can carry it; git itself removes what a header cannot."""
    return text.replace("\0", "").encode(errors="replace").decode()
