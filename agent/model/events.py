"""What happened, as values: the same one feeds the log and whoever listens."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model.status import SyncReport


@dataclass(frozen=True, slots=True)
class CommitSummary:
    """One commit: full id, author as `Name <email>`, first line of its message."""

    sha: str
    author: str
    subject: str


@dataclass(frozen=True, slots=True)
class SyncEvent:
    """The marker moved: the cluster was brought from one revision to another.

    Attributes:
        before: The revision the marker stood at; empty for the first sync.
        after: The revision it stands at now.
        commits: What lies between, newest first, bounded.
        report: The sync in numbers.
    """

    before: str
    after: str
    commits: tuple[CommitSummary, ...]
    report: SyncReport
