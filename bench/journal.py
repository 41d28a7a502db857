"""The agent's own log, read back: when it saw a revision, when it had synced it, and how long the sync took."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEEN = "the repository has a new revision"
SYNCED = "synced"
MARKED = "the sync marker moved"
_PAUSE = 0.02


class JournalError(Exception):
    """The log does not say what it should; the message carries its last lines."""


@dataclass(frozen=True, slots=True)
class Sync:
    """One sync as the log tells it. Durations are in seconds.

    Attributes:
        seen_to_synced: From the line that tells of the new revision, written when the fetch has ended, to the line
            that tells of the finished sync; 0 where no new revision was seen.
        engine: What the agent itself measured: plan, apply and collect.
    """

    revision: str
    seen_to_synced: float
    engine: float
    objects: int
    applied: int
    unchanged: int
    failed: int


class Journal:
    """The log of one agent, started with `--log-format=json`."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def lines(self) -> list[dict[str, Any]]:
        """All lines that are whole; what is no JSON (a trace) is left out."""
        text = self._log.read_text() if self._log.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1] if line.startswith("{")]

    def syncs(self) -> list[Sync]:
        """Every finished sync, in order."""
        found, seen = [], dict[str, dict[str, Any]]()
        for line in self.lines():
            if line["msg"] == SEEN:
                seen[line["revision"]] = line
            elif line["msg"] == SYNCED:
                found.append(_sync(line, seen.pop(line["revision"], None)))
        return found

    def wait_for(self, number: int, timeout: float) -> list[Sync]:
        """The syncs, as soon as there are so many.

        Raises:
            JournalError: There are not, in time.
        """
        self._wait(lambda: len(self.syncs()) >= number, f"sync number {number}", timeout)
        return self.syncs()

    def wait_for_marker(self, timeout: float) -> None:
        """Waits until the marker has moved, which ends a sync of something new.

        Raises:
            JournalError: It has not, in time.
        """
        self._wait(lambda: any(line["msg"] == MARKED for line in self.lines()), "move of the marker", timeout)

    def _wait(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                text = self._log.read_text()[-4000:] if self._log.exists() else ""
                raise JournalError(f"no {what} after {timeout:.0f} s:\n{text}")
            time.sleep(_PAUSE)


def _sync(line: dict[str, Any], seen: dict[str, Any] | None) -> Sync:
    passed = (_time(line) - _time(seen)).total_seconds() if seen else 0.0
    numbers = {name: int(line[name]) for name in ("objects", "applied", "unchanged", "failed")}
    return Sync(line["revision"], passed, float(line["seconds"]), **numbers)


def _time(line: dict[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(line["ts"])
