"""Lets a person choose among the updates that a dry run proposes: with the arrow keys, or by numbers.

What the menu shows and what a key does to it are pure; drawing and asking are the two thin functions at the end.
Everything is drawn on stderr, so stdout holds the result alone. As in Flux v1 everything is chosen to begin with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TextIO

from kubectl_flux.errors import PluginError
from kubectl_flux.outcomes import FAILED, SUCCESS, update_text
from kubectl_flux.output import columns_of, table, tell
from kubectl_flux.progress import one_line

if TYPE_CHECKING:
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

HELP = "Arrows move, space chooses, a chooses all or none, enter releases what is chosen, q leaves."
QUESTION = 'Which updates? Numbers such as 1,3-4, or "all"; an empty line for none: '
ATTEMPTS = 5
AROUND = 3
"""Lines of the menu beside its items."""


class Offer(NamedTuple):
    """One container's update that can be chosen."""

    workload: str
    change: pb.ContainerChange


def offers_of(job: pb.Job) -> tuple[Offer, ...]:
    """What a dry run proposes, one container after the other."""
    return tuple(
        Offer(outcome.workload, change)
        for outcome in job.change.outcomes
        if outcome.status == SUCCESS
        for change in outcome.containers
    )


def not_offered(job: pb.Job) -> list[str]:
    """What a dry run says of the workloads that could not be changed."""
    failed = [outcome for outcome in job.change.outcomes if outcome.status == FAILED]
    return [f"{outcome.workload}: {one_line(outcome.reason)}" for outcome in failed]


@dataclass(frozen=True, slots=True)
class Menu:
    """The updates, those chosen, and the one that the arrow stands at."""

    items: tuple[str, ...]
    chosen: frozenset[int]
    at: int = 0

    @classmethod
    def of(cls, offers: Sequence[Offer]) -> Menu:
        """A menu where everything is chosen."""
        return cls(tuple(lines_of(offers)), frozenset(range(len(offers))))

    def after(self, key: str) -> Menu:
        """The menu after a key; one that means nothing here changes nothing."""
        match key:
            case "up" | "k":
                return replace(self, at=max(self.at - 1, 0))
            case "down" | "j":
                return replace(self, at=min(self.at + 1, len(self.items) - 1))
            case " ":
                return replace(self, chosen=self.chosen ^ {self.at})
            case "a":
                everything = frozenset(range(len(self.items)))
                return replace(self, chosen=frozenset() if self.chosen == everything else everything)
        return self

    def drawn(self, columns: int, lines: int, marks: tuple[str, str, str]) -> list[str]:
        """The lines to show, none longer than the terminal is wide, and as many as it has.

        Args:
            columns: The terminal's width.
            lines: Its height.
            marks: What stands before the item with the arrow, before one that is chosen, and before any other.
        """
        arrow, on, off = marks
        room = max(lines - AROUND, 1)
        first = min(max(self.at - room // 2, 0), max(len(self.items) - room, 0))
        shown = [
            f"{arrow if index == self.at else ' '} {on if index in self.chosen else off} {self.items[index]}"
            for index in range(first, min(first + room, len(self.items)))
        ]
        of = f"{len(self.chosen)} of {len(self.items)} chosen."
        return [line[: columns - 1] for line in [*shown, "", f"{of} {HELP}"]]


def lines_of(offers: Sequence[Offer]) -> list[str]:
    """Each update on a line, the workload named where it is another than above."""
    named = [
        "" if index and offers[index - 1].workload == offer.workload else offer.workload
        for index, offer in enumerate(offers)
    ]
    rows = [(name, update_text(offer.change)) for name, offer in zip(named, offers, strict=True)]
    return table(rows).splitlines()


def numbers(text: str, count: int) -> frozenset[int] | None:
    """What an answer to the question chooses, counted from 0; None where it makes no sense; pure."""
    words = text.replace(",", " ").split()
    if words == ["all"]:
        return frozenset(range(count))
    found: set[int] = set()
    for word in words:
        low, dash, high = word.partition("-")
        if not (low.isdecimal() and (high.isdecimal() if dash else True)):
            return None
        first, last = int(low), int(high or low)
        if not 1 <= first <= last <= count:
            return None
        found.update(range(first - 1, last))
    return frozenset(found)


def require_person() -> None:
    """Refuse where nobody can choose.

    Raises:
        PluginError: There is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise PluginError(
            "--interactive needs a terminal: there is nobody to choose",
            hint="Without one, look with --dry-run and name what to release with --workload and --update-image.",
        )


def choose(offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """Those that the person chooses.

    Raises:
        PluginError: The answers make no sense.
        KeyboardInterrupt: The person leaves.
    """
    from kubectl_flux.terminal import has_keys  # noqa: PLC0415 - where somebody chooses only

    drawable = columns_of(sys.stderr) > 0 and has_keys()
    chosen = _by_keys(offers, sys.stderr) if drawable else _by_numbers(offers, sys.stdin)
    return tuple(offers[index] for index in sorted(chosen))


def _by_keys(offers: Sequence[Offer], screen: TextIO) -> frozenset[int]:
    from kubectl_flux.terminal import keys  # noqa: PLC0415 - as above

    menu = Menu.of(offers)
    unicode = (screen.encoding or "").lower().replace("-", "") == "utf8"
    marks = ("\u21d2", "\u25c9", "\u25ef") if unicode else (">", "[x]", "[ ]")
    drawn = 0
    with keys(sys.stdin.fileno()) as pressed:
        screen.write("\x1b[?25l")
        try:
            while True:
                size = os.get_terminal_size(screen.fileno())
                lines = menu.drawn(size.columns, size.lines, marks)
                back = f"\x1b[{drawn}A" if drawn else ""
                screen.write(f"{back}\r\x1b[J" + "".join(f"{line}\n" for line in lines))
                screen.flush()
                drawn = len(lines)
                key = pressed()
                if key == "enter":
                    return menu.chosen
                if key in ("q", ""):
                    raise KeyboardInterrupt
                menu = menu.after(key)
        finally:
            screen.write("\x1b[?25h")
            screen.flush()


def _by_numbers(offers: Sequence[Offer], answers: TextIO) -> frozenset[int]:
    for number, line in enumerate(lines_of(offers), 1):
        tell(f"{number:>4}  {line}")
    for _ in range(ATTEMPTS):
        sys.stderr.write(QUESTION)
        sys.stderr.flush()
        answer = answers.readline()
        if not answer:
            raise KeyboardInterrupt
        chosen = numbers(answer, len(offers))
        if chosen is not None:
            return chosen
        tell(f"That is no list of numbers from 1 to {len(offers)}.")
    raise PluginError("nothing was chosen, and nothing was changed")
