"""Does a field manager's entry cover everything that we would send?

Values are never compared: the API server normalises them (`1000m` becomes `1`, empty values vanish). Who owns a
field is enough, because another writer that changes a value takes the field away from us.
Source: Kubernetes, "Server-Side Apply", and `FieldsV1` in the API reference: `f:` names a field, `k:` a list element
by its keys, `v:` an element of a set; `.` stands for the node itself, and an empty object for a whole subtree.
"""

from __future__ import annotations

import json
from typing import Any

_IDENTITY = frozenset({"apiVersion", "kind"})
_IDENTITY_METADATA = frozenset({"name", "namespace"})


def covers(fields: dict[str, Any], intent: dict[str, Any]) -> bool:
    """Whether `fields` (a FieldsV1 object) holds every leaf path of `intent`, a whole Kubernetes object."""
    for name, value in intent.items():
        if name in _IDENTITY:
            continue
        owned = fields.get(f"f:{name}")
        if name == "metadata" and isinstance(value, dict):
            value = {key: item for key, item in value.items() if key not in _IDENTITY_METADATA}  # noqa: PLW2901
            if value and (owned is None or not _covers(owned, value)):
                return False
        elif owned is None or not _covers(owned, value):
            return False
    return True


def _covers(owned: dict[str, Any], value: Any) -> bool:
    if not owned:
        return True
    if isinstance(value, dict):
        for key, item in value.items():
            child = owned.get(f"f:{key}")
            if child is None or (child and not _covers(child, item)):
                return False
        return True
    if isinstance(value, list):
        return all(_element_covered(owned, element) for element in value)
    return True


def without(fields: dict[str, Any], value: Any) -> Any:
    """The value less these fields; what is left of it empty goes where its own entry `.` is among them."""
    if isinstance(value, dict):
        left = {key: (item, fields.get(f"f:{key}")) for key, item in value.items()}
        rest = {
            key: (item if child is None else without(child, item), child)
            for key, (item, child) in left.items()
            if child != {}
        }
        return {key: item for key, (item, child) in rest.items() if item or not child or "." not in child}
    if isinstance(value, list):
        owned = [(element, _entry_of(fields, element)) for element in value]
        return [
            element if child is None else without(child, element)
            for element, child in owned
            if child is None or (child and "." not in child)
        ]
    return value


def _entry_of(fields: dict[str, Any], element: Any) -> dict[str, Any] | None:
    """The fields of one element of a list; None where there are none."""
    if not isinstance(element, dict):
        return fields.get(_member(element))
    return next(
        (child for key, child in fields.items() if key.startswith("k:") and _same_element(key[2:], element)), None
    )


def _member(element: Any) -> str:
    return f"v:{json.dumps(element, separators=(',', ':'), ensure_ascii=False)}"


def _element_covered(owned: dict[str, Any], element: Any) -> bool:
    if not isinstance(element, dict):
        return _member(element) in owned
    child = _entry_of(owned, element)
    return child is not None and _covers(child, element)


def _same_element(keys: str, element: dict[str, Any]) -> bool:
    """Whether the element has these key values; a key it leaves out was filled in by the API server's default."""
    try:
        wanted = json.loads(keys)
    except ValueError:
        return False
    present = [key for key in wanted if key in element]
    return bool(present) and all(element[key] == wanted[key] for key in present)
