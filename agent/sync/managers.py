"""Who owns which field: taking over from kubectl, and letting go of what an autoscaler owns.

Server-side apply removes a field only when nobody but its applier owned it. Two kinds of kubectl entries stand in
the way, both `Update` entries of the main resource:

- what created the object before us (`kubectl apply`, `create`, `replace`; `before-first-apply`) becomes ours as a
  whole, so that what is not in git goes with the next apply;
- what a person changed by hand (`kubectl edit`, `patch`, `set`…) gives up the fields that git has too. What only
  the person set stays the person's.

`spec.replicas` is special: where git leaves it out, an autoscaler decides it, and giving it up must not reset it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MANAGER = "flux"
_CREATORS = (
    "kubectl-client-side-apply",
    "kubectl-create",
    "kubectl-replace",
    "kubectl-run",
    "kubectl-expose",
    "before-first-apply",
)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Takeover:
    """The managedFields an object should have instead; `apply_again` where more became ours than git holds."""

    managed_fields: list[dict[str, Any]]
    apply_again: bool


def applied_fields(managed_fields: list[dict[str, Any]]) -> Fields | None:
    """What we own by server-side apply; None where we never applied."""
    for entry in managed_fields:
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            fields: Fields = entry.get("fieldsV1") or {}
            return fields
    return None


def owns_replicas(fields: Fields | None) -> bool:
    """Whether these fields hold `spec.replicas`."""
    return bool(fields) and "f:replicas" in ((fields or {}).get("f:spec") or {})


def without_replicas(managed_fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same entries with `spec.replicas` taken out of ours: the value stays, and no apply resets it."""
    return [
        {**entry, "fieldsV1": _drop_replicas(entry.get("fieldsV1") or {})} if _is_ours(entry) else entry
        for entry in managed_fields
    ]


def take_over(managed_fields: list[dict[str, Any]], *, has_replicas: bool) -> Takeover | None:
    """What to make of kubectl's entries beside ours; None where there is nothing to do.

    `has_replicas` tells whether git holds `spec.replicas`.
    """
    ours = applied_fields(managed_fields)
    if ours is None:
        return None
    kept: list[dict[str, Any]] = []
    grown, touched = ours, False
    for entry in managed_fields:
        if _is_ours(entry):
            continue
        if not _is_kubectl(entry):
            kept.append(entry)
            continue
        fields = entry.get("fieldsV1") or {}
        if entry["manager"] in _CREATORS:
            grown, touched = _union(grown, fields), True
            continue
        rest = _subtract(fields, ours)
        touched = touched or rest != fields
        if rest:
            kept.append({**entry, "fieldsV1": rest})
    if not touched:
        return None
    if not has_replicas:
        grown = _drop_replicas(grown)
    mine = next(entry for entry in managed_fields if _is_ours(entry))
    return Takeover([{**mine, "fieldsV1": grown}, *kept], grown != ours)


def given_up(takeover: Takeover, ours: Fields) -> Fields:
    """The fields that nobody owns once git is applied again: what became ours, less `ours` before and all others'."""
    mine, *others = takeover.managed_fields
    left = _subtract(mine["fieldsV1"], ours)
    for entry in others:
        left = _subtract(left, entry.get("fieldsV1") or {})
    return left


def _is_ours(entry: dict[str, Any]) -> bool:
    return entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")


def _is_kubectl(entry: dict[str, Any]) -> bool:
    manager = entry.get("manager", "")
    named = manager.startswith("kubectl") or manager == "before-first-apply"
    return named and entry.get("operation") == "Update" and not entry.get("subresource")


def _union(one: Fields, other: Fields) -> Fields:
    """Both together. A field that one owns as a leaf and the other by its parts is written with a `.` for itself."""
    merged = dict(one)
    for key, value in other.items():
        mine = one.get(key)
        if mine is None:
            merged[key] = value
        elif mine != value:
            merged[key] = _union(mine or {".": {}}, value or {".": {}})
    return merged


def _subtract(fields: Fields, taken: Fields) -> Fields:
    """The leaves of `fields` that are no leaves of `taken`; empty branches vanish."""
    rest: Fields = {}
    for key, value in fields.items():
        if key not in taken:
            rest[key] = value
        elif value and taken[key]:
            child = _subtract(value, taken[key])
            if child and child.keys() != {"."}:
                rest[key] = child
    return rest


def _drop_replicas(fields: Fields) -> Fields:
    spec = fields.get("f:spec")
    if not spec or "f:replicas" not in spec:
        return fields
    return {**fields, "f:spec": {key: value for key, value in spec.items() if key != "f:replicas"}}
