"""Annotations changed, added and removed where they stand, as a person would.

A new one goes behind the last, in its indentation and style; without any, into a new mapping behind name, namespace
and labels. One that is removed takes its own line along, with the comment behind it; comments on lines of their own
stay. With the last annotation `annotations:` goes too, unless comments stand there: then `{}` and the comments stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.manifests.edit_nodes import EditError, Entry, Node, Place, Source, Splice
from agent.manifests.edit_scalars import is_blank, replaced, written

_STEP = 2
"""Spaces a mapping is indented by where the file does not show its own step."""
_DEEPEST_STEP = 8
_BEFORE_ANNOTATIONS = ("name", "namespace", "labels")
_KEY = "annotations"


@dataclass(frozen=True, slots=True)
class _Style:
    """How the entries of a mapping are written: quotes of keys and values, what stands between them."""

    key: str = ""
    value: str = ""
    quote: str = '"'
    colon: str = ": "
    comma: str = ", "
    pad: str = ""

    def entry(self, key: str, value: str, *, flow: bool) -> str:
        name = written(key, self.key, flow=flow, quote=self.quote)
        return f"{name}{self.colon}{written(value, self.value, flow=flow, quote=self.quote)}"

    def braces(self, changes: Mapping[str, str]) -> str:
        entries = self.comma.join(self.entry(key, value, flow=True) for key, value in changes.items())
        return f"{{{self.pad}{entries}{self.pad}}}"


def annotated(source: Source, metadata: Place, place: Place | None, changes: Mapping[str, str | None]) -> list[Splice]:
    """The splices that make these changes: None removes a key.

    Args:
        source: The file.
        metadata: The object's metadata.
        place: Where its annotations stand; None where it has none.
        changes: By key; none of them asks for what is there already.

    Raises:
        EditError: There is no safe place for a change.
    """
    added = {key: value for key, value in changes.items() if value is not None}
    if place is None:
        return [_created(source, metadata, added)]
    if place.node.is_null or (place.node.kind == "mapping" and not place.node.entries):
        return [_filled(source, place, metadata, added)]
    if place.node.kind != "mapping":
        raise EditError(f"annotations is a {place.node.kind}", place.node.line, hint="write it as a mapping")
    return _changed(source, place, changes)


def _changed(source: Source, place: Place, changes: Mapping[str, str | None]) -> list[Splice]:
    mapping = place.node
    style = _style_of(source, mapping)
    splices: list[Splice] = []
    added: dict[str, str] = {}
    removed: list[int] = []
    own = {entry.name: index for index, entry in enumerate(mapping.entries)}
    for key, value in changes.items():
        if value is None:
            removed.append(_removable(mapping, own, key))
        elif key in own:
            entry = mapping.entries[own[key]]
            splices.append(replaced(source, entry, entry.value.resolved, value, style.quote))
        else:
            added[key] = value
    if mapping.style:
        return splices + _flow(source, place, style, added, removed)
    return splices + _block(source, place, style, added, removed)


def _removable(mapping: Node, own: Mapping[str | None, int], key: str) -> int:
    """The index of an entry that can go."""
    if key not in own:
        raise EditError(f"{key} comes in by a merge key (<<)", mapping.line, hint="remove it where it is written")
    entry = mapping.entries[own[key]]
    for anchored in entry.anchors():
        lines = ", ".join(map(str, anchored.uses))
        raise EditError(f"{key} has an anchor that line {lines} needs", entry.key.line, hint="write the value there")
    for merge in mapping.entries:
        target = merge.value.resolved
        sources = [item.resolved for item in target.items] if target.kind == "sequence" else [target]
        if merge.name is None and any(Place(node).step(key) for node in sources):
            raise EditError(f"{key} would still come in by the merge key (<<)", merge.key.line, hint="remove both")
    return own[key]


# Blocks


def _block(source: Source, place: Place, style: _Style, added: Mapping[str, str], removed: list[int]) -> list[Splice]:
    entries = place.node.entries
    kept = [entry for index, entry in enumerate(entries) if index not in removed]
    if not kept and not added:
        return _dropped(source, place)
    lines = [style.entry(key, value, flow=False) for key, value in added.items()]
    indent = " " * source.column(entries[0].key)
    gone = sorted(removed)
    splices: list[Splice] = []
    if lines and not kept:
        # The new ones take the place of the first old one.
        newline = source.newline(entries[gone[0]].key.begin)
        first = entries[gone.pop(0)]
        _lines_of(source, first)
        splices.append(Splice(first.key.begin, source.line_end(first.end), f"{newline}{indent}".join(lines)))
    elif lines:
        splices.append(_inserted(source, kept[-1], indent, lines))
    return splices + _without_lines(source, [_lines_of(source, entries[index]) for index in gone])


def _inserted(source: Source, after: Entry, indent: str, lines: list[str]) -> Splice:
    """New lines behind the last line of an entry."""
    end = source.line_end(after.end)
    newline = source.newline(end)
    return Splice(end, end, "".join(f"{newline}{indent}{line}" for line in lines))


def _lines_of(source: Source, entry: Entry) -> tuple[int, int]:
    """From the first character of an entry's first line to that of the line behind it.

    Raises:
        EditError: Something else stands on these lines.
    """
    start, end = source.line_start(entry.key.begin), entry.end
    before, behind = source.text[start : entry.key.begin], source.text[end : source.line_end(end)]
    if before.strip(" ") or not is_blank(behind):
        raise EditError(
            f"{entry.name} does not stand on lines of its own", entry.key.line, hint="write it as `key: value`"
        )
    return start, source.next_line(end)


def _without_lines(source: Source, ranges: list[tuple[int, int]]) -> list[Splice]:
    """Whole lines taken out, neighbours at once; the last line of the file takes the line break before it along."""
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        joined = [*joined[:-1], (joined[-1][0], end)] if joined and joined[-1][1] == start else [*joined, (start, end)]
    text = source.text
    splices = [Splice(start, end, "") for start, end in joined]
    if splices and splices[-1].end == len(text) and text[-1] not in "\n\r":
        start = splices[-1].start
        splices[-1] = Splice(start - (2 if text[start - 2 : start] == "\r\n" else 1), len(text), "")
    return splices


# Braces


def _flow(source: Source, place: Place, style: _Style, added: Mapping[str, str], removed: list[int]) -> list[Splice]:
    entries = place.node.entries
    kept = [entry for index, entry in enumerate(entries) if index not in removed]
    if not kept and not added:
        return _dropped(source, place)
    new = [style.entry(key, value, flow=True) for key, value in added.items()]
    if not kept:
        first, last = entries[0], entries[-1]
        _no_comment(source, first.key.begin, last.end, entries)
        return [Splice(first.key.begin, last.end, style.comma.join(new))]
    splices = [_without_entry(source, entries, index, removed) for index in removed]
    if new:
        splices.append(_appended(source, kept[-1], style, new, at_once=bool(removed)))
    return splices


def _without_entry(source: Source, entries: list[Entry], index: int, removed: list[int]) -> Splice:
    """An entry with the comma before it, or behind it where all before it go too."""
    if all(earlier in removed for earlier in range(index)):
        start, end = entries[index].key.begin, entries[index + 1].key.begin
    else:
        start, end = entries[index - 1].end, entries[index].end
    _no_comment(source, start, end, entries[max(0, index - 1) : index + 1])
    return Splice(start, end, "")


def _no_comment(source: Source, start: int, end: int, entries: list[Entry]) -> None:
    """Raises where a comment stands between these entries."""
    for entry in entries:
        before, behind = source.text[start : entry.key.begin], source.text[entry.end : end]
        if "#" in before:
            raise EditError("a comment stands between these braces", entry.key.line, hint="move it behind them")
        start = max(start, entry.end)
        if entry is entries[-1] and "#" in behind:
            raise EditError("a comment stands between these braces", entry.key.line, hint="move it behind them")


def _appended(source: Source, after: Entry, style: _Style, new: list[str], *, at_once: bool = False) -> Splice:
    """New entries behind one in braces, on lines of their own where that one has one.

    A comment stays behind the old entry, unless the new ones must follow it `at_once`, for others to be removed there.
    """
    end = after.end
    start, line_end = source.line_start(after.key.begin), source.line_end(end)
    behind = source.text[end:line_end]
    comma = re.match(r"[ \t]*,", behind)
    rest = behind[comma.end() :] if comma else behind
    indent = source.text[start : after.key.begin]
    if after.value.start == after.value.end and not comma:
        raise EditError(f"{after.name} has no value", after.key.line, hint='write it as "" or null')
    if indent.strip(" \t") or not is_blank(rest):
        return Splice(end, end, "".join(style.comma + entry for entry in new))
    between = source.newline(end) + indent
    lines = between + f",{between}".join(new)
    if at_once:
        return Splice(end, end, f",{lines}")
    if comma:
        return Splice(line_end, line_end, f"{lines},")
    return Splice(end, line_end, f",{rest}{lines}")


# The mapping itself


def _created(source: Source, metadata: Place, added: Mapping[str, str]) -> Splice:
    """A mapping where the object has none."""
    entries = metadata.node.entries
    style = _style_of(source, metadata.node)
    after = [entry for entry in entries if entry.name in _BEFORE_ANNOTATIONS] or entries
    if not after:
        raise EditError("the metadata is empty", metadata.node.line, hint="write the object's name into it")
    key = written(_KEY, style.key)
    if metadata.node.style:
        return _appended(source, after[-1], style, [f"{key}{style.colon}{style.braces(added)}"])
    indent = " " * source.column(entries[0].key)
    inner = " " * _step(source, metadata)
    lines = [f"{inner}{style.entry(name, value, flow=False)}" for name, value in added.items()]
    return _inserted(source, after[-1], indent, [f"{key}:", *lines])


def _filled(source: Source, place: Place, metadata: Place, added: Mapping[str, str]) -> Splice:
    """Entries where the mapping is empty, null, or left out."""
    node, text = place.node, source.text
    inside = text[node.start + 1 : node.end - 1] if node.kind == "mapping" else ""
    if inside.strip():
        raise EditError("a comment stands between these braces", node.line, hint="move it behind them")
    style = _style_of(source, metadata.node)
    if node.flow:
        space = "" if node.start < node.end else " "
        return Splice(node.start, node.end, space + style.braces(added))
    rest = text[node.end : source.line_end(node.end)]
    if not is_blank(rest) or place.entry is None:
        raise EditError("something stands behind the annotations", node.line, hint="write them on lines of their own")
    start = len(text[: node.start].rstrip(" \t\r\n")) if node.start < node.end else node.start
    indent = " " * (source.column(place.entry.key) + _step(source, metadata))
    newline = source.newline(node.start)
    lines = "".join(f"{newline}{indent}{style.entry(key, value, flow=False)}" for key, value in added.items())
    return Splice(start, node.end + len(rest), rest + lines)


def _dropped(source: Source, place: Place) -> list[Splice]:
    """The mapping goes; where comments stand in it, its entries only."""
    entry, parent, mapping = place.entry, place.parent, place.node
    if entry is None or parent is None or place.shared or entry.value is not mapping or len(parent.entries) < 2:
        raise EditError(
            "the last annotation of a mapping that others share stays", mapping.line, hint="remove it by hand"
        )
    if parent.style:
        index = parent.entries.index(entry)
        _no_comment(source, mapping.start, mapping.end, mapping.entries)
        return [_without_entry(source, parent.entries, index, [index])]
    start, end = _lines_of(source, entry)
    if mapping.style:
        _no_comment(source, mapping.start, mapping.end, mapping.entries)
        if not source.text[mapping.end : source.line_end(mapping.end)].strip():
            return _without_lines(source, [(start, end)])
        return [Splice(mapping.start, mapping.end, "{}")]
    lines = [_lines_of(source, inner) for inner in mapping.entries]
    if not _comments(source, entry, lines):
        return _without_lines(source, [(start, end)])
    colon = _header_end(source, entry)
    return [Splice(colon, colon, " {}"), *_without_lines(source, lines)]


def _comments(source: Source, entry: Entry, lines: list[tuple[int, int]]) -> bool:
    """Whether comments stand behind the key, between the entries, or behind them and as far in."""
    ends = [_header_end(source, entry), *(end for _, end in lines)]
    if any("#" in source.text[end:start] for end, (start, _) in zip(ends, lines, strict=False)):
        return True
    following = source.text[lines[-1][1] : source.line_end(lines[-1][1])]
    depth = len(following) - len(following.lstrip(" "))
    return following.lstrip(" ").startswith("#") and depth > source.column(entry.key)


def _header_end(source: Source, entry: Entry) -> int:
    """Behind the colon of a key, and behind the anchor and tag of its block."""
    line_end = source.line_end(entry.key.end)
    words = re.split(r"[ \t]#", source.text[entry.key.end : line_end])[0]
    return entry.key.end + len(words.rstrip())


def _step(source: Source, metadata: Place) -> int:
    """By how much the file indents a mapping: that of the labels here, else the metadata itself."""
    column = source.column(metadata.node.entries[0].key)
    for entry in metadata.node.entries:
        value = entry.value
        if value.kind == "mapping" and not value.style and value.entries:
            return max(1, source.column(value.entries[0].key) - column)
    step = column - source.column(metadata.entry.key) if metadata.entry else _STEP
    return step if 0 < step <= _DEEPEST_STEP else _STEP


def _style_of(source: Source, mapping: Node) -> _Style:
    """How the last entry is written; in braces also what stands around it."""
    own = [entry for entry in mapping.entries if entry.name is not None]
    if not own:
        return _Style()
    last, text = own[-1], source.text
    quotes = [entry.value.style for entry in reversed(own) if entry.value.style and entry.value.style in "'\""]
    quote = last.key.style or (quotes[0] if quotes else '"')
    if not mapping.style:
        return _Style(last.key.style, last.key.style, quote)
    is_tight = text[last.key.end : last.value.start] == ":"
    comma = "," if is_tight else ", "
    if len(own) > 1:
        between = text[own[-2].end : own[-1].key.begin]
        comma = between if re.fullmatch(r", *", between) else comma
    pad = text[mapping.start + 1 : mapping.entries[0].key.begin]
    return _Style(
        last.key.style, last.key.style, quote, ":" if is_tight else ": ", comma, pad if not pad.strip(" ") else ""
    )
