"""Data on stdout: tables as Go's text/tabwriter laid them out, JSON as Go's encoder wrote it, YAML.

Scripts read Flux v1's output byte for byte, so trailing cells and their padding are part of the contract. Colour is
for terminals only and never changes what a pipe sees.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from kubectl_flux.errors import UsageError

PADDING = 2
FORMATS = ("tab", "table", "wide", "json", "yaml", "name")

_HTML = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
_COLOURS = {"red": "31", "green": "32", "yellow": "33"}

Painter = Callable[[str], str]
"""Names the colour of a cell's text; empty for none."""


def table(rows: Sequence[Sequence[str]], paint: Painter | None = None, widths: Sequence[int] = ()) -> str:
    """Lay out rows of equally many cells: each but the last padded to its column's width and two spaces more.

    Args:
        rows: The cells, headers first where there are any.
        paint: Chooses the colour of a cell by its text; None for no colour.
        widths: How wide the columns are at least, from `widths_of` the rows before.
    """
    widths = widths_of(rows, widths)
    return "".join(_line(row, widths, paint) for row in rows)


def widths_of(rows: Sequence[Sequence[str]], at_least: Sequence[int] = ()) -> list[int]:
    """The width of each column but the last, with the spaces behind it; of no rows what they are at least."""
    if not rows:
        return list(at_least)
    widths = [max(len(row[column]) for row in rows) + PADDING for column in range(len(rows[0]) - 1)]
    return [max(pair) for pair in zip(widths, at_least or widths, strict=True)]


def _line(row: Sequence[str], widths: Sequence[int], paint: Painter | None) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
    if paint is not None:
        cells = [coloured(padded, paint(cell)) for cell, padded in zip(row, cells, strict=True)]
    return "".join(cells) + "\n"


def coloured(text: str, colour: str) -> str:
    """The text in a colour, for terminals; as it is where the colour is empty."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if colour else text


def go_json(value: Any) -> str:
    """One line of JSON as Go's encoder writes it: no spaces, and `<`, `>`, `&` as escapes."""
    import json  # noqa: PLC0415 - for `-o json` only

    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_HTML) + "\n"


def yaml_text(value: Any) -> str:
    """The same data as YAML, keys in their order."""
    import yaml  # noqa: PLC0415 - for `-o yaml` only

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True, width=4096)
    return str(text)


def check_format(name: str) -> None:
    """Refuse a format that is none.

    Raises:
        UsageError: It is none.
    """
    if name not in FORMATS:
        raise UsageError("invalid output format specified", hint=f"It is one of: {', '.join(FORMATS)}.")


def colours_wanted(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this stream is a terminal that may be coloured (https://no-color.org)."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and stream.isatty()


def columns_of(stream: TextIO, environ: Mapping[str, str] = os.environ) -> int:
    """How wide the terminal is; 0 where this stream is none, or one that cannot redraw a line."""
    if environ.get("TERM") == "dumb" or not stream.isatty():
        return 0
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 0


def tell(line: str) -> None:
    """Write one line of progress to stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
