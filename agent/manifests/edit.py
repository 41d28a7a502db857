"""Edits of manifests that change the bytes of a value and nothing else.

Bytes in, bytes out. What shall change is decided on the data (`edit_values`), found in the text by libyaml's marks
(`edit_nodes`), and spliced (`edit_scalars`, `edit_mappings`); nothing is ever serialised again. The result is read
again and must be exactly the old data with the new values, and give the old bytes when the splices are undone; anything
else is an error, and the caller keeps the bytes it had.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.manifests.edit_mappings import annotated
from agent.manifests.edit_nodes import EditError, Path, Place, Source, Splice
from agent.manifests.edit_scalars import replaced
from agent.manifests.edit_values import (
    ABSENT,
    ANNOTATIONS,
    Edit,
    ImageEdit,
    PolicyEdit,
    Target,
    Wanted,
    changed,
    value_at,
    wanted,
)
from agent.manifests.yaml_reader import Document, ReadError, documents

__all__ = [
    "Edit",
    "EditError",
    "ImageEdit",
    "PolicyEdit",
    "Target",
    "edited",
]

_PLAINLY = "write the value plainly, as `key: value` on one line"


def edited(
    text: bytes, edits: Sequence[Edit], *, default_namespace: str = "default", allow_shared: bool = False
) -> bytes:
    """A file with all these edits made, read once however many they are.

    Args:
        text: The file, UTF-8 with or without byte order mark.
        edits: In any order; what is as it shall be already is left alone, to the byte.
        default_namespace: That of objects which name none.
        allow_shared: Whether a value may change that other places use too, through an alias or a merge key.

    Raises:
        EditError: It cannot be done safely; says on which line, and what to do.
    """
    before = _read(text)
    wishes = wanted(before, edits, default_namespace)
    if not wishes:
        return text
    source = Source.read(text)
    splices = [splice for wish in wishes for splice in _splices(source, before, wish, allow_shared=allow_shared)]
    after = source.spliced(splices)
    _check(before, after, wishes, allow_shared=allow_shared)
    if source.undone(after, splices) != text:
        raise EditError("the edit would have changed more than its values")
    return after


def _read(text: bytes) -> list[Document]:
    try:
        return list(documents(text))
    except ReadError as error:
        raise EditError(f"the file cannot be read: {error.reason}", error.line, hint="mend the file first") from error


def _read_again(text: bytes) -> list[Document]:
    try:
        return list(documents(text))
    except ReadError as error:
        raise EditError(
            f"the file could not be read any more after the edit: {error.reason}", error.line, hint=_PLAINLY
        ) from error


def _splices(source: Source, before: Sequence[Document], wish: Wanted, *, allow_shared: bool) -> Iterator[Splice]:
    root = Place(source.roots[before[wish.document].line])
    place = root.walk(wish.path)
    if place is None:
        raise EditError("the object cannot be found by its place", wish.line)
    annotations: dict[str, str | None] = {}
    for path, value in wish.values.items():
        if path[:-1] == ANNOTATIONS:
            annotations[str(path[-1])] = value
        else:
            yield _scalar(source, place, path, str(value), allow_shared=allow_shared)
    if annotations:
        yield from _annotations(source, place, annotations, allow_shared=allow_shared)


def _scalar(source: Source, start: Place, path: Path, value: str, *, allow_shared: bool) -> Splice:
    holder, place = start.walk(path[:-1]), start.walk(path)
    if holder is None or place is None or place.entry is None:
        raise EditError(f"{path[-1]} cannot be found by its place", start.node.line)
    _refuse_shared(holder, place, str(path[-1]), allow_shared=allow_shared)
    return replaced(source, place.entry, place.node, value)


def _annotations(
    source: Source, start: Place, changes: Mapping[str, str | None], *, allow_shared: bool
) -> list[Splice]:
    metadata, place = start.step(ANNOTATIONS[0]), start.walk(ANNOTATIONS)
    if metadata is None:
        raise EditError("the object has no metadata", start.node.line)
    if place is None:
        _refuse_shared(start, metadata, "metadata", allow_shared=allow_shared)
    else:
        _refuse_shared(metadata, place, "annotations", allow_shared=allow_shared)
    for key, value in changes.items():
        inner = place.step(key) if place else None
        if place and inner and inner.parent is place.node and value is not None:
            _refuse_shared(place, inner, key, allow_shared=allow_shared)
    return annotated(source, metadata, place, changes)


def _refuse_shared(holder: Place, place: Place, what: str, *, allow_shared: bool) -> None:
    """Raises where the value stands elsewhere too; what a merge key brings in is told at the mapping that has it."""
    if place.shared and not allow_shared:
        lines = " and ".join(str(line) for line in sorted(set(place.shared)))
        line = place.entry.value.line if place.entry else place.node.line
        raise EditError(
            f"{what} is shared by aliases: it would change on line {lines} too",
            holder.node.line if line in place.shared else line,
            hint="write the value out in each place",
        )


def _check(before: Sequence[Document], after: bytes, wishes: Sequence[Wanted], *, allow_shared: bool) -> None:
    """Whether the bytes say what was there before with the values wished for, and nothing else."""
    expected = [document.value for document in before]
    found = [document.value for document in _read_again(after)]
    allowed: list[tuple[Any, Any]] = []
    for wish in wishes:
        for path, value in wish.values.items():
            whole = (*wish.path, *path)
            allowed.append((value_at(before[wish.document].value, whole), ABSENT if value is None else value))
            expected[wish.document] = changed(expected[wish.document], whole, value)
        for side in (expected, found):
            side[wish.document : wish.document + 1] = [
                _without_empty(value, wish.path) for value in side[wish.document : wish.document + 1]
            ]
    if _canonical(expected) == _canonical(found):
        return
    if not allow_shared or any(pair not in allowed for pair in _differences(expected, found)):
        raise EditError(
            "the edit would change more than its values, or not set them",
            wishes[0].line if wishes else 0,
            hint=_PLAINLY,
        )


def _without_empty(root: Any, path: Path) -> Any:
    """A document whose object at this path has no annotations instead of empty ones: the API server knows no other."""
    annotations = (*path, *ANNOTATIONS)
    return root if value_at(root, annotations) not in ({}, None) else changed(root, annotations, None)


def _canonical(values: Sequence[Any]) -> str:
    """Equal for equal data only: to Python true is 1."""
    return json.dumps(values, sort_keys=True)


def _differences(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """What stands on either side where they differ, as deep as both have it."""
    mappings = [side for side in (one, other) if isinstance(side, dict)]
    if len(mappings) == 2 or (mappings and ABSENT in (one, other)):
        left, right = (side if isinstance(side, dict) else {} for side in (one, other))
        for key in {**left, **right}:
            yield from _differences(left.get(key, ABSENT), right.get(key, ABSENT))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for left, right in zip(one, other, strict=True):
            yield from _differences(left, right)
    elif type(one) is not type(other) or one != other:
        yield one, other
