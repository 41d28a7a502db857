"""Garbage collection: finding what left git, asking `prune` about it, and deleting what may go.

Every sync looks at the kinds that git has or had since the start. Every listable kind is looked at in the first sync
and hourly after that, so that a kind that left git while nobody ran is found too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import groupby

from agent.model.errors import ClusterError, FluxError, StoppedError
from agent.model.ids import ObjectKey
from agent.model.resources import Failure, Resource
from agent.model.status import PendingDeletion
from agent.settings import SyncSettings
from agent.sync.cluster import Cluster, Kinds
from agent.sync.desired import Scope
from agent.sync.live import Live
from agent.sync.marks import Marker
from agent.sync.observe import FORBIDDEN, Observation, Observer
from agent.sync.prune import Candidate, Circumstances, Pruning, decide, limit
from agent.sync.ranks import rank_of

EVERYTHING_EVERY = 3600.0
"""Seconds between looks at every kind of the cluster."""
MAX_NAMES = 20
"""Kinds or namespaces that one notice names."""
_GONE = frozenset({404, 409})
"""Already deleted, or another object of that name by now: nothing of ours is left."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What garbage collection did and what it left."""

    deleted: int = 0
    failures: tuple[Failure, ...] = ()
    pending: tuple[PendingDeletion, ...] = ()
    approval: str = ""
    notices: tuple[str, ...] = ()
    left: int = 0
    """Deletions that were not reached in time."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a sync knows when it comes to collecting: what git names, what was seen, and why deletions must wait."""

    kinds: Kinds
    in_git: frozenset[Resource]
    named: frozenset[ObjectKey]
    unserved: frozenset[tuple[str, str]]
    """Kinds and names in git whose kind the cluster does not serve: which object they mean is not known."""
    observed: Observation
    created: int
    holds: str
    approved: frozenset[str] = frozenset()
    expired: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Departed:
    """What of the source left git, and what it has in the cluster: all of it, and how much of that git names."""

    candidates: tuple[Candidate, ...]
    owned: tuple[Live, ...]
    staying: int


def departed(everything: Collection[Live], left: Left, marker: Marker, scope: Scope) -> Departed:
    """Tell apart what this source has in the cluster; pure. What is not ours, or was made by a controller, is not."""
    ours = [live for live in everything if marker.is_ours(live.key, live.mark) and not live.controlled]
    # One object may be served in two groups: what git names in either stays.
    named = {live.uid for live in everything if _is_named(live, left)}
    candidates = [
        Candidate(live, marker.is_orphan(live.source))
        for live in ours
        if live.uid not in named and not live.kept and scope.allows(live.resource, live.key)
    ]
    return Departed(tuple(candidates), tuple(ours), sum(_is_named(live, left) for live in ours))


def circumstances(left: Left, gone: Departed, settings: SyncSettings) -> Circumstances:
    """What decides about deletions, before anybody approved any; pure."""
    return Circumstances(
        limit(settings.deletion_limit),
        frozenset(settings.held_kinds),
        left.holds,
        settings.garbage_collection_dry,
        len(gone.owned) + left.created,
        gone.staying + left.created,
    )


def collectable(wanted: Iterable[Resource], in_git: frozenset[Resource], scope: Scope) -> list[Resource]:
    """The kinds to look at beside those in git; pure."""
    looked = {(resource.group, resource.kind) for resource in in_git}
    return [
        resource
        for resource in wanted
        if (resource.group, resource.kind) not in looked
        and {"list", "delete"} <= resource.verbs
        and scope.lists(resource)
    ]


def _is_named(live: Live, left: Left) -> bool:
    """Whether git names it; where its kind left the cluster's API, kind and name are enough."""
    return live.key in left.named or (live.key.kind, live.key.name) in left.unserved


@dataclass(frozen=True, slots=True)
class Hands:
    """What the collector works with."""

    cluster: Cluster
    observer: Observer
    pool: Executor
    stop: threading.Event


