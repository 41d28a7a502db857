"""Telling the log what a sync came to: the numbers every time, everything else when it is new.

A failure, a notice or a held deletion that stays is not repeated with every sync; that it is still so stands in the
status.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from agent.loop.ports import Log
from agent.model.events import SyncEvent
from agent.model.status import SyncReport

MAX_TOLD = 50
"""Lines of one kind that one sync may add to the log."""
_NUMBERS = ("objects", "applied", "unchanged", "ignored", "deleted", "remaining")


class Reporter:
    """Remembers what the last sync said; used by one thread."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._told: set[Hashable] = set()

    def synced(self, report: SyncReport) -> None:
        """A sync has ended."""
        say = self._log.warning if report.error or report.failures else self._log.info
        fields = {name: getattr(report, name) for name in _NUMBERS}
        fields |= {"failed": len(report.failures), "held": len(report.pending_deletions)}
        say("synced", revision=report.revision, seconds=round(report.duration, 3), error=report.error, **fields)
        fresh = self._fresh(report)
        for failure in [item for item in report.failures if ("failure", item.object_id, item.reason) in fresh][
            :MAX_TOLD
        ]:
            place = str(failure.origin or "")
            blame = {"commit": failure.commit, "author": failure.author}
            self._log.warning("not synced", object=failure.object_id, at=place, reason=failure.reason, **blame)
        for pending in [item for item in report.pending_deletions if ("pending", *_words(item)) in fresh][:MAX_TOLD]:
            approval = report.deletions_hash
            self._log.warning("not deleted", object=pending.object_id, reason=pending.reason, allow_deletions=approval)
        for notice in [item for item in report.notices if ("notice", item) in fresh][:MAX_TOLD]:
            self._log.warning(notice)

    def _fresh(self, report: SyncReport) -> set[Hashable]:
        """What this report says that the one before did not."""
        now: set[Hashable] = {("failure", item.object_id, item.reason) for item in report.failures}
        now |= {("pending", *_words(item)) for item in report.pending_deletions}
        now |= {("notice", item) for item in report.notices}
        fresh, self._told = now - self._told, now
        return fresh


def _words(item: object) -> Iterable[str]:
    return (getattr(item, "object_id", ""), getattr(item, "reason", ""))


def log_event(log: Log, event: SyncEvent) -> None:
    """The marker moved: which commits the cluster has got since it last did."""
    log.info(
        "the sync marker moved",
        revision=event.after,
        before=event.before,
        commits=[f"{commit.sha[:7]} {commit.author}: {commit.subject}" for commit in event.commits],
    )
