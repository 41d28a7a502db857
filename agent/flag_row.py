"""One row of the table of flags, and short ways to write rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from agent.flag_checks import Check, anything
from agent.pflag import Kind, Value

Status = Literal["active", "later", "gone", "deprecated"]


@dataclass(frozen=True, slots=True)
class Flag:
    """One row.

    Attributes:
        name: Without dashes.
        kind: What it takes.
        help: Its meaning, a phrase without a full stop.
        default: What it is when nobody sets it; durations in seconds.
        shorthand: One letter, or empty.
        status: Whether it has an effect.
        target: Where its value goes in Settings, such as `git.branch`; empty where it goes nowhere, or changes others.
        note: For `later` what is missing, for `gone` why it is ignored: a finished clause.
        replacement: For `deprecated`: the flag it acts as; with `=value` where a true boolean stands for that value.
        check: What a value must be beyond its kind.
        group: The heading it stands under.
    """

    name: str
    kind: Kind
    help: str
    default: Value = ""
    shorthand: str = ""
    status: Status = "active"
    target: str = ""
    note: str = ""
    replacement: str = ""
    check: Check = anything
    group: str = ""

    @property
    def variable(self) -> str:
        """The environment variable it is read from; empty for those that ask for something instead of running."""
        return "" if self.name in ("help", "version") else f"FLUX_AGENT_{self.name.upper().replace('-', '_')}"

    @property
    def label(self) -> str:
        """The flag as usage texts and errors write it."""
        return f"-{self.shorthand}, --{self.name}" if self.shorthand else f"--{self.name}"


def group(title: str, *flags: Flag) -> tuple[Flag, ...]:
    """Rows under one heading."""
    return tuple(replace(flag, group=title) for flag in flags)


def later(name: str, kind: Kind, meaning: str, note: str, default: Value = "", check: Check = anything) -> Flag:
    """A row of Flux v1 whose feature is not there yet."""
    return Flag(name, kind, meaning, default, status="later", note=note, check=check)


def gone(name: str, kind: Kind, meaning: str, note: str) -> Flag:
    """A row of Flux v1 that names something that no longer exists."""
    return Flag(name, kind, meaning, status="gone", note=note)


def deprecated(name: str, kind: Kind, meaning: str, replacement: str) -> Flag:
    """An old name of another row."""
    return Flag(name, kind, meaning, status="deprecated", replacement=replacement)
