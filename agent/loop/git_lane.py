"""The git lane: fetches by the clock and on demand, and moves the marker. The one writer of the repository."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from agent.loop.change_lane import ChangeLane
from agent.loop.inbox import Inbox
from agent.loop.messages import Change, Parts, Revision, Synced
from agent.loop.ports import Repository, SyncMarker
from agent.loop.reporter import log_event
from agent.model.errors import FluxError, StoppedError
from agent.model.events import CommitSummary, SyncEvent
from agent.model.jobs import SyncTicket
from agent.model.status import SyncProgress, SyncReport
from agent.releases.contract import ChangeTicket

_FIRST_BACKOFF = 2.0
NOTIFY_PAUSE = 2.0
"""Seconds after a fetch in which nobody's notice brings the next one forward."""
MAX_COMMITS = 20
"""Commits that one event lists."""


@dataclass(frozen=True, slots=True)
class GitTimes:
    """When the git lane fetches next and when it did last, on the monotonic clock, and failures in a row."""

    next_fetch: float = 0.0
    failures: int = 0
    fetched_at: float = 0.0

    def after_success(self, now: float, interval: float) -> GitTimes:
        """The next fetch comes after the poll interval."""
        return GitTimes(now + interval, fetched_at=now)

    def after_failure(self, now: float, interval: float) -> GitTimes:
        """Try again soon, then ever later, never later than the poll interval."""
        failures = self.failures + 1
        return GitTimes(now + min(interval, _FIRST_BACKOFF * 2 ** min(failures - 1, 20)), failures, now)

    def hurried(self) -> GitTimes:
        """Fetch as soon as the pause after the last fetch is over: many notices in it become one fetch."""
        return replace(self, next_fetch=min(self.next_fetch, self.fetched_at + NOTIFY_PAUSE))


