"""A file of YAML as nodes that know where they stand in its text.

Built from libyaml's events, whose marks count characters of the text behind a byte order mark. Knows places, aliases
and merge keys; what a value means is the reader's (`agent/manifests/yaml_reader.py`), which has read the text before,
so that depth is bounded and keys are unique.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from agent.manifests.yaml_reader import scalar
from agent.model.errors import FluxError

Path = tuple[str | int, ...]
"""Keys and indices from the root of a document."""

_MARK = "\ufeff"
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_PROPERTIES = re.compile(r"(?:[&!]\S*(?:\s+(?:#.*)?)*)+")
_COLON = re.compile(r"\s*:")


class EditError(FluxError):
    """The text cannot be edited as asked; it stays as it is.

    Attributes:
        line: Where the reason stands in the file, from 1; 0 for the file as a whole.
    """

    def __init__(self, message: str, line: int = 0, *, hint: str = "") -> None:
        super().__init__(f"line {line}: {message}" if line else message, hint=hint)
        self.line = line


@dataclass(eq=False, slots=True)
class Node:
    """A scalar, mapping, sequence or alias.

    Attributes:
        begin: Index of its first character, of its anchor or tag where it has one.
        start: Index of its first character behind anchor and tag.
        end: Index behind its last character; of a block scalar or collection, behind its last line with content.
        line: Where it starts, from 1.
        kind: `scalar`, `mapping`, `sequence` or `alias`.
        flow: Whether it stands inside of brackets or braces.
        style: Of a scalar: empty for plain, else one of `'"|>`; of a collection: `{` in flow style, else empty.
        text: Of a scalar, what it says.
        tag: As written in full; empty where there is none.
        entries: Of a mapping, in their order.
        items: Of a sequence.
        target: Of an alias, what it stands for.
        uses: The lines of the aliases that stand for this node.
    """

    begin: int
    start: int
    end: int
    line: int
    kind: str
    flow: bool
    style: str = ""
    text: str = ""
    tag: str = ""
    entries: list[Entry] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)
    target: Node | None = None
    uses: list[int] = field(default_factory=list)

    @property
    def resolved(self) -> Node:
        """Itself, or what it stands for."""
        return self.target or self

    @property
    def is_null(self) -> bool:
        """Whether this is a plain scalar that says nothing: left out, `~`, `null`."""
        return self.kind == "scalar" and not self.style and not self.tag and scalar(self.text) is None

    def anchors(self) -> Iterator[Node]:
        """Itself and what is inside of it, as far as aliases stand for it."""
        if self.uses:
            yield self
        for inner in self.items:
            yield from inner.anchors()
        for entry in self.entries:
            yield from entry.anchors()


@dataclass(eq=False, slots=True)
class Entry:
    """A key and its value; the name is the key as Kubernetes reads it, None for a merge key."""

    key: Node
    value: Node
    name: str | None

    @property
    def end(self) -> int:
        """Index behind its last character."""
        return max(self.key.end, self.value.end)

    def anchors(self) -> Iterator[Node]:
        """Its nodes that aliases stand for."""
        yield from self.key.anchors()
        yield from self.value.anchors()


@dataclass(frozen=True, slots=True)
class Place:
    """A node as reached along a path.

    Attributes:
        node: What stands there, aliases resolved.
        entry: The entry whose value it is; None for items and the root.
        parent: The mapping that holds the entry.
        shared: Lines of other places that a change here would change too.
    """

    node: Node
    entry: Entry | None = None
    parent: Node | None = None
    shared: tuple[int, ...] = ()

    def step(self, part: str | int) -> Place | None:
        """The place of a key, own or merged, or of an index; None where there is none."""
        if isinstance(part, int):
            return self._to(self.node.items[part]) if part < len(self.node.items) else None
        for entry in self.node.entries:
            if entry.name == part:
                return self._to(entry.value, entry)
        for source in self._merged():
            found = source.step(part)
            if found:
                return found
        return None

    def walk(self, path: Iterable[str | int]) -> Place | None:
        """The place at the end of a path; None where it ends before."""
        place: Place | None = self
        for part in path:
            place = place and place.step(part)
        return place

    def _to(self, node: Node, entry: Entry | None = None) -> Place:
        target = node.resolved
        others = [line for line in (target.line, *target.uses) if line != node.line] if target.uses else []
        return Place(target, entry, self.node if entry else None, (*self.shared, *others))

    def _merged(self) -> Iterator[Place]:
        for entry in self.node.entries:
            if entry.name is None:
                value = entry.value.resolved
                for node in value.items if value.kind == "sequence" else [entry.value]:
                    yield self._to(node)


@dataclass(frozen=True, slots=True)
class Splice:
    """These characters give way to this text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text without byte order mark, and the root of each document by the line it starts on."""

    text: str
    mark: bytes
    roots: dict[int, Node]

    @classmethod
    def read(cls, data: bytes) -> Source:
        """Read bytes that `yaml_reader.documents` has read without an error."""
        # libyaml skips a second mark without counting it.
        text = data.decode().lstrip(_MARK)
        return cls(text, data[: len(data) - len(text.encode())], _roots(text))

    def spliced(self, splices: Iterable[Splice]) -> bytes:
        """The file with these splices made.

        Raises:
            EditError: Two of them concern the same characters.
        """
        parts: list[str] = []
        done = 0
        for splice in sorted(set(splices), key=lambda splice: (splice.start, splice.end)):
            if splice.start < done:
                raise EditError(
                    "two changes concern the same value", self.line_of(splice.start), hint="make one of them"
                )
            parts += (self.text[done : splice.start], splice.text)
            done = splice.end
        return self.mark + "".join((*parts, self.text[done:])).encode()

    def undone(self, data: bytes, splices: Iterable[Splice]) -> bytes:
        """What `spliced` was given, taken from what it returned."""
        text = data[len(self.mark) :].decode()
        parts: list[str] = []
        done = shift = 0
        for splice in sorted(set(splices), key=lambda splice: (splice.start, splice.end)):
            parts += (text[done : splice.start + shift], self.text[splice.start : splice.end])
            done = splice.start + shift + len(splice.text)
            shift += len(splice.text) - (splice.end - splice.start)
        return data[: len(self.mark)] + "".join((*parts, text[done:])).encode()

    def line_of(self, index: int) -> int:
        """The line of a character, from 1."""
        return sum(1 for _ in _BREAK.finditer(self.text, 0, index)) + 1

    def line_start(self, index: int) -> int:
        """Index of the first character of this character's line."""
        return max(self.text.rfind(mark, 0, index) for mark in "\n\r\x85\u2028\u2029") + 1

    def line_end(self, index: int) -> int:
        """Index behind the last character of this character's line, before its break."""
        return line_end(self.text, index)

    def next_line(self, index: int) -> int:
        """Index of the first character of the next line, or of the end of the text."""
        found = _BREAK.search(self.text, index)
        return found.end() if found else len(self.text)

    def newline(self, index: int) -> str:
        """How lines are broken around here."""
        found = _BREAK.search(self.text, index) or _BREAK.search(self.text)
        return found[0] if found else "\n"

    def column(self, node: Node) -> int:
        """Characters before a node in its line."""
        return node.begin - self.line_start(node.begin)


