"""How pages for people are laid out: parts, each a title with its lines beside it, wrapped for a terminal. Pure.

A pipe gets whole lines, so that a script can search them; a terminal of few columns gets titles on lines of their own.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

TITLE = 13
"""The width of the column of titles."""
NARROW = 60
"""A terminal of fewer columns gets each title on a line of its own."""

_WHOLE_WORDS: dict[str, Any] = {"break_on_hyphens": False, "break_long_words": False}
"""Ids and addresses are copied: the terminal may break them, the page does not."""


def narrow(columns: int) -> bool:
    """Whether the terminal is too narrow for a column of titles; 0 columns are a pipe."""
    return 0 < columns < NARROW


def part(title: str, body: Iterable[str], columns: int) -> list[str]:
    """The lines of one part."""
    lines = [title] if narrow(columns) else []
    for number, text in enumerate(body):
        first = "  " if narrow(columns) else (title if number == 0 else "").ljust(TITLE)
        lines += wrapped(text, first, columns)
    return lines


def wrapped(text: str, first: str, columns: int) -> list[str]:
    """The text behind `first`; where it needs more lines, these are indented as far and two columns more."""
    if not columns:
        return [f"{first}{text}"]
    indent = " " * (len(first) + 2)
    return textwrap.wrap(
        text, columns - 1, initial_indent=first, subsequent_indent=indent, **_WHOLE_WORDS, drop_whitespace=True
    ) or [""]


def span(seconds: float) -> str:
    """A length of time as kubectl tells it; clocks that differ make none of it negative."""
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def ago(seconds: float) -> str:
    """An age."""
    return f"{span(seconds)} ago"