class GitLane:
    """Fetches on demand and by the clock, and moves the marker."""

    def __init__(self, parts: Parts, repository: Repository, marker: SyncMarker, poll_interval: float) -> None:
        self.inbox: Inbox[SyncTicket | Synced | Change] = Inbox()
        self._parts = parts
        self._repository = repository
        self._marker = marker
        self._interval = poll_interval
        self._times = GitTimes()
        self._notified = threading.Event()
        self._marked: str | None = None
        self._unreadable = False
        self._revisions: Inbox[Revision] | None = None
        self._changes: ChangeLane | None = None
        self._waiting: deque[ChangeTicket] = deque()

    def feed(self, revisions: Inbox[Revision]) -> None:
        """Where revisions go."""
        self._revisions = revisions

    def request(self, ticket: SyncTicket) -> None:
        """Fetch and sync now, and tell the ticket."""
        self.inbox.put(ticket)

    def change(self, ticket: ChangeTicket) -> None:
        """Change git as soon as what was asked for before is done, and tell the ticket."""
        self.inbox.put(Change(ticket))

    def write_with(self, changes: ChangeLane) -> None:
        """Who changes git, on this lane's thread."""
        self._changes = changes

    def fetch_head(self) -> str:
        """Fetch for whoever changes git on this lane, and tell the rest of the agent what was found.

        Raises:
            GitError: The repository cannot be fetched.
        """
        revision = self._repository.fetch().sha
        self._seen(revision, ())
        return revision

    def notify(self) -> None:
        """Somebody says that there is something new: fetch soon, and sync where there is. Calls may be many."""
        self._notified.set()
        self.inbox.wake()

    def run(self) -> None:
        """The lane's loop: one change at a time, so that syncs come to their end between two of many."""
        while not self._parts.stop.is_set():
            tickets = self._sort(self.inbox.take(self._patience()))
            if self._notified.is_set():
                self._notified.clear()
                self._times = self._times.hurried()
            if not self._parts.stop.is_set() and (tickets or time.monotonic() >= self._times.next_fetch):
                self._fetch(tickets)
            if self._changes is not None and not self._parts.stop.is_set():
                self._write(self._changes)
        self._sort(self.inbox.take(0.0))
        for ticket in self._waiting:
            ticket.failed("flux-agent is shutting down", "nothing was changed; try again in a moment")

    def _patience(self) -> float:
        """Seconds until there is something to do, whoever may ask for more meanwhile."""
        now = time.monotonic()
        due = (
            self._changes.due(self._parts.board.status(), now) if self._changes is not None else self._times.next_fetch
        )
        return 0.0 if self._waiting else min(self._times.next_fetch, due) - now

    def _sort(self, items: Iterable[SyncTicket | Synced | Change]) -> tuple[SyncTicket, ...]:
        """Finish what was synced, queue the changes; the syncs that were asked for."""
        tickets: list[SyncTicket] = []
        for item in items:
            if isinstance(item, Synced):
                self._finish(item)
            elif isinstance(item, Change):
                self._waiting.append(item.ticket)
            else:
                tickets.append(item)
        return tuple(tickets)

    def _write(self, changes: ChangeLane) -> None:
        """Perform the next change that was asked for, or else what automation wants."""
        if self._waiting:
            head = changes.perform(self._waiting.popleft())
        else:
            head = changes.automate(self._parts.board.status())
        if head:  # the cluster lane applies it at once
            self._seen(head, ())

    def _fetch(self, tickets: tuple[SyncTicket, ...]) -> None:
        now = time.monotonic
        try:
            revision = self._repository.fetch().sha
        except StoppedError:
            return
        except FluxError as error:
            self._times = self._times.after_failure(now(), self._interval)
            self._fetch_failed(error, tickets)
            return
        self._times = self._times.after_success(now(), self._interval)
        self._read_marker()
        self._seen(revision, tickets)

    def _seen(self, revision: str, tickets: tuple[SyncTicket, ...]) -> None:
        """The repository is at this revision: tell everybody, and have it synced where it is new or was asked for."""
        board = self._parts.board
        board.publish_repository(ready=True, error="")
        self._parts.gauges.set_git_ready(ready=True)
        known = board.status().revision_seen
        board.publish(revision_seen=revision, seen_at=time.time(), revision_marked=self._marked or "")
        if revision != known:
            self._parts.log.info("the repository has a new revision", revision=revision, before=known)
        for ticket in tickets:
            ticket.running(self._progress(revision))
        if self._revisions is not None and (tickets or revision != known):
            self._revisions.put(Revision(revision, tickets))

    def _read_marker(self) -> None:
        """Look where the marker stands: somebody may have moved it. That it cannot be read stops nothing."""
        try:
            self._marked = self._marker.read()
            if self._unreadable:
                self._unreadable = False
                self._parts.board.publish(marker_error="")
        except StoppedError:
            return
        except FluxError as error:
            self._marked, self._unreadable = None, True
            self._parts.board.publish(marker_error=str(error))

    def _fetch_failed(self, error: FluxError, tickets: Iterable[SyncTicket]) -> None:
        self._parts.log.warning("the repository could not be fetched", error=str(error))
        self._parts.board.publish_repository(error=str(error))
        self._parts.gauges.set_git_ready(ready=False)
        for ticket in tickets:
            ticket.failed(None, error.message, error.hint)

    def _finish(self, synced: Synced) -> None:
        """Move the marker where it may, and tell the jobs."""
        problem = synced.hold
        if not problem and synced.sha != self._marked:
            try:
                self._marker.advance(synced.sha)
                log_event(self._parts.log, self._event(self._marked or "", synced))
                self._marked = synced.sha
            except StoppedError:
                return
            except FluxError as error:
                problem = str(error)
                self._parts.log.warning("the sync marker could not be moved", revision=synced.sha, error=problem)
        self._parts.board.publish(revision_marked=self._marked or "", marker_error=problem)
        for ticket in synced.tickets:
            progress = replace(self._progress(synced.sha), report=synced.report, marker_error=problem)
            self._end(ticket, progress, synced.report)

    def _event(self, before: str, synced: Synced) -> SyncEvent:
        """What the move of the marker means; without the commits where git cannot tell them."""
        try:
            between = self._repository.commits_between(before, synced.sha, MAX_COMMITS)
        except FluxError:
            between = ()
        commits = tuple(CommitSummary(commit.sha, commit.author, commit.subject) for commit in between)
        return SyncEvent(before, synced.sha, commits, synced.report)

    @staticmethod
    def _end(ticket: SyncTicket, progress: SyncProgress, report: SyncReport) -> None:
        if report.error:
            ticket.failed(progress, report.error, "")
        elif report.failures:
            count = len(report.failures)
            ticket.failed(progress, f"{count} {'object' if count == 1 else 'objects'} could not be synced", "")
        elif report.remaining:
            ticket.failed(progress, f"{report.remaining} objects were not reached in time; the next sync goes on", "")
        else:
            ticket.succeeded(progress)

    def _progress(self, revision: str) -> SyncProgress:
        repository = self._parts.board.status().repository
        return SyncProgress(repository.url, repository.branch, revision)
