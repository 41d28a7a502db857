"""Who manages which field: server-side apply and the bookkeeping of every other write.

Follows Kubernetes' field manager layer by layer: an Apply merges the intent into the live object, takes away what the
same manager applied before and no longer wants, and refuses what others own and would change; an Update records what
it changed and takes it from everyone else. Pure: objects go in, new objects come out, the time is an argument.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from agent.sandbox.fields import (
    ABSENT,
    NOTHING,
    Fields,
    Path,
    check_unique,
    compare,
    element_key,
    fields_of,
    from_v1,
    is_leaf,
    shown,
    to_v1,
    with_named,
    without,
)
from agent.sandbox.shapes import Shape

Object = dict[str, Any]

_UNTRACKED = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation")
    }
    | {("f:metadata", "f:managedFields"), ("f:metadata", "f:resourceVersion")}
)
"""What never belongs to anyone."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_UPDATERS = 10
"""Update entries beyond this are folded into `ancient-changes`, as the API server does."""


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes: `operation` is `Apply` or `Update`; `api_version` is empty in the key of an Apply entry."""

    name: str
    operation: str
    api_version: str = ""
    subresource: str = ""

    def words(self) -> str:
        """How conflict messages call the manager."""
        text = json.dumps(self.name)
        if self.subresource:
            text += f" with subresource {json.dumps(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


@dataclass(frozen=True, slots=True)
class Entry:
    """The fields of one manager, the version they are written in, and when they last changed (RFC 3339)."""

    fields: Fields
    api_version: str
    time: str = ""


Entries = dict[Manager, Entry]


@dataclass(frozen=True, slots=True)
class Write:
    """What both kinds of writes need to know.

    `keeps` tells whether a path may be owned through this endpoint: the main one resets `status`, the status one
    everything else. `blank` is what a creation is compared with: the structures that an empty object of a built-in
    kind has.
    """

    shape: Shape
    manager: Manager
    now: str
    keeps: Callable[[Path], bool] = field(default=lambda _path: True)
    blank: Object = field(default_factory=dict)


class ConflictError(Exception):
    """Other managers own fields that an unforced Apply would change.

    Attributes:
        conflicts: The managers and the paths, in the order of the API server's message.
    """

    def __init__(self, conflicts: list[tuple[Manager, Path]]) -> None:
        self.conflicts = conflicts
        super().__init__(self._message())

    def _message(self) -> str:
        if len(self.conflicts) == 1:
            manager, path = self.conflicts[0]
            return f"Apply failed with 1 conflict: conflict with {manager.words()}: {shown(path)}"
        lines = []
        for manager in dict.fromkeys(manager for manager, _ in self.conflicts):
            lines.append(f"conflicts with {manager.words()}:")
            lines += [f"- {shown(path)}" for owner, path in self.conflicts if owner == manager]
        return f"Apply failed with {len(self.conflicts)} conflicts: " + "\n".join(lines)

    def causes(self) -> list[Object]:
        """The causes of the Status object."""
        return [
            {"reason": "FieldManagerConflict", "message": f"conflict with {manager.words()}", "field": shown(path)}
            for manager, path in self.conflicts
        ]


def read_entries(obj: Object) -> Entries:
    """The entries of an object's `metadata.managedFields`; those that make no sense are left out."""
    found: Entries = {}
    for raw in obj.get("metadata", {}).get("managedFields") or ():
        operation, version = raw.get("operation"), raw.get("apiVersion", "")
        if operation in ("Apply", "Update") and version and raw.get("fieldsType") == "FieldsV1":
            key_version = "" if operation == "Apply" else version
            manager = Manager(raw.get("manager", ""), operation, key_version, raw.get("subresource", ""))
            found[manager] = Entry(from_v1(raw.get("fieldsV1") or {}), version, raw.get("time", ""))
    return found


