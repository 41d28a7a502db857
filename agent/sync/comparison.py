"""Two states of one object made comparable, as `kubectl diff` shows them: trimmed, masked, as YAML. Pure.

What the API server keeps for itself is left out, and so is what the agent writes for its own bookkeeping. Of a Secret
only its names show: equal values look alike, a changed one says which side it stands on, and neither tells anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.manifests.yaml_writer import yaml_document
from agent.model.policies import PREFIXES, SYNC_SOURCE
from agent.sync.managers import LAST_APPLIED

Object = Mapping[str, Any]

MASK = "***"
MASK_BEFORE = "*** (before)"
MASK_AFTER = "*** (after)"

_SERVERS_OWN = frozenset({"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"})
_BOOKKEEPING = {
    "annotations": frozenset({LAST_APPLIED, SYNC_SOURCE, *(f"{prefix}sync-checksum" for prefix in PREFIXES)}),
    "labels": frozenset(f"{prefix}sync-gc-mark" for prefix in PREFIXES),
}
_SECRET_VALUES = ("data", "stringData")
_SECRET_SHOWN = frozenset({"apiVersion", "immutable", "kind", "metadata", "type"})


def compared(live: Object | None, planned: Object | None) -> tuple[str, str] | None:
    """Both states as YAML, the empty text for none; None where they do not differ."""
    before = None if live is None else cleaned(live)
    after = None if planned is None else cleaned(planned)
    if before == after:
        return None
    if any(side is not None and is_secret(side) for side in (before, after)):
        before, after = masked(before, after)
    return rendered(before), rendered(after)


def shown(item: Object) -> str:
    """One state alone as YAML."""
    only = cleaned(item)
    return rendered(masked(only, None)[0] if is_secret(only) else only)


def cleaned(item: Object) -> dict[str, Any]:
    """The object without what is nobody's intent."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in _SERVERS_OWN}
    for field, dropped in _BOOKKEEPING.items():
        entries = metadata.pop(field, None) or {}
        kept = {key: value for key, value in entries.items() if key not in dropped}
        if kept:
            metadata[field] = kept
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}


def is_secret(item: Object) -> bool:
    """Whether it is a Secret of the core group, whatever its version."""
    return item.get("kind") == "Secret" and "/" not in str(item.get("apiVersion", ""))


def masked(before: Object | None, after: Object | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Both states of a Secret with every value replaced; a field that no Secret has is masked as a whole."""
    return _masked(before, after, MASK_BEFORE), _masked(after, before, MASK_AFTER)


def _masked(one: Object | None, other: Object | None, differs: str) -> dict[str, Any] | None:
    if one is None:
        return None
    found: dict[str, Any] = {}
    for field, value in one.items():
        counterpart = (other or {}).get(field)
        if field in _SECRET_SHOWN:
            found[field] = value
        elif field in _SECRET_VALUES and isinstance(value, dict):
            others = counterpart if isinstance(counterpart, dict) else {}
            found[field] = {
                key: differs if key in others and others[key] != content else MASK for key, content in value.items()
            }
        elif value is not None:
            found[field] = differs if counterpart is not None and counterpart != value else MASK
    return found


def rendered(item: Object | None) -> str:
    """The object as YAML with sorted keys; empty for none."""
    return "" if item is None else yaml_document(dict(item))