class Collector:
    """Deletes what this source created and git no longer has; used by one thread."""

    def __init__(self, hands: Hands, marker: Marker, settings: SyncSettings) -> None:
        self._cluster = hands.cluster
        self._observer = hands.observer
        self._pool = hands.pool
        self._stop = hands.stop
        self._marker = marker
        self._settings = settings
        # An approval outlives what holds deletions at the moment, and deletions that the time cut off.
        self._approvals: frozenset[str] = frozenset()
        self._approved_uids: frozenset[str] = frozenset()
        self._seen: set[Resource] = set()
        self._everything_at = 0.0
        self._unreadable: dict[tuple[Resource, str], ClusterError] = {}
        """What could not be listed the last time it was asked for."""

    def collect(self, left: Left, scope: Scope) -> Collected:
        """Find, decide, delete."""
        others = self._kinds_to_look_at(left.kinds, left.in_git, scope)
        observed = self._observer.marked(others)
        self._remember_unreadable([*left.in_git, *others], {**left.observed.unreadable, **observed.unreadable})
        everything = [*left.observed.live.values(), *observed.live.values()]
        gone = departed(everything, left, self._marker, scope)
        pruning = decide(gone.candidates, self._circumstances(left, gone))
        incomplete = bool(left.holds) or any(error.status != FORBIDDEN for error in observed.unreadable.values())
        self._approvals = (self._approvals | left.approved) if incomplete else frozenset()
        self._approved_uids = pruning.approved
        self._seen |= left.in_git | {live.resource for live in gone.owned}
        return self._perform(pruning, left.expired, _notices(self._unreadable))

    def _remember_unreadable(
        self, asked: Iterable[Resource], unreadable: Mapping[tuple[Resource, str], ClusterError]
    ) -> None:
        """Kinds that were not asked for this time are as they were."""
        answered = set(asked)
        self._unreadable = {key: error for key, error in self._unreadable.items() if key[0] not in answered}
        self._unreadable.update(unreadable)

    def _circumstances(self, left: Left, gone: Departed) -> Circumstances:
        known = circumstances(left, gone, self._settings)
        return replace(known, approved=left.approved | self._approvals, approved_uids=self._approved_uids)

    def _kinds_to_look_at(self, kinds: Kinds, in_git: frozenset[Resource], scope: Scope) -> list[Resource]:
        """The kinds beside those in git: what was ours before, or from time to time everything."""
        wanted: Iterable[Resource] = self._seen
        if not self._everything_at or time.monotonic() - self._everything_at > EVERYTHING_EVERY:
            self._everything_at = time.monotonic()
            self._observer.forget_restrictions()
            wanted = kinds.preferred
        return collectable(wanted, in_git, scope)

    def _perform(self, pruning: Pruning, expired: Callable[[], bool], notices: tuple[str, ...]) -> Collected:
        """Delete rank after rank; what a rank holds goes at once."""
        results: list[Failure | PendingDeletion | None] = []
        for _, rank in groupby(pruning.delete, lambda live: rank_of(live.key.group, live.key.kind)):
            results += self._pool.map(lambda live: self._delete(live, expired), rank)
        left = [item for item in results if isinstance(item, PendingDeletion)]
        failures = [item for item in results if isinstance(item, Failure)]
        return Collected(
            deleted=len(results) - len(left) - len(failures),
            failures=tuple(failures),
            pending=(*pruning.pending, *left),
            approval=pruning.approval,
            notices=notices,
            left=len(left),
        )

    def _delete(self, live: Live, expired: Callable[[], bool]) -> Failure | PendingDeletion | None:
        name = str(live.key)
        if self._stop.is_set():
            return PendingDeletion(name, "not reached: the agent is shutting down", live.uid)
        if expired():
            return PendingDeletion(name, "not reached in time; the next sync goes on", live.uid)
        try:
            self._cluster.delete(live.resource.path(live.key.namespace, live.key.name), uid=live.uid)
        except StoppedError:
            return PendingDeletion(name, "not reached: the agent is shutting down", live.uid)
        except ClusterError as error:
            if error.status in _GONE:
                return None
            return Failure(name, f"could not be deleted: {error.message}", key=live.key)
        except FluxError as error:
            return Failure(name, f"could not be deleted: {error.message}", key=live.key)
        return None


def _notices(unreadable: Mapping[tuple[Resource, str], ClusterError]) -> tuple[str, ...]:
    """What could not be listed holds only its own deletions; kinds with the same fate share a line."""
    places: dict[tuple[str, Resource], list[str]] = {}
    for (resource, scope), error in unreadable.items():
        verb = "may not be listed" if error.status == FORBIDDEN else "could not be listed"
        places.setdefault((verb, resource), []).append(scope)
    kinds: dict[tuple[str, str], list[str]] = {}
    for (verb, resource), scopes in places.items():
        where = f" in {_enumerated(scopes)}" if any(scopes) else ""
        name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
        kinds.setdefault((verb, where), []).append(name)
    return tuple(
        f"{_enumerated(names)} {verb}{where}, so none of them are deleted there"
        for (verb, where), names in sorted(kinds.items())
    )


def _enumerated(names: Iterable[str]) -> str:
    ordered = sorted(names, key=lambda name: ("." in name, name))
    more = f" and {len(ordered) - MAX_NAMES} more" if len(ordered) > MAX_NAMES else ""
    return ", ".join(ordered[:MAX_NAMES]) + more
