"""The handle of a job: what the one who does the work tells the one who keeps the record.

The API keeps jobs, the loop does them; neither imports the other. Both know this.
"""

from __future__ import annotations

from typing import Protocol

from agent.model.status import SyncProgress


class SyncTicket(Protocol):
    """One requested sync. Every call is seen by all who watch the job; none blocks or raises.

    A job that has ended does not change any more: what is told of it after that is dropped.
    """

    @property
    def allow_deletions(self) -> str:
        """The hash of the held deletions that whoever asked has approved; empty for none."""

    def running(self, progress: SyncProgress) -> None:
        """The sync has begun, or has come further."""

    def succeeded(self, progress: SyncProgress) -> None:
        """The sync is done."""

    def failed(self, progress: SyncProgress | None, error: str, hint: str) -> None:
        """The sync is not done; without `progress` the last one told stands."""
