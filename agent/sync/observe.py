"""Reading what the cluster has of a desired state: one LIST per kind and namespace scope, pages of 500.

The first LIST is filtered by our label. Only where that leaves objects of git unaccounted for, a second one without
filter (metadata only, as the first) tells whether they exist unmarked. What may not be listed in the whole cluster is
listed in the namespaces that git names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from agent.model.errors import ClusterError
from agent.model.ids import ObjectKey
from agent.model.policies import SYNC_MARK
from agent.model.resources import Resource
from agent.sync.cluster import Cluster
from agent.sync.desired import Desired, Scope
from agent.sync.live import Live, Settled, observe

FORBIDDEN = 403


@dataclass(slots=True)
class Observation:
    """What was found. `unreadable` holds the kinds and namespaces whose list failed (namespace empty: all)."""

    live: dict[ObjectKey, Live] = field(default_factory=dict)
    unreadable: dict[tuple[Resource, str], ClusterError] = field(default_factory=dict)

    def error_for(self, desired: Desired) -> ClusterError | None:
        """Why nothing is known of this object's state; None where its kind could be read."""
        resource, namespace = desired.resource, desired.key.namespace
        return self.unreadable.get((resource, "")) or self.unreadable.get((resource, namespace))


class Observer:
    """Reads the cluster; remembers which kinds it must read namespace by namespace."""

    def __init__(self, cluster: Cluster, settled: Settled, scope: Scope, pool: Executor) -> None:
        self._cluster = cluster
        self._settled = settled
        self._scope = scope
        self._pool = pool
        self._by_namespace: set[Resource] = set()
        self._places: set[str] = set(scope.allowed)
        """Namespaces to look into where the whole cluster is not: the allowed ones, or all that git ever named."""

    def observe(self, desired: Mapping[ObjectKey, Desired]) -> Observation:
        """Everything the cluster has of these objects, and whatever else carries our label in their kinds."""
        namespaces: dict[Resource, set[str]] = {}
        for item in desired.values():
            if not self._scope.lists(item.resource):
                continue
            namespaces.setdefault(item.resource, set()).add(item.key.namespace)
        if not self._scope.allowed:
            self._places |= {item.key.namespace for item in desired.values() if item.key.namespace}
        found = Observation()
        self._read(found, namespaces, desired, SYNC_MARK)
        missing: dict[Resource, set[str]] = {}
        for key, item in desired.items():
            seen = key in found.live or item.ignored or found.error_for(item) is not None
            if not seen and self._scope.lists(item.resource):
                missing.setdefault(item.resource, set()).add(key.namespace)
        self._read(found, missing, desired, "")
        return found

    def forget_restrictions(self) -> None:
        """Try again to list in the whole cluster what could not be: rights may have been granted since."""
        self._by_namespace.clear()

    def marked(self, resources: Iterable[Resource]) -> Observation:
        """Whatever carries our label in these kinds, none of which git names."""
        found = Observation()
        self._read(found, {resource: set() for resource in resources}, {}, SYNC_MARK)
        return found

    def _read(
        self,
        found: Observation,
        namespaces: Mapping[Resource, set[str]],
        desired: Mapping[ObjectKey, Desired],
        selector: str,
    ) -> None:
        """List these kinds, several at once; every task fills an observation of its own."""
        tasks = [
            self._pool.submit(self._read_kind, resource, wanted, desired, selector)
            for resource, wanted in namespaces.items()
        ]
        for task in tasks:
            part = task.result()
            found.live.update(part.live)
            found.unreadable.update(part.unreadable)

    def _read_kind(
        self, resource: Resource, wanted: set[str], desired: Mapping[ObjectKey, Desired], selector: str
    ) -> Observation:
        """What is ours is looked for in every place, what may be unmarked only where git names it."""
        found = Observation()
        places = sorted(self._places | wanted if selector else wanted)
        restricted = resource.namespaced and (bool(self._scope.allowed) or resource in self._by_namespace)
        for scope in places if restricted else [""]:
            try:
                self._read_scope(found, resource, scope, desired, selector)
            except ClusterError as error:
                if error.status == FORBIDDEN and resource.namespaced and not scope and places:
                    self._by_namespace.add(resource)
                    return self._read_kind(resource, wanted, desired, selector)
                found.unreadable[resource, scope] = error
        return found

    def _read_scope(
        self, found: Observation, resource: Resource, scope: str, desired: Mapping[ObjectKey, Desired], selector: str
    ) -> None:
        for item in self._cluster.list_metadata(resource.path(scope), label_selector=selector):
            metadata = item["metadata"]
            key = ObjectKey(resource.group, resource.kind, metadata.get("namespace", ""), metadata["name"])
            if selector or (key in desired and key not in found.live):
                found.live[key] = observe(item, resource, desired, self._settled)
