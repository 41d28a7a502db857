"""Which kinds the API server serves.

Aggregated discovery (Kubernetes 1.26 and later) tells everything in two requests; an older server, or one behind
a proxy that drops the Accept header, is asked group by group.
Source: Kubernetes API concepts, "Aggregated discovery".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.model.errors import ClusterError
from agent.model.resources import Resource

_AGGREGATED = ",".join(
    [f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")]
    + ["application/json"]
)


class Getter(Protocol):
    """What discovery needs of a client."""

    def get(self, path: str, *, accept: str = ...) -> dict[str, Any]:
        """One document."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The served kinds, by apiVersion and kind; and one version of each for listing everything."""

    resources: Mapping[tuple[str, str], Resource] = field(default_factory=dict)
    preferred: tuple[Resource, ...] = ()
    broken_groups: frozenset[str] = frozenset()
    """Groups whose own API server does not answer: nothing can be said about their kinds."""

    def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a manifest's apiVersion and kind, where it is served."""
        return self.resources.get((api_version, kind))


def discover(client: Getter) -> Catalog:
    """Ask the server what it serves.

    Raises:
        ClusterError: The server does not answer; a broken aggregated group alone is no error.
    """
    resources: list[Resource] = []
    broken: set[str] = set()
    for root in ("/api", "/apis"):
        document = client.get(root, accept=_AGGREGATED)
        if document.get("kind") == "APIGroupDiscoveryList":
            resources += _aggregated(document, broken)
        else:
            resources += _legacy(client, root, document, broken)
    return catalog(resources, broken)


def catalog(resources: Iterable[Resource], broken: Iterable[str] = ()) -> Catalog:
    """Index the resources; within a group the server's order tells which version it prefers."""
    by_kind: dict[tuple[str, str], Resource] = {}
    preferred: dict[tuple[str, str], Resource] = {}
    for resource in resources:
        by_kind.setdefault((resource.api_version, resource.kind), resource)
        preferred.setdefault((resource.group, resource.kind), resource)
    return Catalog(by_kind, tuple(preferred.values()), frozenset(broken))


def _aggregated(document: dict[str, Any], broken: set[str]) -> Iterator[Resource]:
    for group in document.get("items") or ():
        name = group.get("metadata", {}).get("name", "")
        for version in group.get("versions") or ():
            if version.get("freshness") == "Stale":
                broken.add(name)
            for entry in version.get("resources") or ():
                kind = entry.get("responseKind") or {}
                yield Resource(
                    name,
                    version["version"],
                    kind.get("kind", ""),
                    entry["resource"],
                    entry.get("scope") == "Namespaced",
                    frozenset(entry.get("verbs") or ()),
                )


def _legacy(client: Getter, root: str, document: dict[str, Any], broken: set[str]) -> Iterator[Resource]:
    if root == "/api":
        versions = [("", version) for version in document.get("versions") or ()]
    else:
        versions = [
            (group["name"], version["version"])
            for group in document.get("groups") or ()
            for version in _preferred_first(group)
        ]
    for group, version in versions:
        try:
            listing = client.get(f"{root}/{group}/{version}" if group else f"{root}/{version}")
        except ClusterError as error:
            if error.status in (0, 401, 403):
                raise
            broken.add(group)
            continue
        for entry in listing.get("resources") or ():
            if "/" not in entry["name"]:
                yield Resource(
                    group, version, entry["kind"], entry["name"], entry["namespaced"], frozenset(entry["verbs"])
                )


def _preferred_first(group: dict[str, Any]) -> list[dict[str, str]]:
    preferred = group.get("preferredVersion", {}).get("version")
    return sorted(group.get("versions") or (), key=lambda version: version["version"] != preferred)
