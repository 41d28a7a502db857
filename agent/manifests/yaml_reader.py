"""YAML as Kubernetes reads it, with the line of everything.

PyYAML's own resolvers follow YAML 1.1 to the letter; Kubernetes goes through Go's yaml.v2 and then JSON, which
differs: `12:30` and `2020-01-01` stay strings, `1e3` is a number, `=` is text, `0777` is octal. So libyaml only parses
here; what a plain scalar means is decided by `scalar`, and a table checked against kubectl holds it to the truth
(`tests/unit/test_yaml_reader.py`). Duplicate keys are errors: which of the two was meant nobody can know.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

MAX_NODES = 500_000
"""Nodes in one document, aliases counted each time: more is taken for an alias bomb."""
MAX_DEPTH = 200
MAX_DIGITS = 300
"""Digits of one number: no more fit into a float."""

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_CONSTANTS |= dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True)
_CONSTANTS |= dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False)
_NOT_JSON = frozenset(sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")) | {
    ".nan",
    ".NaN",
    ".NAN",
}


class ReadError(Exception):
    """The text is no YAML that Kubernetes would take; `line` counts from 1, 0 where it is not known."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document as JSON-like data, and its first and last line, from 1."""

    line: int
    value: Any
    last: int = 0
    item_spans: tuple[tuple[int, int], ...] = ()
    """For a mapping with a list under `items`: the first and last line of each item."""


def documents(data: bytes) -> Iterator[Document]:
    """Every document of a file; empty ones and those of comments only are left out.

    Raises:
        ReadError: Anything in the file is not YAML, not UTF-8, or not expressible as JSON.
    """
    text = _decode(data)
    try:
        loader = yaml.CSafeLoader(text)
        try:
            while not isinstance(event := loader.get_event(), StreamEndEvent):
                if isinstance(event, DocumentStartEvent):
                    document = _Builder(loader).document()
                    if document.value is not None:
                        yield document
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise ReadError(what or "is not YAML", mark.line + 1 if mark else 0) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 0
        raise ReadError(str(error.reason), line) from error


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReadError(
            f"is not UTF-8: byte 0x{data[error.start]:02x}", data.count(b"\n", 0, error.start) + 1
        ) from error


class _Builder:
    """Turns one document's events into data.

    Events instead of PyYAML's nodes: composing nodes recurses in C, so a file of 100,000 brackets would end the
    process; here depth is bounded. An alias shares its anchor's data and counts with its whole size.
    """

    def __init__(self, loader: yaml.CSafeLoader) -> None:
        self._loader = loader
        self._nodes = 0
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._item_spans: tuple[tuple[int, int], ...] = ()
        self._spans: tuple[tuple[int, int], ...] = ()
        self._last = 0

    def _next(self) -> Any:
        """The next event; typed loosely, because which one comes next is the grammar's to say."""
        return self._loader.get_event()

    def document(self) -> Document:
        event = self._next()
        value = self._value(event, 0)
        self._next()  # the end of the document
        return Document(event.start_mark.line + 1, value, self._last, self._item_spans)

    def _value(self, event: Any, depth: int) -> Any:
        line = event.start_mark.line + 1
        if isinstance(event, ScalarEvent | AliasEvent):
            end: Any = event.end_mark
            self._last = max(line, end.line + 1 if end.column else end.line)
        if isinstance(event, AliasEvent):
            return self._alias(str(event.anchor), line)
        before = self._nodes
        self._count(1, line)
        if depth > MAX_DEPTH:
            raise ReadError(f"is nested deeper than {MAX_DEPTH} levels", line)
        if isinstance(event, ScalarEvent):
            value = _scalar_of(event, line)
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(depth)
        else:
            value = self._mapping(depth)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _count(self, nodes: int, line: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise ReadError(f"expands to more than {MAX_NODES:,} nodes", line)

    def _alias(self, anchor: str, line: int) -> Any:
        if anchor not in self._anchors:
            raise ReadError("an alias stands for nothing defined before it", line)
        value, size = self._anchors[anchor]
        self._count(size, line)
        return value

    def _sequence(self, depth: int) -> list[Any]:
        values: list[Any] = []
        spans: list[tuple[int, int]] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            first = event.start_mark.line + 1
            values.append(self._value(event, depth + 1))
            spans.append((first, self._last))
        if depth == 1:
            self._spans = tuple(spans)
        return values

    def _mapping(self, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := self._next(), MappingEndEvent):
            line = event.start_mark.line + 1
            is_merge = isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]
            key = "<<" if is_merge else self._key(event)
            if key in own and not is_merge:
                raise ReadError(f'the key "{key}" stands here a second time', line)
            value = self._value(self._next(), depth + 1)
            if is_merge:
                _merge(merged, value, line)
                continue
            own[key] = value
            if depth == 0 and key == "items" and isinstance(value, list):
                self._item_spans = self._spans
        return {**merged, **own} if merged else own

    def _key(self, event: Any) -> str:
        line = event.start_mark.line + 1
        value = self._value(event, 1) if isinstance(event, ScalarEvent | AliasEvent) else None
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        raise ReadError("a mapping's key must be a word", line)


def _merge(into: dict[str, Any], value: Any, line: int) -> None:
    """`<<`: earlier mappings win over later ones, and the mapping's own keys over all of them."""
    for source in value if isinstance(value, list) else [value]:
        if not isinstance(source, dict):
            raise ReadError("map merge requires a map or a list of maps as the value", line)
        for key, item in source.items():
            into.setdefault(key, item)


def _scalar_of(event: Any, line: int) -> Any:
    tag = event.tag.removeprefix(_TAG) if event.tag else ""
    if tag == "binary":
        try:
            return base64.b64decode(event.value).decode("utf-8")
        except ValueError as error:
            raise ReadError("!!binary data is not base64 of text", line) from error
    if tag in ("int", "float", "bool", "null") or (event.implicit[0] and not tag):
        return scalar(event.value, line)
    return event.value


def scalar(text: str, line: int = 0) -> Any:
    """What a plain scalar means to Kubernetes: null, a boolean, a number, or the text itself.

    Follows `resolve` of Go's yaml.v2 and the conversion to JSON of sigs.k8s.io/yaml: whole floats become integers.

    Raises:
        ReadError: The number has no place in JSON (`.inf`, `.nan`).
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    first = text[0]
    if first not in "+-.0123456789":
        return text
    if text in _NOT_JSON:
        raise ReadError("a number is infinite or none: that cannot be written as JSON", line)
    plain = text if first == "." else text.replace("_", "")
    if first != "." and _INT.fullmatch(plain):
        return _integer(plain, line)
    if _FLOAT.fullmatch(plain):
        return _number(float(plain), line)
    return text


def _number(number: float, line: int) -> int | float:
    """A float as Go writes it into JSON: whole ones below 1e21 without a point, in their shortest digits."""
    if math.isinf(number):
        raise ReadError("a number is too large", line)
    return int(Decimal(repr(number))) if number.is_integer() and abs(number) < 1e21 else number


def _integer(plain: str, line: int) -> int | float:
    sign = -1 if plain.startswith("-") else 1
    digits = plain.lstrip("+-").lower()
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2])
    if base is None:
        base = 8 if len(digits) > 1 and digits.startswith("0") else 10
    if len(digits) > MAX_DIGITS:
        raise ReadError("a number is too large", line)
    value = sign * int(digits[2:] if digits[1:2] in ("x", "o", "b") else digits, base)
    # Beyond 64 bits kubectl falls back to a float.
    return value if -(2**63) <= value < 2**63 else _number(float(value), line)
