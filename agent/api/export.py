"""`Export`: the Namespaces and workloads that run, as manifests, one page at a time.

It knows who may see what; `cluster.export` reads, `manifests.clean` decides what of an object is the user's.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from agent.api.call import Call
from agent.api.errors import NotFoundError
from agent.cluster.export import Cursor, ExportPage
from agent.manifests.yaml_writer import yaml_document
from agent.model.access import GET_MANIFESTS
from agent.model.errors import UsageError
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

MAX_PAGE = 200
"""Objects on one page: the default and the most."""

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Source(Protocol):
    """Where the manifests come from; `cluster.export.Exporter` is one."""

    def namespaces(self) -> tuple[str, ...]:
        """The names of all namespaces."""

    def has_namespace(self, name: str) -> bool:
        """Whether there is a namespace of this name."""

    def page(self, scopes: tuple[str, ...], start: Cursor, size: int, over: Callable[[], bool] = ...) -> ExportPage:
        """Up to `size` manifests of these namespaces."""


class Exports:
    """Answers `Export`.

    Args:
        source: Where the manifests come from.
        allowed: The only namespaces that the agent looks at; none means all.
    """

    def __init__(self, source: Source, allowed: tuple[str, ...] = ()) -> None:
        self._source = source
        self._allowed = tuple(sorted(set(allowed)))

    def __call__(self, request: pb.ExportRequest, call: Call) -> pb.ExportResponse:
        """One page.

        Raises:
            UsageError: The request makes no sense.
            ForbiddenError: The caller may not see whole objects there.
            NotFoundError: There is no such namespace.
            ClusterError: The API server does not answer.
        """
        if request.page_size < 0:
            raise UsageError(f"page_size is {request.page_size}", hint=f"say 1 to {MAX_PAGE}, or 0 for {MAX_PAGE}")
        start = _cursor(request.page_token)
        scopes, restricted = self._scopes(request.namespace, call)
        size = min(request.page_size or MAX_PAGE, MAX_PAGE)
        page = self._source.page(scopes, start, size, call.over)
        call.check()
        return pb.ExportResponse(
            objects=map(_exported, page.manifests),
            next_page_token=_token(page.following) if page.following else "",
            restricted=restricted,
            notices=page.notices,
        )

    def _scopes(self, namespace: str, call: Call) -> tuple[tuple[str, ...], bool]:
        """The namespaces to read, and whether some are left out because the caller may not see them."""
        if namespace:
            self._check(namespace, call)
            return (namespace,), False
        candidates = self._allowed or self._source.namespaces()
        visible = call.access.visible(GET_MANIFESTS, candidates)
        if visible.everything:
            return self._allowed or ("",), False
        shown = tuple(sorted(name for name in candidates if visible.shows(name)))
        return shown, len(shown) < len(candidates)

    def _check(self, namespace: str, call: Call) -> None:
        if not _NAMESPACE.fullmatch(namespace):
            raise UsageError(f"{namespace[:64]!r} is no namespace's name", hint="namespaces are written as in demo")
        call.access.require(GET_MANIFESTS, [namespace])
        if self._allowed and namespace not in self._allowed:
            raise NotFoundError(
                f"namespace {namespace} is none of those that this agent looks at",
                hint="they are named by its flag --k8s-allow-namespace",
            )
        if not self._source.has_namespace(namespace):
            raise NotFoundError(f"there is no namespace {namespace}", hint="see kubectl get namespaces")


def _exported(manifest: dict[str, Any]) -> pb.ExportedObject:
    metadata = manifest["metadata"]
    return pb.ExportedObject(
        kind=manifest["kind"],
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        yaml=yaml_document(manifest),
    )


def _token(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")


def _cursor(token: str) -> Cursor:
    if not token:
        return Cursor()
    try:
        scope, kind, rest = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        if isinstance(scope, str) and isinstance(kind, int) and kind >= 0 and isinstance(rest, str):
            return Cursor(scope, kind, rest)
    except (binascii.Error, ValueError, TypeError):
        pass
    raise UsageError(
        f"page_token {token[:64]!r} is none of this agent's",
        hint="send next_page_token of the page before, or none for the first page",
    )
