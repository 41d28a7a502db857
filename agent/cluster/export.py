"""The Namespaces and workloads of the cluster, read page by page as manifests. Nothing is cached.

A page is a few LIST requests of one kind in one scope after the other; its cursor carries the API server's own. Kinds
that are not served are left out, as Flux v1 did; so are those that may not be read, and the page says so.
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
    """Some manifests, where the next page begins, None on the last, and what is left out, a sentence each."""

    manifests: tuple[dict[str, Any], ...]
    following: Cursor | None
    notices: tuple[str, ...] = ()


class _Part(NamedTuple):
    """Some objects of one collection, the API server's token for the rest, empty at its end, and what is left out."""

    items: list[dict[str, Any]]
    token: str = ""
    notice: str = ""


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
        notices: list[str] = []
        cursor = _settled(start, len(kinds), scopes)
        for number in range(MAX_LISTS):
            if cursor is None or len(found) >= size or (number and over()):
                break
            resource = kinds[cursor.kind]
            part = self._part(resource, cursor.scope, size - len(found), cursor.token)
            found += (manifest_of(item, resource.api_version, resource.kind) for item in part.items if _is_kept(item))
            notices += filter(None, [part.notice])
            following = cursor._replace(token=part.token) if part.token else Cursor(cursor.scope, cursor.kind + 1)
            cursor = _settled(following, len(kinds), scopes)
        return ExportPage(tuple(found), cursor, tuple(notices))

    def _kinds(self) -> tuple[Resource, ...]:
        """Namespaces first, then the workloads; always in the same order."""
        served = self._client.kinds().preferred
        helm = (resource for resource in served if (resource.group, resource.kind) == _HELM)
        return tuple(resource for resource in (NAMESPACES, *KINDS, *helm) if self._lists(resource))

    def _part(self, resource: Resource, scope: str, limit: int, token: str) -> _Part:
        """A page of one collection; empty where the kind is not served or may not be read."""
        try:
            if scope and not resource.namespaced:
                return _Part([self._client.get(resource.path(name=scope))])
            query = urlencode({"limit": limit} | ({"continue": token} if token else {}))
            page = self._client.get(f"{resource.path(scope)}?{query}")
        except ClusterError as error:
            if error.status not in _ABSENT:
                raise
            if error.status == 404:
                return _Part([])
            self._log.warning("an export leaves out what may not be read", kind=resource.plural, namespace=scope)
            return _Part([], notice=_left_out(resource, scope))
        return _Part(page.get("items") or [], str((page.get("metadata") or {}).get("continue") or ""))


def _is_kept(item: dict[str, Any]) -> bool:
    metadata = item["metadata"]
    addon = is_addon(metadata.get("namespace", ""), metadata.get("labels") or {})
    return not addon and not belongs_elsewhere(metadata)


def _left_out(resource: Resource, scope: str) -> str:
    """What is left out because the agent may not read it; an empty scope is all of the cluster."""
    if not resource.namespaced:
        one = f"{resource.kind} {scope} itself is left out: the agent may not read it."
        return one if scope else f"{resource.kind}s themselves are left out: the agent may not list them."
    plural = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    place = f" of namespace {scope}" if scope else ""
    return f"All {plural}{place} are left out: the agent may not list them."


def _settled(cursor: Cursor, kinds: int, scopes: tuple[str, ...]) -> Cursor | None:
    """The first cursor from this one on that names something to read; scopes may have come and gone meanwhile."""
    at = bisect_left(scopes, cursor.scope)
    if at < len(scopes) and scopes[at] == cursor.scope:
        if cursor.kind < kinds:
            return cursor
        at += 1
    return Cursor(scopes[at]) if at < len(scopes) else None
