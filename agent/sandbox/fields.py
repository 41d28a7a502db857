"""Sets of field paths, as `metadata.managedFields` records them, and what they do to values.

A path is a tuple of elements in the wire's own words: `f:NAME` for a map's entry, `k:{"name":"x"}` for an element of
a keyed list, `v:VALUE` for an element of a set. The rules follow Kubernetes' structured-merge-diff (v6), function by
function: `fields_of` is its ToFieldSet, `compare` its Compare, `without` its RemoveItems, `with_named` its
EnsureNamedFieldsAreMembers. Values are never changed in place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from agent.sandbox.shapes import KEY_DEFAULTS, Shape

Path = tuple[str, ...]
Fields = frozenset[Path]

NOTHING: Fields = frozenset()


class DuplicateError(ValueError):
    """A keyed list or a set holds one element twice; the text is the list's path and the element's key."""


def from_v1(document: dict[str, Any]) -> Fields:
    """Read a `fieldsV1` document."""
    return frozenset(_walk_v1(document, ()))


def _walk_v1(document: dict[str, Any], path: Path) -> Iterator[Path]:
    for key, below in document.items():
        if key == ".":
            yield path
        elif below:
            yield from _walk_v1(below, (*path, key))
        else:
            yield (*path, key)


def to_v1(fields: Iterable[Path]) -> dict[str, Any]:
    """Write a `fieldsV1` document; a path that is both a member and a parent gets the entry `.`."""
    root: dict[str, Any] = {}
    for path in sorted(fields):  # parents come before what is below them
        node, made = root, False
        for key in path:
            if node is not root and not node and not made:
                node["."] = {}
            made = key not in node
            node = node.setdefault(key, {})
    return root


def shown(path: Path) -> str:
    """A path as the API server's messages write it: `.spec.containers[name="c"].image`."""
    return "".join(_shown(key) for key in path)


def _shown(key: str) -> str:
    if key.startswith("f:"):
        return f".{key[2:]}"
    if key.startswith("v:"):
        return f"[={key[2:]}]"
    pairs = json.loads(key[2:])
    return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in pairs.items()) + "]"


def element_key(item: Any, shape: Shape) -> str:
    """The path element of one element of a keyed list or a set."""
    if shape.set:
        return "v:" + json.dumps(item)
    found = item if isinstance(item, dict) else {}
    keys = {name: found.get(name, KEY_DEFAULTS.get(name)) for name in sorted(shape.keys)}
    return "k:" + json.dumps({k: v for k, v in keys.items() if v is not None}, separators=(",", ":"))


def is_leaf(value: Any, shape: Shape) -> bool:
    """Whether a value is owned as a whole: a scalar, an atomic map, a list without keys."""
    if isinstance(value, dict):
        return shape.atomic
    if isinstance(value, list):
        return not shape.merges
    return True


def fields_of(value: Any, shape: Shape, path: Path = ()) -> set[Path]:
    """Every field a value sets."""
    if is_leaf(value, shape):
        return {path}
    found: set[Path] = set()
    if isinstance(value, dict):
        for name, child in value.items():
            below = (*path, f"f:{name}")
            found |= fields_of(child, shape.entry(name), below)
            if child is None or child == {} or not shape.declares(name):
                found.add(below)
        return found
    keys = [element_key(item, shape) for item in value]
    counts = Counter(keys)
    for key, item in zip(keys, value, strict=True):
        found.add((*path, key))
        if counts[key] == 1:
            found |= fields_of(item, shape.element(), (*path, key))
    return found


def check_unique(value: Any, shape: Shape, path: Path = ()) -> None:
    """Refuse duplicates in keyed lists, as server-side apply does.

    Raises:
        DuplicateError: An element is there twice.
    """
    if is_leaf(value, shape):
        return
    if isinstance(value, dict):
        for name, child in value.items():
            check_unique(child, shape.entry(name), (*path, f"f:{name}"))
        return
    seen = set()
    for item in value:
        key = element_key(item, shape)
        if key in seen:
            raise DuplicateError(f"{shown(path)}: duplicate entries for key {_shown(key)}")
        seen.add(key)
        check_unique(item, shape.element(), (*path, key))


