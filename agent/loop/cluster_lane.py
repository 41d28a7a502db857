"""The cluster lane: holds the cluster to a revision. The one writer of the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from agent.git.blame import blamed
from agent.loop.inbox import Inbox
from agent.loop.messages import Parts, Revision, Synced, hold_of
from agent.loop.ports import Engine, Repository
from agent.loop.reporter import Reporter
from agent.manifests.load import ManifestLoader
from agent.model.errors import FluxError, StoppedError
from agent.model.jobs import SyncTicket
from agent.model.resources import Loaded
from agent.model.status import SyncReport
from agent.sync.desired import policies_by_workload
from agent.sync.engine import SyncRequest

_FIRST_BACKOFF = 2.0


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What the cluster lane needs to know.

    Attributes:
        interval: Seconds between syncs.
        paths: The folders to read; none means all.
        default_namespace: Where objects go that name none.
        catch_up: Waits a moment until the lists show what was just written, given the newest versions.
    """

    interval: float
    paths: tuple[str, ...] = ()
    default_namespace: str = "default"
    catch_up: Callable[[Mapping[tuple[str, str], int]], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class ClusterTimes:
    """When the cluster lane looks again by itself: seconds on the monotonic clock, and errors in a row."""

    next_sync: float = 0.0
    errors: int = 0

    def after(self, report: SyncReport, now: float, interval: float) -> ClusterTimes:
        """What was not reached is continued at once; a sync that could not be done is tried again ever later."""
        if report.error:
            return ClusterTimes(now + min(interval, _FIRST_BACKOFF * 2 ** min(self.errors, 20)), self.errors + 1)
        return ClusterTimes(now if report.remaining else now + interval)


class ClusterLane:
    """Syncs every new revision, on demand, and by the clock."""

    def __init__(self, parts: Parts, repository: Repository, engine: Engine, options: ClusterOptions) -> None:
        self.inbox: Inbox[Revision] = Inbox()
        self._parts = parts
        self._repository = repository
        self._engine = engine
        self._options = options
        self._loader = ManifestLoader()
        self._revision = ""
        self._state = ClusterTimes()
        self._loaded: tuple[str, Loaded] = ("", Loaded(()))
        self._reporter = Reporter(parts.log)
        self._report_to: Callable[[Synced], None] = lambda _: None

    def feed(self, outcomes: Callable[[Synced], None]) -> None:
        """Where outcomes go."""
        self._report_to = outcomes

    def run(self) -> None:
        """The lane's loop."""
        while not self._parts.stop.is_set():
            wait = self._state.next_sync - time.monotonic() if self._revision else self._options.interval
            arrived = self.inbox.take(wait)
            if arrived:
                self._revision = arrived[-1].sha
            due = time.monotonic() >= self._state.next_sync
            if self._revision and (arrived or due) and not self._parts.stop.is_set():
                tickets = tuple(ticket for revision in arrived for ticket in revision.tickets)
                self._sync(self._revision, tickets)

    def _sync(self, revision: str, tickets: tuple[SyncTicket, ...]) -> None:
        try:
            loaded = self._load(revision)
        except StoppedError:
            return
        except FluxError as error:
            report = SyncReport(revision, time.time(), error=str(error))
            loaded = Loaded(())
        else:
            approved = frozenset(ticket.allow_deletions for ticket in tickets if ticket.allow_deletions)
            report = self._engine.sync(SyncRequest(revision, loaded, approved))
            report = replace(report, failures=blamed(self._repository, revision, report.failures))
        self._state = self._state.after(report, time.monotonic(), self._options.interval)
        self._options.catch_up(report.newest)
        self._publish(report, loaded)
        self._report_to(Synced(revision, report, hold_of(report), tickets))

    def loaded(self, revision: str) -> Loaded | None:
        """What the revision holds, where it is the one that was loaded last; any thread may ask."""
        known, loaded = self._loaded
        return loaded if known == revision else None

    def _load(self, revision: str) -> Loaded:
        if self._loaded[0] != revision:
            files = self._repository.files(revision, self._options.paths)
            self._loaded = (revision, self._loader.load(files, self._repository.read))
        return self._loaded[1]

    def _publish(self, report: SyncReport, loaded: Loaded) -> None:
        status = self._parts.board.status()
        self._parts.board.publish(
            last_sync=report,
            revision_applied=report.revision if report.complete else status.revision_applied,
            policies=policies_by_workload(loaded.manifests, self._options.default_namespace)
            if not report.error
            else status.policies,
            written={**status.written, **report.newest},
        )
        gauges, failed = self._parts.gauges, len(report.failures)
        gauges.observe_sync(report.duration, not report.error and not report.holds)
        gauges.set_manifests(succeeded=max(report.objects - failed - report.remaining, 0), failed=failed)
        self._reporter.synced(report)
