"""What a sync of a revision would do, without doing any of it.

Desired state, observation, plan and deletions come from the same parts as a sync's, in instances of their own, so that
previews run beside a sync in any number of threads. What each object would look like is asked for later (`dryrun`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from agent.model.errors import ClusterError
from agent.model.ids import ObjectKey
from agent.model.resources import Failure, Loaded, Resource
from agent.settings import SyncSettings
from agent.sync.cluster import Cluster, Kinds
from agent.sync.collect import Left, circumstances, collectable, departed
from agent.sync.desired import Desired, DesiredBuilder, DesiredState, Scope
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
from agent.sync.live import Live, Settled
from agent.sync.marks import Marker
from agent.sync.observe import Observer
from agent.sync.plan import Step, Verb, plan
from agent.sync.prune import decide


@dataclass(frozen=True, slots=True)
class Change:
    """One object that a sync would send, delete or hold.

    Attributes:
        path: Where it can be read as it is; empty where it cannot be there yet.
        desired: What would be sent; None for what left git.
        live: What the plan knows of it in the cluster; None where it was not found.
        held: Why its deletion would wait; empty where it would not.
    """

    key: ObjectKey
    api_version: str
    path: str
    desired: Desired | None = None
    live: Live | None = None
    held: str = ""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a sync would attempt, in its order, and what is known to fail.

    `brings` are the Namespaces and CustomResourceDefinitions among it: what stands on them can fail in a dry run only.
    """

    changes: tuple[Change, ...] = ()
    failures: tuple[Failure, ...] = ()
    brings: frozenset[ObjectKey] = frozenset()


class Preview:
    """Foresees the syncs of one source; safe for many threads."""

    def __init__(self, cluster: Cluster, marker: Marker, scope: Scope, settings: SyncSettings) -> None:
        self._cluster = cluster
        self._marker = marker
        self._scope = scope
        self._settings = settings

    def namespaces(self, loaded: Loaded) -> frozenset[str]:
        """Where its objects would go, as far as git alone tells: what names no namespace goes to the default one."""
        return frozenset(manifest.namespace or self._scope.default_namespace for manifest in loaded.manifests)

    def outlook(self, loaded: Loaded, pool: Executor) -> Outlook:
        """What a sync of this would attempt. Costs the LISTs of a sync that looks at every kind.

        Raises:
            ClusterError: The cluster cannot be read.
            StoppedError: The agent is shutting down.
        """
        kinds, state = self._resolved(loaded)
        observer = Observer(self._cluster, Settled(), self._scope, pool)
        there = [item for item in state.objects if not _is_coming(item.resource)]
        observed = observer.observe({item.key: item for item in there})
        if error := reading_error(observed):
            raise ClusterError(error)
        coming = [item for item in state.objects if _is_coming(item.resource)]
        steps = plan([*readable(there, observed), *coming], observed.live, self._marker)
        failures = (
            *load_failures(loaded, state),
            *(unserved(manifest, kinds) for manifest in state.unserved),
            *unread(there, observed),
            *(refused(step) for step in steps.of(Verb.REFUSE)),
        )
        sent = tuple(_sent(step, kinds) for step in steps.of(Verb.APPLY))
        left = Left(
            kinds,
            frozenset(item.resource for item in there),
            state.named,
            frozenset((manifest.kind, manifest.name) for manifest in state.unserved),
            observed,
            sum(change.live is None for change in sent),
            waits_for_loading(holds_of(loaded, state)),
        )
        leaving = self._leaving(left, observer) if self._settings.garbage_collection else ()
        return Outlook((*sent, *leaving), failures, frozenset(change.key for change in sent if _brings(change.key)))

    def _resolved(self, loaded: Loaded) -> tuple[Kinds, DesiredState]:
        """What is served, and the revision against it and the kinds that it would bring itself."""
        builder = DesiredBuilder(self._marker, self._scope)
        kinds = self._cluster.kinds()
        state = builder.build(loaded.manifests, kinds)
        if not state.unserved:
            return kinds, state
        kinds = self._cluster.kinds(refresh=True)
        state = builder.build(loaded.manifests, kinds)
        definitions = {item.key.name for item in state.objects if item.key.kind == CRD and not item.ignored}
        coming = {
            (resource.api_version, resource.kind): resource
            for name, resources in kinds_defined(loaded.manifests).items()
            for resource in resources
            if name in definitions
        }
        return kinds, builder.build(loaded.manifests, _WithComing(kinds, coming))

    def _leaving(self, left: Left, observer: Observer) -> tuple[Change, ...]:
        """What would be deleted, in that order, and what would be held; what is on its way out already is neither."""
        others = observer.marked(collectable(left.kinds.preferred, left.in_git, self._scope))
        everything = [*left.observed.live.values(), *others.live.values()]
        gone = departed(everything, left, self._marker, self._scope)
        pruning = decide(gone.candidates, circumstances(left, gone, self._settings))
        waiting = {candidate.live.uid: candidate.live for candidate in gone.candidates if not candidate.live.deleting}
        held = [_left(waiting[pending.uid], pending.reason) for pending in pruning.pending if pending.uid in waiting]
        return (*(_left(live) for live in pruning.delete), *held)


class _WithComing:
    """The served kinds, and behind them those that the revision would bring."""

    def __init__(self, kinds: Kinds, coming: Mapping[tuple[str, str], Resource]) -> None:
        self._kinds = kinds
        self._coming = coming

    def find(self, api_version: str, kind: str) -> Resource | None:
        return self._kinds.find(api_version, kind) or self._coming.get((api_version, kind))


def _is_coming(resource: Resource) -> bool:
    """Whether the cluster does not serve it yet: what it serves has verbs."""
    return not resource.verbs


def _brings(key: ObjectKey) -> bool:
    return key.kind == CRD or (key.kind == "Namespace" and not key.group)


def _sent(step: Step, kinds: Kinds) -> Change:
    desired = step.desired
    return Change(desired.key, desired.resource.api_version, _path(desired, kinds.preferred), desired, step.live)


def _path(desired: Desired, served: Iterable[Resource]) -> str:
    """Where the object is as it is: an object of a version that is coming, at a version that is served."""
    key = desired.key
    if not _is_coming(desired.resource):
        return desired.path
    same = (resource for resource in served if (resource.group, resource.kind) == (key.group, key.kind))
    return next((resource.path(key.namespace, key.name) for resource in same), "")


def _left(live: Live, held: str = "") -> Change:
    path = live.resource.path(live.key.namespace, live.key.name)
    return Change(live.key, live.resource.api_version, path, live=live, held=held)
