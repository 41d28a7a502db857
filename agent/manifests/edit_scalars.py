"""How a text is written in place of a YAML scalar, in the style that stands there.

A plain scalar stays plain where Kubernetes reads the new text as itself, quotes stay quotes, and a block stays a block
where it can hold the text. Knows nothing of mappings, nor of what is written.
"""

from __future__ import annotations

import json
import re

from agent.manifests.edit_nodes import EditError, Entry, Node, Source, Splice
from agent.manifests.yaml_reader import ReadError, scalar

_PLAIN = re.compile(r"""[^\s\-?:,\[\]{}#&*!|>'"%@`=<](?:[^\s:#]|:(?!\s|$)|(?<!\s)#|[ ](?!\s|$|\#))*""")
_NOT_IN_FLOW = re.compile(r"[,\[\]{}?]|:(?![\w/.@-])")
_UNPRINTABLE = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML 1.1 allows in double quotes only, as an escape; tabs too, and all line breaks but `\\n`."""
_BLANK = re.compile(r"[ \t]*(?:(?<=[ \t])#.*)?")
_HEADER = re.compile(r"[|>][-+]?(?=\s|$)")
_TEXT_TAGS = ("", "!", "tag:yaml.org,2002:str")


def written(text: str, style: str, *, flow: bool = False, tagged: bool = False, quote: str = '"') -> str:
    """A text as one line of YAML.

    Args:
        text: What the scalar is to say.
        style: `'`, `"`, or empty for plain where that is safe.
        flow: Whether it stands inside of brackets or braces.
        tagged: Whether a tag already makes it text, so that `1` need no quotes.
        quote: What to quote with where plain is not safe.

    Raises:
        EditError: The text holds half a character, which no file can.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise EditError("the new text is not Unicode", hint="leave out its surrogates") from error
    if not style and _safe(text, flow=flow) and (tagged or _means_itself(text)):
        return text
    if (style or quote) == "'" and "\n" not in text and not _UNPRINTABLE.search(text):
        return "'" + text.replace("'", "''") + "'"
    return _UNPRINTABLE.sub(_escape, json.dumps(text, ensure_ascii=False))


def is_blank(text: str) -> bool:
    """Whether the rest of a line says nothing: spaces, and perhaps a comment."""
    return bool(_BLANK.fullmatch(text))


def replaced(source: Source, entry: Entry, node: Node, text: str, quote: str = '"') -> Splice:
    """The splice that makes the scalar `node`, the value of `entry`, say `text`.

    Raises:
        EditError: It is no single text, or its tag makes something else of it.
    """
    if node.kind != "scalar":
        raise EditError(f"{entry.name} is a {node.kind}, not a text", node.line, hint="write it as one text")
    if node.tag not in _TEXT_TAGS:
        raise EditError(
            f"{entry.name} has a tag that makes something else than text of it", node.line, hint="remove the tag"
        )
    if node.style and node.style in "|>":
        return _block(source, node, text)
    style = node.style or (entry.key.style if node.flow else "")  # JSON stays JSON
    value = written(text, style, flow=node.flow, tagged=bool(node.tag), quote=quote)
    if node.start == node.end:
        return _filled(entry, node, value)
    return Splice(node.start, node.end, value)


def _filled(entry: Entry, node: Node, value: str) -> Splice:
    """A value where none stands: behind the colon, the anchor or the tag."""
    if node.start != entry.key.end or entry.value is not node:
        return Splice(node.start, node.start, f" {value}")
    if not node.flow:
        raise EditError(f"{entry.name} has neither a colon nor a value", node.line, hint="write it as `key: value`")
    return Splice(node.start, node.start, f": {value}")


def _block(source: Source, node: Node, text: str) -> Splice:
    """A block scalar with new lines, its header and the comment there kept; one line in quotes where it must be."""
    header_end = source.line_end(node.start)
    header = _HEADER.match(source.text, node.start, header_end)
    behind = source.text[node.start : header_end].lstrip("|>-+0123456789")
    indent = _block_indent(source, node)
    if not header or not indent or not _fits_block(source, node, text):
        return Splice(node.start, node.end, written(text, '"') + behind)
    newline = source.newline(node.start)
    lines = "".join(newline + (indent + line if line else "") for line in text.removesuffix("\n").split("\n"))
    chomping = "" if text.endswith("\n") else "-"
    return Splice(node.start, node.end, node.style + chomping + behind + lines)


def _block_indent(source: Source, node: Node) -> str:
    """What stands before the first word of a block; empty where it has none."""
    content = source.text[source.next_line(node.start) : node.end].lstrip("\r\n")
    first = content[: len(content) - len(content.lstrip(" "))]
    return first if content.strip(" \r\n") else ""


def _fits_block(source: Source, node: Node, text: str) -> bool:
    """Whether lines in a block of this style say this text: not where they would fold, or end or begin unclearly."""
    body = text.removesuffix("\n")
    if (
        not body.strip()
        or "\n" in (body[0], body[-1])
        or body[0] == " "
        or body[-1] == " "
        or _UNPRINTABLE.search(body)
    ):
        return False
    if text.endswith("\n") and node.end == len(source.text):
        return False
    return node.style == "|" or "\n" not in body


def _safe(text: str, *, flow: bool) -> bool:
    """Whether a plain scalar can hold this text at all."""
    if not _PLAIN.fullmatch(text) or _UNPRINTABLE.search(text):
        return False
    return not (flow and _NOT_IN_FLOW.search(text))


def _means_itself(text: str) -> bool:
    try:
        return scalar(text) is text
    except ReadError:
        return False


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
