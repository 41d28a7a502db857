"""The Namespaces and workloads of the cluster, read page by page as manifests. Nothing is cached.

A page is a few LIST requests of one kind in one scope after the other; its cursor carries the API server's own. Kinds
that are not served or may not be listed are left out, as Flux v1 did, with a line in the log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from agent.cluster.discovery import Catalog
from agent.cluster.workloads import KINDS, is_addon
from agent.manifests.clean import belongs_elsewhere, manifest_of
from agent.model.errors import ClusterError
from agent.model.resources import Resource

MAX_LISTS = 32
"""LIST requests for one page, so that many empty namespaces do not make one call long."""

NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False, verbs=frozenset({"list", "get"}))
_HELM = ("helm.fluxcd.io", "HelmRelease")
_ABSENT = frozenset({403, 404, 405})


class Client(Protocol):
    """What exporting needs of a client."""

    def kinds(self, *, refresh: bool = False) -> Catalog:
        """What is served."""

    def get(self, path: str, *, accept: str = ...) -> dict[str, Any]:
        """One object or one page of a list."""

    def list_metadata(self, path: str, *, label_selector: str = "") -> Iterator[dict[str, Any]]:
        """The metadata of a collection."""


class Log(Protocol):
    """A structured logger."""

    def warning(self, event: str, **fields: Any) -> Any:
        """Something is not as it should be."""


class Cursor(NamedTuple):
    """Where a page begins: in this scope, at the kind of this number, behind the API server's token."""

    scope: str = ""
    kind: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class ExportPage:
    """Some manifests, and where the next page begins; None on the last."""

    manifests: tuple[dict[str, Any], ...]
    following: Cursor | None


class Exporter:
    """Reads the cluster for an export.

    Args:
        client: The API server.
        lists: Whether objects of a kind may be listed at all.
        log: Is told what is left out.
    """

    def __init__(self, client: Client, lists: Callable[[Resource], bool], log: Log) -> None:
        self._client = client
        self._lists = lists
        self._log = log

    def namespaces(self) -> tuple[str, ...]:
        """The names of all namespaces; none where the agent may not list them.

        Raises:
            ClusterError: The API server does not answer.
        """
        try:
            return tuple(item["metadata"]["name"] for item in self._client.list_metadata(NAMESPACES.path()))
        except ClusterError as error:
            if error.status not in _ABSENT:
                raise
            return ()

    def has_namespace(self, name: str) -> bool:
        """Whether there is a namespace of this name; assumed where the agent may not look.

        Raises:
            ClusterError: The API server does not answer.
        """
        try:
            self._client.get(NAMESPACES.path(name=name))
        except ClusterError as error:
            if error.status == 404:
                return False
            if error.status not in _ABSENT:
                raise
        return True

    def page(
        self, scopes: tuple[str, ...], start: Cursor, size: int, over: Callable[[], bool] = lambda: False
    ) -> ExportPage:
        """Up to `size` manifests.

        Args:
            scopes: The namespaces to read, sorted; one empty name reads all of the cluster at once.
            start: Where to begin.
            size: At least 1.
            over: Whether to end early; asked before every request but the first.

        Raises:
            ClusterError: The API server does not answer, or the cursor is too old.
        """
        kinds = self._kinds()
        found: list[dict[str, Any]] = []
        cursor = _settled(start, len(kinds), scopes)
        for number in range(MAX_LISTS):
            if cursor is None or len(found) >= size or (number and over()):
                break
            resource = kinds[cursor.kind]
            items, token = self._items(resource, cursor.scope, size - len(found), cursor.token)
            found += (manifest_of(item, resource.api_version, resource.kind) for item in items if _is_kept(item))
            following = cursor._replace(token=token) if token else Cursor(cursor.scope, cursor.kind + 1)
            cursor = _settled(following, len(kinds), scopes)
        return ExportPage(tuple(found), cursor)

    def _kinds(self) -> tuple[Resource, ...]:
        """Namespaces first, then the workloads; always in the same order."""
        served = self._client.kinds().preferred
        helm = (resource for resource in served if (resource.group, resource.kind) == _HELM)
        return tuple(resource for resource in (NAMESPACES, *KINDS, *helm) if self._lists(resource))

    def _items(self, resource: Resource, scope: str, limit: int, token: str) -> tuple[list[dict[str, Any]], str]:
        """A page of one collection and the API server's token for the next, empty at its end."""
        try:
            if scope and not resource.namespaced:
                return [self._client.get(resource.path(name=scope))], ""
            query = urlencode({"limit": limit} | ({"continue": token} if token else {}))
            page = self._client.get(f"{resource.path(scope)}?{query}")
        except ClusterError as error:
            if error.status not in _ABSENT:
                raise
            if error.status != 404:
                self._log.warning("an export leaves out what may not be read", kind=resource.plural, namespace=scope)
            return [], ""
        return page.get("items") or [], str((page.get("metadata") or {}).get("continue") or "")


def _is_kept(item: dict[str, Any]) -> bool:
    metadata = item["metadata"]
    addon = is_addon(metadata.get("namespace", ""), metadata.get("labels") or {})
    return not addon and not belongs_elsewhere(metadata)


def _settled(cursor: Cursor, kinds: int, scopes: tuple[str, ...]) -> Cursor | None:
    """The first cursor from this one on that names something to read; scopes may have come and gone meanwhile."""
    at = bisect_left(scopes, cursor.scope)
    if at < len(scopes) and scopes[at] == cursor.scope:
        if cursor.kind < kinds:
            return cursor
        at += 1
    return Cursor(scopes[at]) if at < len(scopes) else None
