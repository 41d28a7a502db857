"""Notes on the agent's commits, in `refs/notes/<--git-notes-ref>` as Flux v1 kept them: what was done, and for whom.

A note is written after its commit was pushed, and waits here until the server has taken it: the ref in the mirror
follows the server's, so notes that wait are put on top of it at each push. Others' notes are never overwritten. A
server that refuses notes costs nothing but the notes. Belongs to the thread that fetches; the reads are for all.
"""

from __future__ import annotations

import re

from agent.git.command import CommandError
from agent.git.mirror import Mirror
from agent.git.push import PushRaceError, PushRefusedError, push
from agent.model.errors import GitError
from agent.settings import GitSettings

MAX_NOTE = 1024 * 1024
"""Bytes of a note; a larger one is not written, and not read."""
MAX_WAITING = 100
"""Notes that wait for the server; of more, the oldest are dropped."""

_ATTEMPTS = 5
"""Pushes until a race with others' notes is given up."""
_COMMIT_ID = re.compile(r"[0-9a-f]{40}")


class Notes:
    """Reads and writes the notes of `settings.notes_ref`; with an empty name there are none."""

    def __init__(self, mirror: Mirror, settings: GitSettings) -> None:
        self._mirror = mirror
        self._repository = mirror.repository
        self._ref = f"refs/notes/{settings.notes_ref}" if settings.notes_ref else ""
        self._waiting: dict[str, str] = {}

    def read(self, commit: str) -> str | None:
        """The note on a commit, without the new line at its end; None where there is none.

        Raises:
            GitError: The mirror cannot be read.
        """
        if commit in self._waiting or not self._ref:
            return self._waiting.get(commit)
        try:
            blob = self._notes("list", commit).decode().strip()
        except CommandError as error:
            if error.status == 1:
                return None
            raise
        return self._texts([blob]).get(blob)

    def write(self, commit: str, text: str) -> None:
        """Put a note on a commit in place of the one it may have; `push` sends it.

        Raises:
            GitError: `commit` is no full id, or the text is larger than `MAX_NOTE`.
        """
        if not _COMMIT_ID.fullmatch(commit):
            raise GitError(f"{commit!r} is no full commit id")
        if len(text.encode(errors="replace")) > MAX_NOTE:
            raise GitError(f"the note on commit {commit[:7]} is larger than {MAX_NOTE} bytes")
        if not self._ref:
            return
        self._waiting.pop(commit, None)
        self._waiting[commit] = text.rstrip("\n")
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]

    def latest(self, limit: int) -> list[tuple[str, str]]:
        """The notes on the newest commits that have one, the newest commit first: at most `limit`, by four processes.

        Raises:
            GitError: The mirror cannot be read.
        """
        waiting = dict(self._waiting)
        blobs = self._listing() if self._ref else {}
        asked = "".join(f"{commit}\n" for commit in {**blobs, **waiting}).encode()
        if not asked:
            return []
        ordered = self._repository.local("rev-list", "--no-walk", "--ignore-missing", "--stdin", stdin=asked)
        commits = ordered.decode().split()[:limit]
        texts = self._texts([blobs[commit] for commit in commits if commit not in waiting])
        found = {commit: waiting.get(commit, texts.get(blobs.get(commit, ""))) for commit in commits}
        return [(commit, text) for commit, text in found.items() if text is not None]

    def push(self) -> GitError | None:
        """Send the notes that wait; what hindered it, or None.

        It is told and not raised, because the commits are on the branch: no trouble with notes may fail what made
        them. After a temporary error the notes wait for the next push, after a refusal they are given up.

        Raises:
            StoppedError: The agent is shutting down.
        """
        if not self._waiting:
            return None
        try:
            self._deliver()
        except PushRefusedError as error:
            self._waiting.clear()
            return error
        except GitError as error:
            self._repository.remove_leftovers()
            return error
        except OSError as error:
            return GitError(f"the notes could not be written: {error}")
        self._waiting.clear()
        return None

    def _deliver(self) -> None:
        """Put the waiting notes on top of the server's and push; a lost race starts again from the server's."""
        for attempt in range(1, _ATTEMPTS + 1):
            self._add_waiting()
            try:
                push(self._repository, self._ref, self._ref)
            except PushRaceError:
                if attempt == _ATTEMPTS:
                    raise
                self._mirror.fetch()
            else:
                return

    def _add_waiting(self) -> None:
        """Write the waiting notes that the mirror's ref has not, and forget those of commits that are gone."""
        blobs = self._listing()
        for commit, text in list(self._waiting.items()):
            content = f"{text}\n".encode(errors="replace")
            blob = self._repository.local("hash-object", "-w", "--stdin", stdin=content).decode().strip()
            if blobs.get(commit) == blob:
                continue
            if self._repository.has_commit(commit):
                self._notes("add", "--force", "-C", blob, commit)
            else:
                del self._waiting[commit]

    def _listing(self) -> dict[str, str]:
        """The ids of all notes by the ids of what they are on."""
        pairs = (line.split(" ", 1) for line in self._notes("list").decode().splitlines())
        return {noted: blob for blob, noted in pairs}

    def _texts(self, blobs: list[str]) -> dict[str, str]:
        """The notes' contents by their ids, without those that are too large."""
        asked = "".join(f"{blob}\n" for blob in blobs).encode()
        if not asked:
            return {}
        sizes = self._repository.local("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked)
        small = [name for name, size in map(str.split, sizes.decode().splitlines()) if int(size) <= MAX_NOTE]
        return {sha: data.decode(errors="replace").rstrip("\n") for sha, data in self._mirror.read(small).items()}

    def _notes(self, *args: str) -> bytes:
        return self._repository.local("notes", "--ref", self._ref, *args)
