"""Reads argv as Go's pflag and cobra did, so that command lines written for Flux v1 keep working.

Click knows neither `--flag=false` on booleans nor `-n=ns`, lets `--name` be abbreviated in other versions, and wants
global flags before the command. So argv is read here against the table of flags that the declared commands carry, and
handed to click in one plain form: global flags, command, its flags as `--name=value`, `--`, arguments. Click then
converts values and calls the command. The error texts are pflag's. Pure: no IO, no environment.

An option's metavar is its pflag type: `string`, `strings` (comma list, repeatable), `stringArray` (repeatable),
`stringToString`, `int`, `duration`; click's flags and counts are `bool` and `count`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import click

from kubectl_flux.errors import UsageError

PROGRAM = "kubectl flux"

_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: its names without dashes, the first long one its own name, and its pflag type.

    `off` is how click is told that a boolean is false which is true unless said otherwise; empty for any other.
    """

    long: tuple[str, ...]
    short: tuple[str, ...]
    kind: str
    off: str = ""

    @classmethod
    def of(cls, option: click.Option) -> Flag:
        """Read a declared click option."""
        long = tuple(name[2:] for name in option.opts if name.startswith("--"))
        short = tuple(name[1:] for name in option.opts if not name.startswith("--"))
        kind = "bool" if option.is_flag else "count" if option.count else option.metavar or "string"
        return cls(long, short, kind, "".join(option.secondary_opts[:1]))

    @property
    def bare(self) -> str:
        """The value that the flag has when it is given without one; empty where it needs one."""
        return {"bool": "true", "count": "+1"}.get(self.kind, "")

    def __str__(self) -> str:
        return ", ".join([*(f"-{name}" for name in self.short[:1]), f"--{self.long[0]}"])


HELP = Flag(("help",), ("h",), "bool")


@dataclass(frozen=True, slots=True)
class Parsed:
    """One command line, read: `command` is empty where none was given; flags are in the order given."""

    command: str = ""
    global_flags: tuple[tuple[Flag, str], ...] = ()
    flags: tuple[tuple[Flag, str], ...] = ()
    arguments: tuple[str, ...] = ()
    wants_help: bool = False

    def for_click(self) -> list[str]:
        """The same command line as click reads it."""
        return [
            *_canonical(self.global_flags),
            self.command,
            *_canonical(self.flags),
            *(("--", *self.arguments) if self.arguments else ()),
        ]


def flags_of(command: click.Command) -> tuple[Flag, ...]:
    """The flags that a command declares."""
    return tuple(Flag.of(param) for param in command.params if isinstance(param, click.Option))


def parse(argv: Sequence[str], root: click.Group) -> Parsed:
    """Read a command line.

    Raises:
        UsageError: It names an unknown command or flag, or a flag has no or a wrong value.
    """
    global_flags = flags_of(root)
    at = find_command(argv, root, global_flags)
    name = argv[at] if at >= 0 else ""
    command = root.commands.get(name)
    if name and command is None:
        raise UsageError(f'unknown command "{name}" for "{PROGRAM}"', hint=_similar(name, root))
    own_flags = flags_of(command) if command else ()
    rest = [*argv[:at], *argv[at + 1 :]] if command else list(argv)
    values, arguments = scan(rest, [*own_flags, *global_flags, HELP], name)
    wants_help = any(_BOOLEANS[value] for flag, value in values if flag is HELP)
    if arguments and not wants_help and not (command and any(isinstance(p, click.Argument) for p in command.params)):
        raise UsageError("expected no (non-flag) arguments", command=name)
    return Parsed(
        command=name,
        global_flags=tuple(pair for pair in values if pair[0] in global_flags and pair[0] not in own_flags),
        flags=tuple(pair for pair in values if pair[0] in own_flags),
        arguments=tuple(arguments),
        wants_help=wants_help or command is None,
    )


def parse_bool(text: str, flag: Flag, command: str = "") -> bool:
    """Read a boolean as Go does.

    Raises:
        UsageError: It is none.
    """
    if text not in _BOOLEANS:
        raise invalid(text, flag, f'strconv.ParseBool: parsing "{text}": invalid syntax', command)
    return _BOOLEANS[text]


def invalid(text: str, flag: object, why: str, command: str = "") -> UsageError:
    """The error for a value that a flag cannot have, in pflag's words."""
    return UsageError(f'invalid argument "{text}" for "{flag}" flag: {why}', command=command)