def line_end(text: str, index: int) -> int:
    """Index behind the last character of this character's line, before its break."""
    found = _BREAK.search(text, index)
    return found.start() if found else len(text)


def _roots(text: str) -> dict[int, Node]:
    loader = yaml.CSafeLoader(text)
    roots: dict[int, Node] = {}
    try:
        while not isinstance(event := loader.get_event(), StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                root = _Builder(text, loader).node(flow=False)
                roots[root.line] = root
    finally:
        loader.dispose()
    return roots


class _Builder:
    """Turns one document's events into nodes."""

    def __init__(self, text: str, loader: yaml.CSafeLoader) -> None:
        self._text = text
        self._loader = loader
        self._anchors: dict[str, Node] = {}

    def _next(self) -> Any:
        """The next event; typed loosely, because which one comes next is the grammar's to say."""
        return self._loader.get_event()

    def node(self, *, flow: bool) -> Node:
        return self._node(self._next(), flow=flow)

    def _node(self, event: Any, *, flow: bool) -> Node:
        begin, end, line = event.start_mark.index, event.end_mark.index, event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            target = self._anchors[str(event.anchor)]
            target.uses.append(line)
            return Node(begin, begin, end, line, "alias", flow, target=target)
        properties = _PROPERTIES.match(self._text, begin, end) if event.anchor or event.tag else None
        node = Node(begin, properties.end() if properties else begin, end, line, "scalar", flow, tag=event.tag or "")
        if isinstance(event, ScalarEvent):
            node.text, node.style = event.value, event.style or ""
            if node.style and node.style in "|>":
                node.end = _block_end(self._text, node)
        else:
            self._collection(event, node)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _collection(self, start: Any, node: Node) -> None:
        node.style = "{" if start.flow_style else ""
        inside = node.flow or bool(start.flow_style)
        if isinstance(start, MappingStartEvent):
            node.kind = "mapping"
            while not isinstance(event := self._next(), MappingEndEvent):
                node.entries.append(self._entry(event, flow=inside))
                node.end = node.entries[-1].value.end
        else:
            node.kind = "sequence"
            while not isinstance(event := self._next(), SequenceEndEvent):
                node.items.append(self._node(event, flow=inside))
                node.end = node.items[-1].end
        if start.flow_style:
            node.start = self._text.index("[" if node.kind == "sequence" else "{", node.start)
            node.end = event.end_mark.index

    def _entry(self, event: Any, *, flow: bool) -> Entry:
        key = self._node(event, flow=flow)
        value = self._node(self._next(), flow=flow)
        if value.kind == "scalar" and value.start == value.end and not value.tag and not value.style:
            _place_nothing(self._text, key, value)
        return Entry(key, value, _name(key))


def _place_nothing(text: str, key: Node, value: Node) -> None:
    """A value left out stands behind the colon, or behind the key where there is none; or behind its anchor."""
    colon = _COLON.match(text, key.end)
    behind = colon.end() if colon else key.end
    if not text[behind : value.start].lstrip().startswith("&"):
        value.start = value.end = behind


def _block_end(text: str, node: Node) -> int:
    """Behind the last line of a block scalar, without the empty lines that do not count."""
    header = text[node.start : line_end(text, node.start)].partition("#")[0]
    if "+" in header and node.end > node.start:
        last = [found.start() for found in _BREAK.finditer(text, max(node.start, node.end - 2), node.end)]
        return last[-1] if last and text[node.end - 1] in "\n\r" else node.end
    content = text[node.start : node.end].rstrip(" \t\r\n")
    return line_end(text, node.start + len(content))


def _name(key: Node) -> str | None:
    """A key as the reader reads it; None for a merge key."""
    node = key.resolved
    if node.style or node.tag:
        return node.text
    if node.text == "<<" and key.kind == "scalar":
        return None
    value = scalar(node.text)
    return str(value).lower() if isinstance(value, bool) else str(value)
