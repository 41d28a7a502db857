"""Arguments read as Go's pflag reads them: pure functions from words to names and values.

argparse and typer cannot do it: both abbreviate or rename long options, neither gives a boolean a value after `=`
while refusing it after a blank, and neither knows Go's durations or comma lists in CSV quoting. Flux v1's argument
lists rely on all of these, so the grammar is written out here; `agent/flags.py` is its only user. The texts of errors
are pflag's, except that nothing behind an `=` is repeated where the flag is unknown: it may be a password.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from agent.model.errors import UsageError

Kind = Literal["bool", "string", "strings", "duration", "int", "uint", "float"]
"""What a flag takes; `strings` is pflag's stringSlice."""

Value = bool | int | float | str | tuple[str, ...]
"""What a flag's text becomes: durations are seconds, lists are tuples."""

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_INTEGER = re.compile(r"[+-]?[0-9][0-9A-Za-z_]*")
_FLOAT = re.compile(r"[+-]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(inf|infinity|nan)", re.IGNORECASE)
_DURATION_PART = re.compile(r"([0-9]*\.?[0-9]*)([^0-9.]*)")
_CSV_FIELD = re.compile(r'"((?:[^"]|"")*)"|([^",]*)')
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "\N{MICRO SIGN}s": 10**3,
    "\N{GREEK SMALL LETTER MU}s": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_INT64_MAX = 2**63 - 1
_LONGEST_SHOWN = 80


class UnknownFlagError(UsageError):
    """No such flag.

    Attributes:
        name: What was given, without dashes and without a value.
    """

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def scan(argv: Sequence[str], kinds: Mapping[str, Kind], shorthands: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each flag's name and text in the order given; a boolean without a value has the text `true`.

    Args:
        argv: The words behind the program's name.
        kinds: The known flags.
        shorthands: From a letter to the name of its flag.

    Raises:
        UnknownFlagError: There is no such flag.
        UsageError: A flag lacks its value or is badly written; at the end, when a word was no flag.
    """
    words = deque(argv)
    stray: list[str] = []
    while words:
        word = words.popleft()
        if word == "--":
            stray.extend(words)
            break
        if word.startswith("--"):
            yield _long(word, words, kinds)
        elif word.startswith("-") and word != "-":
            yield from _short(word[1:], words, kinds, shorthands)
        else:
            stray.append(word)
    if stray:
        raise UsageError(
            f"unexpected argument {_quoted(stray[0])}: there are flags only",
            hint="a boolean takes its value behind an equals sign, as in --git-readonly=false",
        )


def _long(word: str, words: deque[str], kinds: Mapping[str, Kind]) -> tuple[str, str]:
    name, equals, text = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise UsageError(f"bad flag syntax: --{name}{equals}")
    if name not in kinds:
        raise UnknownFlagError(f"unknown flag: --{name}", name)
    if equals:
        return name, text
    if kinds[name] == "bool":
        return name, "true"
    if not words:
        raise UsageError(f"flag needs an argument: --{name}")
    return name, words.popleft()


def _short(
    letters: str, words: deque[str], kinds: Mapping[str, Kind], shorthands: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the flags of one bundle; the first that takes a value takes the rest of it, or else the next word."""
    while letters:
        letter, rest = letters[0], letters[1:]
        shown = letters.partition("=")[0]
        if letter not in shorthands:
            raise UnknownFlagError(f"unknown shorthand flag: '{letter}' in -{shown}", shown)
        name = shorthands[letter]
        letters = ""
        if len(rest) > 1 and rest.startswith("="):
            yield name, rest[1:]
        elif kinds[name] == "bool":
            yield name, "true"
            letters = rest
        elif rest:
            yield name, rest
        elif words:
            yield name, words.popleft()
        else:
            raise UsageError(f"flag needs an argument: '{letter}' in -{shown}")


def convert(kind: Kind, text: str) -> Value:
    """Read one flag's text.

    Raises:
        ValueError: It is not of that kind; the message is Go's.
    """
    return _READERS[kind](text)


def _bool(text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"strconv.ParseBool: parsing {_quoted(text)}: invalid syntax")


def _int(text: str) -> int:
    """Read an integer with Go's prefixes, among them the bare 0 of octals."""
    number = _integer(text, "ParseInt")
    if not -_INT64_MAX - 1 <= number <= _INT64_MAX:
        raise ValueError(f"strconv.ParseInt: parsing {_quoted(text)}: value out of range")
    return number


def _uint(text: str) -> int:
    if text[:1] in ("+", "-"):
        raise ValueError(f"strconv.ParseUint: parsing {_quoted(text)}: invalid syntax")
    number = _integer(text, "ParseUint")
    if number > 2 * _INT64_MAX + 1:
        raise ValueError(f"strconv.ParseUint: parsing {_quoted(text)}: value out of range")
    return number


def _integer(text: str, function: str) -> int:
    octal = re.fullmatch(r"([+-]?)0(_?[0-7][0-7_]*)", text)
    try:
        if octal:
            return int(f"{octal[1]}0o{octal[2]}", 0)
        if _INTEGER.fullmatch(text):
            return int(text, 0)
    except ValueError:
        pass
    raise ValueError(f"strconv.{function}: parsing {_quoted(text)}: invalid syntax")


def _float(text: str) -> float:
    """Read a decimal number; Go's hexadecimal floats are left out, nobody writes a rate in them."""
    if not _FLOAT.fullmatch(text):
        raise ValueError(f"strconv.ParseFloat: parsing {_quoted(text)}: invalid syntax")
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {_quoted(text)}: invalid syntax") from None
    if math.isinf(number) and "inf" not in text.lower():
        raise ValueError(f"strconv.ParseFloat: parsing {_quoted(text)}: value out of range")
    return number


def parse_duration(text: str) -> float:
    """Read a Go duration such as `1h30m`, `300ms`, `1.5h` or `0`, in seconds.

    Raises:
        ValueError: It is none; the message is Go's.
    """
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f"time: invalid duration {_quoted(text)}")
    nanoseconds = 0
    while rest:
        part = _DURATION_PART.match(rest)
        if not part or not part[1].strip("."):
            raise ValueError(f"time: invalid duration {_quoted(text)}")
        if not part[2]:
            raise ValueError(f"time: missing unit in duration {_quoted(text)}")
        if part[2] not in _NANOSECONDS:
            raise ValueError(f"time: unknown unit {_quoted(part[2])} in duration {_quoted(text)}")
        nanoseconds += int(Fraction(part[1]) * _NANOSECONDS[part[2]])
        rest = rest[part.end() :]
    if nanoseconds > _INT64_MAX + (sign < 0):
        raise ValueError(f"time: invalid duration {_quoted(text)}")
    return sign * nanoseconds / 10**9


