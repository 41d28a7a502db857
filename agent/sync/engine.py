"""One sync: a revision's manifests in, a report out.

The shell around the pure parts: build the desired state, observe, plan, apply, report. Nothing here raises for a bad
object; only a cluster that cannot be reached at all ends a sync early, with the reason in its report.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from agent.model.errors import ClusterError, FluxError
from agent.model.ids import group_of
from agent.model.resources import Failure, Loaded, Manifest
from agent.model.status import SyncReport
from agent.settings import SyncSettings
from agent.sync.apply import Applied, Applier, failure
from agent.sync.cluster import Cluster, Kinds
from agent.sync.collect import Collected, Collector, Hands, Left
from agent.sync.desired import Desired, DesiredBuilder, DesiredState, Scope
from agent.sync.live import Settled
from agent.sync.marks import Marker
from agent.sync.observe import FORBIDDEN, Observation, Observer
from agent.sync.plan import Plan, Step, Verb, plan
from agent.sync.ranks import FOUNDATIONS

_CRD_PATIENCE = 10.0
"""Seconds a new CustomResourceDefinition gets to be served; it takes milliseconds."""
_CRD_PAUSE = 0.05
_CRD = "CustomResourceDefinition"


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
            failures = _load_failures(request.loaded, DesiredState(()))
            return SyncReport(request.revision, started, time.monotonic() - clock, failures=failures, error=str(error))
        return run.report(request.revision, started, time.monotonic() - clock)

    def _run(self, run: _Run) -> None:
        run.state = self._builder.build(run.loaded.manifests, run.kinds)
        if run.state.unserved:
            self._serve_new_kinds(run)
        observed = self._observe(run)
        run.plan = plan(_readable(run.state.objects, observed), observed.live, self._marker)
        run.unread = _unread(run.state.objects, observed)
        run.error = _reading_error(observed)
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
        defined = _kinds_defined(run.loaded.manifests)
        awaited = {kind for kinds in defined.values() for kind in kinds}
        if not any((item.api_version, item.kind) in awaited for item in run.state.unserved):
            return
        observed = self._observe(run)
        early = plan(_readable(run.state.objects, observed), observed.live, self._marker)
        first = [rank for rank in early.ranks() if rank[0].desired.rank <= FOUNDATIONS]
        applied = self._applier.apply(first, run.expired)
        run.applied += applied
        accepted = [step.desired.key.name for step in applied.done if step.desired.key.kind == _CRD]
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
        return tuple(str(problem) for problem in (*self.loaded.holding, *self.state.duplicates))

    def deletions_held(self) -> str:
        """Why nothing may be deleted in this sync; empty where it may."""
        if self.error:
            return f"waits until the cluster can be read: {self.error}"
        if holds := self.holds():
            return f"waits until all of the revision loads: {holds[0]}"
        return "waits until every object has been applied" if self.applied.left else ""

    def report(self, revision: str, started: float, duration: float) -> SyncReport:
        failures = (
            *_load_failures(self.loaded, self.state),
            *(_unserved(manifest, self.kinds) for manifest in self.state.unserved),
            *self.unread,
            *(_refused(step) for step in self.plan.of(Verb.REFUSE)),
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


def _readable(objects: Iterable[Desired], observed: Observation) -> list[Desired]:
    return [item for item in objects if item.ignored or observed.error_for(item) is None]


def _unread(objects: Iterable[Desired], observed: Observation) -> tuple[Failure, ...]:
    found = []
    for item in objects:
        error = observed.error_for(item)
        if error is not None and error.status == FORBIDDEN and not item.ignored:
            reason = ClusterError(f"its state cannot be read: {error.message}", status=error.status)
            found.append(failure(item, reason))
    return tuple(found)


def _reading_error(observed: Observation) -> str:
    """Why something could not be read that may be read a moment later; a missing right is no such reason."""
    for (resource, _), error in observed.unreadable.items():
        if error.status != FORBIDDEN:
            return f"{resource.plural} could not be listed: {error.message}"
    return ""


def _kinds_defined(manifests: Iterable[Manifest]) -> dict[str, set[tuple[str, str]]]:
    """What this revision's own CustomResourceDefinitions will serve: their names → apiVersions and kinds."""
    found: dict[str, set[tuple[str, str]]] = {}
    for manifest in manifests:
        if manifest.kind == _CRD:
            spec = _mapping(json.loads(manifest.body).get("spec"))
            kind, group, versions = _mapping(spec.get("names")).get("kind"), spec.get("group"), spec.get("versions")
            served = [_mapping(version) for version in versions] if isinstance(versions, list) else []
            names = [version.get("name") for version in served if version.get("served")]
            found[manifest.name] = {(f"{group}/{name}", str(kind)) for name in names}
    return found


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _load_failures(loaded: Loaded, state: DesiredState) -> tuple[Failure, ...]:
    return tuple(
        Failure(problem.object_id, problem.reason, problem.origin) for problem in (*loaded.holding, *state.duplicates)
    )


def _unserved(manifest: Manifest, kinds: Kinds) -> Failure:
    group = group_of(manifest.api_version)
    reason = f"the cluster serves no {manifest.kind} of {manifest.api_version}; "
    if group in kinds.broken_groups:
        reason += f"the API server that stands behind the group {group} does not answer"
    else:
        reason += "is its CustomResourceDefinition missing?"
    return Failure(
        f"{manifest.namespace or '<cluster>'}:{manifest.kind.lower()}/{manifest.name}", reason, manifest.origin
    )


def _refused(step: Step) -> Failure:
    reason = f'{step.reason}; remove it there or from git, or annotate it with fluxcd.io/ignore: "true"'
    return Failure(str(step.desired.key), reason, step.desired.origin, step.desired.key)


def _final(applied: Applied) -> list[Failure]:
    """One failure for each object, the last; none for what was accepted when it was tried again."""
    accepted = {step.desired.key for step in applied.done}
    return list({failed.key: failed for failed in applied.failed if failed.key not in accepted}.values())


def _notices(loaded: Loaded, state: DesiredState) -> tuple[str, ...]:
    skipped = [str(problem) for problem in loaded.problems if not problem.kind.holds]
    outside = [f"{key} is outside the allowed namespaces and is left alone" for key in state.outside]
    return tuple(skipped + outside)