def with_entries(obj: Object, entries: Entries) -> Object:
    """The object with these entries, in the API server's order."""
    metadata = {name: value for name, value in obj.get("metadata", {}).items() if name != "managedFields"}
    if entries:
        ordered = sorted(
            entries.items(),
            key=lambda item: (item[0].operation, item[1].time, item[0].name, item[1].api_version, item[0].subresource),
        )
        metadata["managedFields"] = [_entry_document(manager, entry) for manager, entry in ordered]
    return {**obj, "metadata": metadata}


def _entry_document(manager: Manager, entry: Entry) -> Object:
    document: Object = {"manager": manager.name, "operation": manager.operation, "apiVersion": entry.api_version}
    if entry.time:
        document["time"] = entry.time
    document |= {"fieldsType": "FieldsV1", "fieldsV1": to_v1(entry.fields)}
    if manager.subresource:
        document["subresource"] = manager.subresource
    return document


def bare(obj: Object) -> Object:
    """The object without its managedFields."""
    metadata = {name: value for name, value in obj.get("metadata", {}).items() if name != "managedFields"}
    return {**obj, "metadata": metadata}


def merge(old: Any, new: Any, shape: Shape) -> Any:
    """The live value with the intent laid over it; lists with keys keep the live order where they can."""
    if new is ABSENT or old is ABSENT:
        return copy.deepcopy(old if new is ABSENT else new)
    same = type(old) is type(new) and isinstance(new, dict | list)
    if not same or is_leaf(new, shape) or not (old or new):
        return copy.deepcopy(new)
    if isinstance(new, dict):
        names = {**old, **new}
        return {name: merge(old.get(name, ABSENT), new.get(name, ABSENT), shape.entry(name)) for name in names}
    return _merge_items(old, new, shape)


def _merge_items(old: list[Any], new: list[Any], shape: Shape) -> list[Any]:
    left = [(element_key(item, shape), item) for item in old]
    right = {element_key(item, shape): item for item in new}
    live = dict(reversed(left))
    shared = [key for key in right if key in live]
    out: list[Any] = []
    merged: set[str] = set()
    wanted = list(right)
    at = 0

    def take() -> None:
        key = wanted.pop(0)
        merged.add(key)
        out.append(merge(live.get(key, ABSENT), right[key], shape.element()))
        if shared and shared[0] == key:
            shared.pop(0)

    while at < len(left) or wanted:
        key = left[at][0] if at < len(left) else ""
        if at < len(left) and wanted:
            if key == wanted[0]:
                take()
                at += 1
                continue
            if key in right and shared and shared[0] != key:
                at += 1
                continue
        if at < len(left) and key not in right:
            out.append(copy.deepcopy(left[at][1]))
            at += 1
            continue
        if at < len(left) and key in merged:
            at += 1
        if wanted:
            take()
    return out


def apply(live: Object | None, intent: Object, write: Write, *, force: bool) -> Object:
    """Server-side apply: the new object, with its managedFields.

    Raises:
        ConflictError: Others own what would change, and `force` is false.
        DuplicateError: The intent holds an element of a keyed list twice.
    """
    check_unique(intent, write.shape)
    current = bare(live or {})
    entries = read_entries(live or {})
    if live and not entries:  # written before managedFields were tracked
        first = replace(write, manager=Manager("before-first-apply", "Update", write.manager.api_version))
        _update(write.blank, current, entries, first)
    manager = replace(write.manager, api_version="")
    last = entries.get(manager, Entry(NOTHING, write.manager.api_version))
    wanted = frozenset(filter(write.keeps, fields_of(intent, write.shape)))
    entries[manager] = Entry(wanted, write.manager.api_version, last.time)
    merged = merge(current, intent, write.shape)
    pruned = _prune(merged, entries, last.fields, write.shape)
    _take_away(current, pruned, entries, manager, write, force=force)
    _settle(entries, manager)
    if manager in entries and pruned != current:
        entries[manager] = replace(entries[manager], time=write.now)
    if write.manager.name == "kubectl":
        pruned = _refresh_last_applied(pruned, intent)
    return with_entries(pruned, entries)


