"""What could stand at the end of an unfinished command line: the declared commands, flags and fixed values. Pure.

The line is read by the very parser that reads finished ones, with a mark in the place of the word at the cursor: where
the mark turns up says what is being typed. Names that only the cluster knows are left to the caller: see `Offer.names`.
Directives are those of cobra's completion protocol, which kubectl and shells written for it understand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import click

from kubectl_flux.arguments import HELP, Flag, find_command, flags_of, scan
from kubectl_flux.errors import UsageError
from kubectl_flux.output import FORMATS
from kubectl_flux.shells import SHELLS
from kubectl_flux.usage import short_text

ANY_FILE = 0
NO_FILE = 4
FOLDER = 16

NAMESPACES = "namespaces"
WORKLOADS = "workloads"
CONTEXTS = "contexts"

_NAMES = {
    "context": CONTEXTS,
    "namespace": NAMESPACES,
    "workload": WORKLOADS,
    "controller": WORKLOADS,
    "exclude": WORKLOADS,
}
CHANGING = ("release", "automate", "deautomate", "lock", "unlock", "policy")
_NAMED = {"why": WORKLOADS}
"""Commands whose one argument is such a name."""
_FIXED: Mapping[tuple[str, str], Sequence[str]] = {
    ("list-workloads", "output-format"): FORMATS,
    ("list-controllers", "output-format"): FORMATS,
    ("list-images", "output-format"): FORMATS,
    ("diff", "output"): ("diff", "json", "name"),
    **dict.fromkeys(((name, "output") for name in CHANGING), ("json", "yaml")),
    ("status", "output"): ("json", "yaml"),
    ("wait", "output"): ("json",),
    ("why", "output"): ("json", "yaml"),
    ("wait", "for"): ("ready", "synced"),
}
_PATHS = {"kubeconfig": ANY_FILE, "certificate-authority": ANY_FILE, "out": FOLDER, "output-dir": FOLDER}
_REPEATABLE = ("count", "strings", "stringArray", "stringToString")
_MARK = "\0"


@dataclass(frozen=True, slots=True)
class Offer:
    """What to offer for the word at the cursor.

    Attributes:
        candidates: What fits the word, and a line about each where there is one.
        directive: What the shell is to do besides.
        names: Which names fit here that only the cluster or the kubeconfig knows; empty for none.
        typed: What of the word is typed of a name already.
        global_flags: The global flags before it, with their values.
        namespace: What the command's own flag for it says; empty for none.
    """

    candidates: tuple[tuple[str, str], ...] = ()
    directive: int = NO_FILE
    names: str = ""
    typed: str = ""
    global_flags: tuple[tuple[Flag, str], ...] = ()
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    """The line up to the cursor; `waiting` is the flag whose value the word is."""

    command: click.Command | None
    flags: tuple[tuple[Flag, str], ...]
    global_flags: tuple[tuple[Flag, str], ...]
    arguments: int
    waiting: Flag | None


def offer(root: click.Group, words: Sequence[str], word: str) -> Offer:
    """What fits at the end of a command line.

    Args:
        root: The command tree.
        words: The finished words, without the program's name.
        word: The word at the cursor, as far as it is typed.
    """
    try:
        line = _read(root, words, word)
    except UsageError:
        return Offer()
    if line.waiting is not None:
        typed = word.partition("=")[2] if word.startswith("--") else word
        return _value(line, line.waiting, typed)
    if word.startswith("-") and "--" not in words:
        return Offer(_fitting(_flags(root, line), word))
    if line.command is None:
        return Offer(_fitting(_commands(root), word))
    if line.command.name in _NAMED and not line.arguments:
        return _named(line, _NAMED[line.command.name], word)
    return Offer(_fitting(_arguments(root, line), word))


def fitting(names: Iterable[str], typed: str) -> tuple[tuple[str, str], ...]:
    """Names as candidates, those that begin with what is typed."""
    return _fitting(dict.fromkeys(names, ""), typed)


def _read(root: click.Group, words: Sequence[str], word: str) -> _Line:
    """Read the line with the mark in the word's place.

    Raises:
        UsageError: What stands before it makes no sense.
    """
    global_flags = flags_of(root)
    at = find_command([*words, _MARK], root, global_flags)
    name = words[at] if 0 <= at < len(words) else ""
    command = root.commands.get(name)
    if name and command is None:
        raise UsageError(f"unknown command {name}")
    rest = [*words[:at], *words[at + 1 :]] if command else list(words)
    flag, equals, _ = word.partition("=")
    marked = f"{flag}={_MARK}" if equals and flag.startswith("--") else _MARK
    own_flags = flags_of(command) if command else ()
    values, arguments = scan([*rest, marked], [*own_flags, *global_flags, HELP], name)
    waiting = next((flag for flag, value in values if value == _MARK), None)
    given = [(flag, value) for flag, value in values if value != _MARK]
    return _Line(
        command,
        tuple(pair for pair in given if pair[0] in own_flags),
        tuple(pair for pair in given if pair[0] not in own_flags),
        len([argument for argument in arguments if argument != _MARK]),
        waiting,
    )


def _value(line: _Line, flag: Flag, typed: str) -> Offer:
    name = flag.long[0]
    command = line.command.name if line.command else None
    return replace(
        _named(line, _NAMES.get(name, ""), typed),
        candidates=fitting(_FIXED.get((command or "", name), ()), typed),
        directive=_PATHS.get(name, NO_FILE),
    )


def _named(line: _Line, names: str, typed: str) -> Offer:
    """An offer of names of this sort; none where they are empty."""
    return Offer(
        names=names,
        typed=typed,
        global_flags=line.global_flags,
        namespace=next((value for given, value in reversed(line.flags) if given.long[0] == "namespace"), ""),
    )


def _flags(root: click.Group, line: _Line) -> dict[str, str]:
    """The flags that may still be given, long and short, with their help."""
    once = {flag for flag, _ in (*line.flags, *line.global_flags) if flag.kind not in _REPEATABLE}
    offered = {f"--{name}": "help" for name in HELP.long} | {f"-{name}": "help" for name in HELP.short}
    for command in (root, line.command) if line.command else (root,):
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden and Flag.of(option) not in once:
                offered.update(dict.fromkeys(option.opts, option.help or ""))
    return offered


def _commands(root: click.Group) -> dict[str, str]:
    return {name: short_text(command) for name, command in root.commands.items() if not command.hidden}


def _arguments(root: click.Group, line: _Line) -> Mapping[str, str]:
    """What the one argument of a command can be."""
    if line.command is None or line.arguments:
        return {}
    match line.command.name:
        case "help":
            return _commands(root)
        case "completion":
            return dict.fromkeys(SHELLS, "")
    return {}


def _fitting(offered: Mapping[str, str], typed: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, text) for value, text in sorted(offered.items()) if value.startswith(typed))
