"""Follows a commit through the agent until it has come as far as it should, and tells what happens meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TextIO

from kubectl_flux.commands.sync import failure_line
from kubectl_flux.errors import PluginError, TimedOutError
from kubectl_flux.output import tell
from kubectl_flux.progress import (
    Entry,
    Goal,
    entries,
    failures_of,
    is_reached,
    one_line,
    pending_line,
    pending_of,
    short,
    stuck,
)
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.wait import Deadline, answers

GRACE = 10.0
"""Seconds for which a rollout must be called failed without a break before it counts as failed: a pod that is refused
because its ServiceAccount is not there yet is made a moment later."""
MOST_TOLD = 20
"""Objects that are named when it ends badly."""
HIDDEN = "Note: what is in namespaces that you may not see is left out"


class Revisions(Protocol):
    """Who can be asked how far a commit has come."""

    deadline: Deadline

    def repository(self) -> pb.Repository:
        """Which repository is followed."""

    def revision(self, ref: str, after_version: int, wait: float) -> pb.RevisionProgress:
        """How far a commit has come, once it has come further or after `wait` seconds."""


class Tells(Protocol):
    """Who shows what happens."""

    def show(self, story: Iterable[Entry]) -> None:
        """Tell what of these lines has not been told yet."""

    def clear(self) -> None:
        """Take away what stands on the terminal only until it changes."""


class Follower:
    """One wait.

    Args:
        client: Is asked.
        ref: The commit; empty for the newest the agent has seen.
        goal: How far it should come.
        teller: Shows what happens.
        announced: Whether it has been told already what is waited for.
    """

    def __init__(self, client: Revisions, ref: str, goal: Goal, teller: Tells, *, announced: bool = False) -> None:
        self._announced = announced
        self._client = client
        self._ref = ref
        self._goal = goal
        self._teller = teller
        self._stuck_since = 0.0
        self.last: pb.RevisionProgress | None = None
        """How far it had come when it was asked last; None before that."""

    def run(self) -> None:
        """Return when the goal is reached.

        Raises:
            PluginError: It failed, or the time is over.
        """
        try:
            for progress in self._states():
                self._teller.show(entries(progress, self._goal))
                if is_reached(progress, self._goal):
                    break
                self._give_up_where_it_is_lost(progress)
        except TimedOutError as error:
            raise self._out_of_time(error) from error
        finally:
            self._teller.clear()
        if self.last is not None and self.last.restricted and not self._announced:
            tell(HIDDEN)

    def _states(self) -> Iterator[pb.RevisionProgress]:
        repository = self._client.repository()
        if not repository.url:
            raise PluginError(repository.error or "no git repository is configured")
        for progress in answers(self._ask, self._client.deadline, known=True):
            if self.last is None and not self._announced:
                tell(f"Waiting for {short(progress)} of {repository.branch} to be {self._goal} ...")
            self.last = progress
            self._ref = progress.revision or self._ref  # what a name means may change meanwhile
            yield progress

    def _ask(self, after_version: int, seconds: float) -> pb.RevisionProgress:
        if self._stuck_since:
            seconds = min(seconds, max(self._stuck_since + GRACE - time.monotonic(), 0.1))
        return self._client.revision(self._ref, after_version, seconds)

    def _give_up_where_it_is_lost(self, progress: pb.RevisionProgress) -> None:
        failures = failures_of(progress, self._goal)
        if failures:
            self._teller.clear()
            _tell_some([failure_line(failure) for failure in failures])
            what = "one file or object" if len(failures) == 1 else f"{len(failures)} files or objects"
            raise PluginError(f"{what} of {short(progress)} failed", hint="Mend what is named above in git.")
        lost = stuck(progress, self._goal)
        now = time.monotonic()
        self._stuck_since = (self._stuck_since or now) if lost else 0.0
        if lost and now - self._stuck_since >= GRACE:
            self._teller.clear()
            _tell_some([pending_line(item) for item in lost])
            what = f"the rollout of {lost[0].workload}" if len(lost) == 1 else f"{len(lost)} rollouts"
            namespace, _, name = lost[0].workload.partition(":")
            raise PluginError(f"{what} failed", hint=f"The cluster tells more: kubectl -n {namespace} describe {name}")

    def _out_of_time(self, error: TimedOutError) -> PluginError:
        """The timeout, and what was still to come."""
        if self.last is None:
            return error
        self._teller.clear()
        _tell_some([pending_line(item) for item in pending_of(self.last, self._goal)])
        hint = "The agent goes on with it; give it longer with --timeout, such as --timeout=15m."
        if self.last.stage < pb.REVISION_STAGE_SEEN:
            hint = "Was it pushed to the branch that the agent follows? To fetch at once: kubectl flux sync"
        why = f": {one_line(self.last.error)}" if self.last.error else ""
        seconds = self._client.deadline.seconds
        return TimedOutError(f"timeout: {short(self.last)} is not {self._goal} after {seconds:g} s{why}", hint=hint)


class Teller:
    """Lines with the time on stderr, each once; on a terminal what is waited for is one line that is redrawn.

    Args:
        columns: The terminal's width; 0 where there is none.
        stream: Where to write.
        now: The time of day to show.
    """

    def __init__(
        self, columns: int, stream: TextIO | None = None, now: Callable[[], str] = lambda: time.strftime("%H:%M:%S")
    ) -> None:
        self.columns = columns
        self._stream = stream or sys.stderr
        self._now = now
        self._told: set[str] = set()
        self._shown = ""

    def show(self, story: Iterable[Entry]) -> None:
        """Tell what of these lines has not been told yet."""
        for entry in story:
            text = f"{entry.word:<9}{entry.text}"
            if entry.stays and entry.word not in self._told:
                self._told.add(entry.word)
                self.clear()
                self._write(f"{self._now()}  {text}\n")
            elif not entry.stays and text != self._shown:
                self._shown = text
                line = f"{self._now()}  {text}"
                self._write(f"\r\x1b[K{line[: self.columns - 1]}" if self.columns else f"{line}\n")

    def clear(self) -> None:
        """Take the line away that would be redrawn."""
        if self.columns and self._shown:
            self._write("\r\x1b[K")
        self._shown = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _tell_some(lines: list[str]) -> None:
    for line in lines[:MOST_TOLD]:
        tell(line)
    if len(lines) > MOST_TOLD:
        tell(f"and {len(lines) - MOST_TOLD} more")
