"""One sync: a revision's manifests in, a report out.

The shell around the pure parts: build the desired state, observe, plan, apply, report. Nothing here raises for a bad
object; only a cluster that cannot be reached at all ends a sync early, with the reason in its report.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from agent.model.errors import FluxError
from agent.model.resources import Failure, Loaded
from agent.model.status import SyncReport
from agent.settings import SyncSettings
from agent.sync.apply import Applied, Applier
from agent.sync.cluster import Cluster, Kinds
from agent.sync.collect import Collected, Collector, Hands, Left
from agent.sync.desired import DesiredBuilder, DesiredState, Scope
from agent.sync.findings import (
    CRD,
    holds_of,
    kinds_defined,
    load_failures,
    readable,
    reading_error,
    refused,
    unread,
    unserved,
    waits_for_loading,
)
from agent.sync.live import Settled
from agent.sync.marks import Marker
from agent.sync.observe import Observation, Observer
from agent.sync.plan import Plan, Verb, plan
from agent.sync.ranks import FOUNDATIONS

_CRD_PATIENCE = 10.0
"""Seconds a new CustomResourceDefinition gets to be served; it takes milliseconds."""
_CRD_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What to sync: the revision, what it holds, and the hashes of held deletions that were approved."""

    revision: str
    loaded: Loaded
    approved: frozenset[str] = frozenset()


class SyncEngine:
    """Syncs one source; used by one thread, works with many."""

    def __init__(
        self, cluster: Cluster, marker: Marker, scope: Scope, settings: SyncSettings, stop: threading.Event
    ) -> None:
        self._cluster = cluster
        self._marker = marker
        self._settings = settings
        self._stop = stop
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="apply")
        self._settled = Settled()
        self._builder = DesiredBuilder(marker, scope)
        self._observer = Observer(cluster, self._settled, scope, self._pool)
        self._applier = Applier(cluster, self._settled, self._pool, stop)
        self._collector = Collector(Hands(cluster, self._observer, self._pool, stop), marker, settings)
        self._scope = scope

    def close(self, *, wait: bool = True) -> None:
        """End the worker threads; with `wait` the requests under way finish first."""
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def sync(self, request: SyncRequest) -> SyncReport:
        """Bring the cluster to this revision, as far as it goes within `--sync-timeout`."""
        started, clock = time.time(), time.monotonic()
        self._applier.newest = {}
        try:
            run = _Run(self._cluster.kinds(), request, self._settings.timeout)
            self._run(run)
        except FluxError as error:
            failures = load_failures(request.loaded, DesiredState(()))
            return SyncReport(
                request.revision,
                started,
                time.monotonic() - clock,
                failures=failures,
                newest=dict(self._applier.newest),
                error=str(error),
            )
        return run.report(request.revision, started, time.monotonic() - clock)

    def _run(self, run: _Run) -> None:
        run.state = self._builder.build(run.loaded.manifests, run.kinds)
        if run.state.unserved:
            self._serve_new_kinds(run)
        observed = self._observe(run)
        run.plan = plan(readable(run.state.objects, observed), observed.live, self._marker)
        run.unread = unread(run.state.objects, observed)
        run.error = reading_error(observed)
        run.unreached = len(run.state.objects) - len(run.plan.steps) - len(run.unread)
        run.applied += self._applier.apply(run.plan.ranks(), run.expired)
        run.newest = self._applier.newest
        self._remember(run)
        if self._settings.garbage_collection:
            left = Left(
                run.kinds,
                run.state.resources,
                run.state.named,
                frozenset((manifest.kind, manifest.name) for manifest in run.state.unserved),
                observed,
                sum(step.live is None for step in run.applied.done),
                run.deletions_held(),
                run.approved,
                run.expired,
            )
            run.collected = self._collector.collect(left, self._scope)

    def _observe(self, run: _Run) -> Observation:
        observed = self._observer.observe({item.key: item for item in run.state.objects})
        run.begin()
        return observed

    def _serve_new_kinds(self, run: _Run) -> None:
        """Some kinds are not served. Maybe they are by now, or will be once this revision's CRDs are applied."""
        run.kinds = self._cluster.kinds(refresh=True)
        run.state = self._builder.build(run.loaded.manifests, run.kinds)
        defined = {
            name: {(kind.api_version, kind.kind) for kind in kinds}
            for name, kinds in kinds_defined(run.loaded.manifests).items()
        }
        awaited = {kind for kinds in defined.values() for kind in kinds}
        if not any((item.api_version, item.kind) in awaited for item in run.state.unserved):
            return
        observed = self._observe(run)
        early = plan(readable(run.state.objects, observed), observed.live, self._marker)
        first = [rank for rank in early.ranks() if rank[0].desired.rank <= FOUNDATIONS]
        applied = self._applier.apply(first, run.expired)
        run.applied += applied
        accepted = [step.desired.key.name for step in applied.done if step.desired.key.kind == CRD]
        self._await_kinds(run, {kind for name in accepted for kind in defined.get(name, ())})

    def _await_kinds(self, run: _Run, awaited: set[tuple[str, str]]) -> None:
        """Wait until the kinds of the definitions that were just accepted are served."""
        deadline = time.monotonic() + _CRD_PATIENCE
        while True:
            run.kinds = self._cluster.kinds(refresh=True)
            run.state = self._builder.build(run.loaded.manifests, run.kinds)
            waiting = any((item.api_version, item.kind) in awaited for item in run.state.unserved)
            if not waiting or run.expired() or time.monotonic() > deadline or self._stop.wait(_CRD_PAUSE):
                return

    def _remember(self, run: _Run) -> None:
        """Keep what was verified, for exactly the objects there are."""
        uids = set()
        for step in run.plan.steps:
            if step.live is not None:
                uids.add(step.live.uid)
                if step.verb is Verb.KEEP:
                    self._settled.verify(step.live.uid, step.live.resource_version, step.live.checksum)
        self._settled.keep_only(uids)