def find_command(argv: Sequence[str], root: click.Group, global_flags: Iterable[Flag]) -> int:
    """The index of the command in argv, or -1: the first word that is neither a flag nor a flag's value."""
    bare = {name for command in root.commands.values() for name in _bare_names(flags_of(command))}
    bare |= _bare_names([HELP])
    taking = {name for command in root.commands.values() for name in _taking_names(flags_of(command))}
    bare = (bare - taking - _taking_names(global_flags)) | _bare_names(global_flags)
    skip = False
    for index, word in enumerate(argv):
        if skip:
            skip = False
        elif word == "--":
            return -1
        elif word.startswith("-") and word != "-":
            takes_next = "=" not in word and (word.startswith("--") or len(word) == len("-x"))
            skip = takes_next and word.lstrip("-") not in bare
        else:
            return index
    return -1


def _bare_names(flags: Iterable[Flag]) -> set[str]:
    return {name for flag in flags if flag.bare for name in (*flag.long, *flag.short)}


def _taking_names(flags: Iterable[Flag]) -> set[str]:
    return {name for flag in flags if not flag.bare for name in (*flag.long, *flag.short)}


def scan(words: Sequence[str], flags: Sequence[Flag], command: str) -> tuple[list[tuple[Flag, str]], list[str]]:
    """Split words into flags with their values, and arguments; a command's own flags win over global ones."""
    long = {name: flag for flag in reversed(flags) for name in flag.long}
    short = {name: flag for flag in reversed(flags) for name in flag.short}
    values: list[tuple[Flag, str]] = []
    arguments: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            arguments.extend(rest)
        elif word.startswith("--"):
            values.append(_long(word, long, rest, command))
        elif word.startswith("-") and word != "-":
            values.extend(_bundle(word[1:], short, rest, command))
        else:
            arguments.append(word)
    for flag, value in values:
        if flag.kind == "bool":
            parse_bool(value, flag, command)
    return values, arguments


def _long(word: str, flags: Mapping[str, Flag], rest: Iterator[str], command: str) -> tuple[Flag, str]:
    name, equals, value = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise UsageError(f"bad flag syntax: {word}", command=command)
    flag = flags.get(name)
    if flag is None:
        raise UsageError(f"unknown flag: --{name}", command=command)
    if equals:
        return flag, value
    if flag.bare:
        return flag, flag.bare
    following = next(rest, None)
    if following is None:
        raise UsageError(f"flag needs an argument: --{name}", command=command)
    return flag, following


def _bundle(letters: str, flags: Mapping[str, Flag], rest: Iterator[str], command: str) -> Iterator[tuple[Flag, str]]:
    """Read `-abc`, `-nNS`, `-n=NS` and `-n NS`; pflag's errors show what was left to read."""
    while letters:
        flag = flags.get(letters[0])
        if flag is None:
            raise UsageError(f"unknown shorthand flag: '{letters[0]}' in -{letters}", command=command)
        tail = letters[1:]
        if tail.startswith("=") and len(tail) > 1:
            yield flag, tail[1:]
            return
        if flag.bare:
            yield flag, flag.bare
            letters = tail
            continue
        value = tail or next(rest, None)
        if value is None:
            raise UsageError(f"flag needs an argument: '{letters[0]}' in -{letters}", command=command)
        yield flag, value
        return


def _canonical(values: Iterable[tuple[Flag, str]]) -> list[str]:
    """Flags as click reads them: booleans only where they end up other than by default, the rest as `--name=value`."""
    grouped: dict[Flag, list[str]] = {}
    for flag, value in values:
        grouped.setdefault(flag, []).append(value)
    return [word for flag, given in grouped.items() for word in _words(flag, given)]


def _words(flag: Flag, given: list[str]) -> list[str]:
    name = f"--{flag.long[0]}"
    match flag.kind:
        case "bool":
            return [word for word in (name if _BOOLEANS[given[-1]] else flag.off,) if word]
        case "count":
            return [name] * _count(flag, given)
        case "strings":
            return [f"{name}={item}" for text in given for item in next(csv.reader([text]), [])]
        case "stringArray":
            return [f"{name}={text}" for text in given]
        case "stringToString":
            return [f"{name}={','.join(given)}"]
        case _:
            return [f"{name}={given[-1]}"]


def _count(flag: Flag, given: list[str]) -> int:
    total = 0
    for text in given:
        if text == "+1":
            total += 1
        elif text.isascii() and text.isdigit():
            total = int(text)
        else:
            raise invalid(text, flag, f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return total


def _similar(name: str, root: click.Group) -> str:
    import difflib  # noqa: PLC0415 - needed for a mistyped command only

    visible = [known for known, command in root.commands.items() if not command.hidden]
    close = difflib.get_close_matches(name, visible, n=3)
    return "Did you mean this?\n" + "".join(f"\t{known}\n" for known in close) if close else ""