@dataclass(slots=True)
class Comparison:
    """What a new value adds, changes and removes."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


class Absent:
    """The type of `ABSENT`."""


ABSENT = Absent()
"""No value at all, as opposed to null."""


def compare(old: Any, new: Any, shape: Shape) -> Comparison:
    """Compare two values of one shape."""
    found = Comparison()
    _compare(old, new, shape, (), found)
    return found


def _compare(old: Any, new: Any, shape: Shape, path: Path, found: Comparison) -> None:
    one = old if new is ABSENT else new
    if _compares_whole(old, new, shape):
        if old is not ABSENT and new is not ABSENT:
            if old != new:
                found.modified.add(path)
            return
    elif isinstance(one, dict):
        left, right = _as(dict, old), _as(dict, new)
        for name in left | right:
            _compare(left.get(name, ABSENT), right.get(name, ABSENT), shape.entry(name), (*path, f"f:{name}"), found)
    else:
        _compare_items(_as(list, old), _as(list, new), shape, path, found)
    if old is ABSENT:
        found.added.add(path)
    elif new is ABSENT:
        found.removed.add(path)


def _as(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else kind()


def _compares_whole(old: Any, new: Any, shape: Shape) -> bool:
    """Leaves do, and so does what is empty on both sides: that keeps null and empty apart."""
    sides = [side for side in (old, new) if side is not ABSENT]
    containers = [side for side in sides if side is not None]
    if not containers or not any(containers):
        return True
    kinds = {type(side) for side in containers}
    return len(kinds) > 1 or any(is_leaf(side, shape) for side in containers)


def _compare_items(old: list[Any], new: list[Any], shape: Shape, path: Path, found: Comparison) -> None:
    left, right = _grouped(old, shape), _grouped(new, shape)
    for key in left | right:
        below = (*path, key)
        olds, news = left.get(key, []), right.get(key, [])
        if len(olds) > 1 and len(news) > 1:
            if olds != news:
                found.modified.add(below)
        elif len(olds) > 1:
            if news:
                _compare(ABSENT, news[0], shape.element(), below, found)
            found.removed.add(below)
        elif len(news) > 1:
            if olds:
                _compare(olds[0], ABSENT, shape.element(), below, found)
            found.added.add(below)
        else:
            _compare(olds[0] if olds else ABSENT, news[0] if news else ABSENT, shape.element(), below, found)


def _grouped(items: list[Any], shape: Shape) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(element_key(item, shape), []).append(item)
    return groups


def with_named(fields: Iterable[Path], shape: Shape) -> Fields:
    """The fields, and every declared field of a type on the way to them."""
    found = set(fields)
    for path in tuple(found):
        here = shape
        for depth, key in enumerate(path[:-1], start=1):
            if key.startswith("f:"):
                if here.declares(key[2:]):
                    found.add(path[:depth])
                here = here.entry(key[2:])
            else:
                here = here.element()
    return frozenset(found)


def without(value: Any, fields: Iterable[Path], shape: Shape) -> Any:
    """The value without these fields; None where nothing is left of a map or list."""
    return _remove(value, _trie(fields), shape)


_END = ""
"""Marks a path's end in a trie; no path element is empty."""


def _trie(fields: Iterable[Path]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in fields:
        node = root
        for key in path:
            node = node.setdefault(key, {})
        node[_END] = {}
    return root


def _remove(value: Any, trie: dict[str, Any], shape: Shape) -> Any:
    if not isinstance(value, dict | list):
        return value
    if not value or is_leaf(value, shape):
        return None
    if isinstance(value, dict):
        kept = {}
        for name, child in value.items():
            below = trie.get(f"f:{name}", {})
            if _END not in below:
                kept[name] = _remove(child, below, shape.entry(name)) if below else child
        return kept or None
    items = []
    for item in value:
        below = trie.get(element_key(item, shape), {})
        if _END not in below:
            items.append(_remove(item, below, shape.element()) if below else item)
    return items or None
