"""The agent's own commits, found again by their trailers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from agent.git.command import CommandError
from agent.git.repository import Repository
from agent.git.trailers import trailers_of

JOB = "Flux-Job"
"""The trailer that every commit of the agent has."""
MOST = 5_000
"""Commits that are looked back at; older ones are forgotten."""
RECALLED = 1_000
"""Commits, anybody's, among which that of a job is looked for."""

_BATCH = 100
"""Commits that are read at a time: one that updates 1,000 workloads is 100 kB."""
_LATEST = 253_402_300_799.0
"""The last second of the year 9999; git takes later ones, calendars do not."""
_JOB_ID = re.compile(r"[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class Record:
    """A commit of the agent's: its full id, its trailers in their order, its time in Unix seconds."""

    commit: str
    trailers: tuple[tuple[str, str], ...]
    time: float = 0.0


class Records:
    """Reads them from a mirror, for any thread."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def since(self, known: str, head: str) -> tuple[bool, Iterator[Record]]:
        """The agent's commits up to `head`, the oldest first.

        Args:
            known: A commit whose own past is known already; may be empty.
            head: Up to this one.

        Returns:
            Whether they go on where `known` ends, and the commits; all of them where the branch was rewritten.

        Raises:
            GitError: The mirror cannot be read; also while the commits are gone through.
        """
        newer = self._newer(known, head) if known else None
        if newer is not None:
            return True, self._read(newer)
        return False, self._read(self._ids(head))

    def of_job(self, head: str, job_id: str) -> Record | None:
        """The commit of a job, if it is not long ago.

        Raises:
            GitError: The mirror cannot be read, or has no such head.
        """
        if not _JOB_ID.fullmatch(job_id):
            return None
        newest = self._repository.local("rev-list", f"--max-count={RECALLED}", head, "--").decode().split()
        found = self._told("log", "--no-walk=unsorted", f"--grep=^{JOB}: {job_id}$", "--stdin", stdin=newest)
        return next((record for record in found if (JOB, job_id) in record.trailers), None)

    def _newer(self, known: str, head: str) -> list[str] | None:
        """Those that `head` has and `known` has not; None where `known` has some that `head` has not."""
        if known == head:
            return []
        try:
            ids = self._ids("--left-right", f"{known}...{head}")
        except CommandError as error:
            if error.status is None:
                raise
            return None  # what was known is gone
        return None if any(id_[0] == "<" for id_ in ids) else [id_[1:] for id_ in ids]

    def _ids(self, *revisions: str) -> list[str]:
        """Newest first, and no commit before what was built on it."""
        search = ("--topo-order", f"--max-count={MOST}", f"--grep=^{JOB}: ")
        return self._repository.local("rev-list", *search, *revisions, "--").decode().split()

    def _read(self, ids: Sequence[str]) -> Iterator[Record]:
        """Read these commits, which are the newest first, from the last one on."""
        oldest_first = ids[::-1]
        batches = (oldest_first[start : start + _BATCH] for start in range(0, len(ids), _BATCH))
        return chain.from_iterable(self._told("log", "--no-walk=unsorted", "--stdin", stdin=batch) for batch in batches)

    def _told(self, *args: str, stdin: Sequence[str]) -> Iterator[Record]:
        """What `git log` tells, without commits that only look as if they were the agent's."""
        asked = "".join(f"{id_}\n" for id_ in stdin).encode()
        listing = self._repository.local(*args, "-z", "--format=%H %ct%n%B", stdin=asked)
        for entry in listing.decode(errors="replace").split("\0"):
            facts, _, message = entry.partition("\n")
            trailers = trailers_of(message)
            if any(name == JOB for name, _ in trailers):
                commit, _, time = facts.partition(" ")
                yield Record(commit, trailers, min(float(time or 0), _LATEST))  # a careless tool's has no time at all