def read_list(text: str) -> tuple[str, ...]:
    """Split a comma list in CSV quoting: `a,"b,c"` is `a` and `b,c`. An empty text is an empty list.

    pflag reads the first line and drops what follows; here a second line is an error.

    Raises:
        ValueError: A quote stands where CSV has none, or is missing.
    """
    text = text.strip("\r\n")
    if not text:
        return ()
    items: list[str] = []
    position = 0
    while True:
        field = _CSV_FIELD.match(text, position)
        end = field.end() if field else position
        if field is None or (end < len(text) and text[end] != ","):
            raise ValueError(_csv_fault(text, position, end))
        if field[1] is None and "\n" in field[2]:
            raise ValueError("a list is one line")
        items.append(field[2] if field[1] is None else field[1].replace('""', '"'))
        if end == len(text):
            return tuple(items)
        position = end + 1


def _csv_fault(text: str, start: int, end: int) -> str:
    """Return Go's words for a field that ends in neither a comma nor the end of the text."""
    if not text.startswith('"', start):
        return f'parse error on line 1, column {end + 1}: bare " in non-quoted-field'
    column = end if end > start else len(text) + 1
    return f'parse error on line 1, column {column}: extraneous or missing " in quoted-field'


def format_value(kind: Kind, value: Value) -> str:
    """Write a default as pflag's usage does: `"master"`, `5m0s`, `[a,b]`; empty for what pflag leaves out."""
    if not value:
        return ""
    if isinstance(value, tuple):
        return f"[{','.join(value)}]"
    if kind == "duration" and isinstance(value, float):
        return _format_duration(value)
    return json.dumps(value, ensure_ascii=False) if kind in ("string", "bool") else f"{value:g}"


def _format_duration(seconds: float) -> str:
    """Write a duration of a second or more as Go does."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:g}s"
    return f"{hours}h{minutes}m{tail}" if hours else f"{minutes}m{tail}" if minutes else tail


def _quoted(text: str) -> str:
    """Quote a user's word, without a URL's user and password, and not at any length."""
    text = re.sub(r"//.*@", "//…@", text, flags=re.DOTALL)
    return json.dumps(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…", ensure_ascii=False)


def invalid(text: str, place: str, cause: object) -> UsageError:
    """Return pflag's error for a text that does not fit.

    Args:
        text: What was given.
        place: Where: `"--git-timeout" flag`.
        cause: What is wrong with it.
    """
    return UsageError(f"invalid argument {_quoted(text)} for {place}: {cause}")


_READERS: Mapping[Kind, Callable[[str], Value]] = {
    "bool": _bool,
    "string": str,
    "strings": read_list,
    "duration": parse_duration,
    "int": _int,
    "uint": _uint,
    "float": _float,
}