def _refresh_last_applied(obj: Object, intent: Object) -> Object:
    """Let kubectl's own annotation follow its server-side applies, where there is one."""
    annotations = obj.get("metadata", {}).get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return obj
    body = copy.deepcopy(intent)
    body.get("metadata", {}).get("annotations", {}).pop(LAST_APPLIED, None)
    fresh = {**annotations, LAST_APPLIED: json.dumps(body, sort_keys=True, separators=(",", ":")) + "\n"}
    return {**obj, "metadata": {**obj["metadata"], "annotations": fresh}}


def _prune(merged: Object, entries: Entries, last: Fields, shape: Shape) -> Object:
    """Take out what this manager applied last time, not this time, and nobody else owns."""
    if not last:
        return merged
    mine = with_named(last, shape)
    everything = with_named(fields_of(merged, shape), shape)
    pruned = without(merged, mine, shape) or {}
    owned: set[Path] = set()
    for entry in entries.values():
        owned |= with_named(entry.fields, shape)
    left = with_named(fields_of(pruned, shape), shape)
    pruned = without(merged, everything - (left | owned), shape) or {}
    left = with_named(fields_of(pruned, shape), shape)
    result: Object = without(merged, (everything - left) & mine, shape) or {}
    return result


def _take_away(
    old: Object, new: Object, entries: Entries, manager: Manager, write: Write, *, force: bool
) -> tuple[set[Path], set[Path]]:
    """Take what changed from everyone but `manager`; answer with what was set and what was removed."""
    found = compare(old, new, write.shape)
    changed = set(filter(write.keeps, found.modified | found.added))
    removed = set(filter(write.keeps, found.removed))
    conflicts: list[tuple[Manager, Path]] = []
    for other in sorted(entries, key=lambda other: (other.name, other.operation)):
        if other != manager:
            conflicts += [(other, path) for path in sorted(entries[other].fields & changed)]
    if conflicts and not force:
        raise ConflictError(conflicts)
    for other, entry in list(entries.items()):
        if other != manager:
            _set_fields(entries, other, entry.fields - changed - removed)
    return changed, removed


def _set_fields(entries: Entries, manager: Manager, fields: Fields) -> None:
    if fields:
        entries[manager] = replace(entries[manager], fields=fields)
    else:
        entries.pop(manager, None)


def _settle(entries: Entries, manager: Manager) -> None:
    if manager in entries:
        _set_fields(entries, manager, entries[manager].fields - _UNTRACKED)


def update(live: Object | None, new: Object, write: Write) -> Object:
    """Record any other write: the new object, with its managedFields.

    Args:
        live: The object as it is; None on creation.
        new: The object to be stored. Its own managedFields are believed if they make sense; an empty list resets.
        write: Who writes what and when.
    """
    given = new.get("metadata", {}).get("managedFields")
    entries: Entries = {}
    if write.manager.subresource:
        entries = read_entries(live or {})
    elif given not in ([], [{}]):
        entries = read_entries(new) or read_entries(live or {})
    if live and not entries:  # nobody tracks this object; it stays so until an Apply
        return with_entries(new, {})
    _update(bare(live) if live else write.blank, bare(new), entries, write)
    return with_entries(new, entries)


def _update(old: Object, new: Object, entries: Entries, write: Write) -> None:
    nobody = Manager("", "Update")
    changed, removed = _take_away(old, new, entries, nobody, write, force=True)
    fresh = frozenset(changed - removed) - _UNTRACKED
    if not fresh:
        return
    before = entries.get(write.manager)
    fields = fresh | (before.fields if before else NOTHING)
    entries[write.manager] = Entry(fields, write.manager.api_version, write.now)
    _cap_updaters(entries)


def _cap_updaters(entries: Entries) -> None:
    updaters = sorted(
        (manager for manager in entries if manager.operation == "Update"), key=lambda m: (entries[m].time, m.name)
    )
    excess = len(updaters) - MAX_UPDATERS
    for manager in updaters[: excess + 1 if excess > 0 else 0]:
        bucket = Manager("ancient-changes", "Update", manager.api_version)
        entry = entries.pop(manager)
        known = entries.get(bucket)
        entries[bucket] = replace(entry, fields=entry.fields | (known.fields if known else NOTHING))
