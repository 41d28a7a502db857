"""The form an answer takes: what the Accept header asks for, and objects, lists and events put into it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.sandbox.kinds import Kind
from agent.sandbox.store import Page
from agent.sandbox.tables import partial, table

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """`as_` is empty for whole objects, else Table, PartialObjectMetadata(List) or APIGroupDiscoveryList.

    `include` says what a table's rows carry.
    """

    as_: str = ""
    include: str = "Metadata"


_KNOWN = {
    "Table": ("meta.k8s.io", "v1"),
    "PartialObjectMetadata": ("meta.k8s.io", "v1"),
    "PartialObjectMetadataList": ("meta.k8s.io", "v1"),
    "APIGroupDiscoveryList": ("apidiscovery.k8s.io", "v2"),
}


def form_of(accept: str, include: str = "") -> Form:
    """The first form of an Accept header that can be served; whole objects where there is none."""
    for part in accept.split(","):
        media, *rest = (piece.strip() for piece in part.split(";"))
        parameters = dict(piece.partition("=")[::2] for piece in rest)
        wanted = parameters.get("as", "")
        if not wanted and media in ("application/json", "*/*", "application/*"):
            return Form()
        if _KNOWN.get(wanted) == (parameters.get("g"), parameters.get("v")) and media == "application/json":
            return Form(wanted, include or "Metadata")
    return Form()


def one(form: Form, kind: Kind, obj: Object) -> Object:
    """One object in this form."""
    if form.as_ == "Table":
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return table(kind, [obj], meta, include=form.include)
    if form.as_.startswith("PartialObjectMetadata"):
        return partial(obj)
    return obj


def many(form: Form, kind: Kind, page: Page) -> Object:
    """A list in this form; in plain lists the items of built-in kinds go without kind and apiVersion."""
    meta: Object = {"resourceVersion": str(page.revision)}
    if page.next:
        meta["continue"] = page.next
    if page.next and page.remaining:
        meta["remainingItemCount"] = page.remaining
    if form.as_ == "Table":
        return table(kind, page.items, meta, include=form.include)
    if form.as_ == "PartialObjectMetadataList":
        items = [partial(obj) for obj in page.items]
        head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return {**head, "metadata": meta, "items": items}
    items = list(page.items) if kind.custom else [_bare(obj) for obj in page.items]
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": items}


def _bare(obj: Object) -> Object:
    return {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}


def events(form: Form, kind: Kind) -> Callable[[Object], Object]:
    """How a watch's events are put into this form; only the first of a table's events carries its columns."""
    first = True

    def put(event: Object) -> Object:
        nonlocal first
        if event["type"] == "ERROR" or not form.as_:
            return event
        if form.as_ != "Table" or event["type"] == "BOOKMARK":
            return {**event, "object": partial(event["object"])}
        rows = one(form, kind, event["object"])
        if not first:
            rows["columnDefinitions"] = []
        first = False
        return {**event, "object": rows}

    return put