class _Run:
    """What one sync gathers on its way."""

    def __init__(self, kinds: Kinds, request: SyncRequest, timeout: float) -> None:
        self.kinds = kinds
        self._timeout = timeout
        self._deadline: float | None = None
        self.loaded = request.loaded
        self.approved = request.approved
        self.state = DesiredState(())
        self.plan = Plan(())
        self.applied = Applied()
        self.unread: tuple[Failure, ...] = ()
        self.collected = Collected()
        self.newest: dict[tuple[str, str], int] = {}
        self.error = ""
        self.unreached = 0

    def begin(self) -> None:
        """The time of the sync runs from the first look at the cluster on: however short, something gets done."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._timeout

    def expired(self) -> bool:
        """Whether the time of the sync is over."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def holds(self) -> tuple[str, ...]:
        """What of the revision did not load."""
        return holds_of(self.loaded, self.state)

    def deletions_held(self) -> str:
        """Why nothing may be deleted in this sync; empty where it may."""
        if self.error:
            return f"waits until the cluster can be read: {self.error}"
        if waits := waits_for_loading(self.holds()):
            return waits
        return "waits until every object has been applied" if self.applied.left else ""

    def report(self, revision: str, started: float, duration: float) -> SyncReport:
        failures = (
            *load_failures(self.loaded, self.state),
            *(unserved(manifest, self.kinds) for manifest in self.state.unserved),
            *self.unread,
            *(refused(step) for step in self.plan.of(Verb.REFUSE)),
            *_final(self.applied),
            *self.collected.failures,
        )
        return SyncReport(
            revision=revision,
            started_at=started,
            duration=duration,
            objects=len(self.state.objects) + len(self.state.unserved) + len(self.state.outside),
            applied=len({step.desired.key for step in self.applied.done}),
            unchanged=len(self.plan.of(Verb.KEEP)),
            ignored=len(self.plan.of(Verb.IGNORE)) + len(self.state.outside),
            remaining=len({step.desired.key for step in self.applied.left}) + self.collected.left + self.unreached,
            deleted=self.collected.deleted,
            failures=failures,
            pending_deletions=self.collected.pending,
            deletions_hash=self.collected.approval,
            notices=(*_notices(self.loaded, self.state), *self.collected.notices),
            holds=self.holds(),
            newest=self.newest,
            error=self.error,
        )


def _final(applied: Applied) -> list[Failure]:
    """One failure for each object, the last; none for what was accepted when it was tried again."""
    accepted = {step.desired.key for step in applied.done}
    return list({failed.key: failed for failed in applied.failed if failed.key not in accepted}.values())


def _notices(loaded: Loaded, state: DesiredState) -> tuple[str, ...]:
    skipped = [str(problem) for problem in loaded.problems if not problem.kind.holds]
    outside = [f"{key} is outside the allowed namespaces and is left alone" for key in state.outside]
    return tuple(skipped + outside)
