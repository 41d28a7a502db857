"""The part of the git lane that changes git: what people ask for, and what automation wants.

It has no thread: it works on the git lane's, so that one writer is at work at a time. A change that fails ends its own
job and nothing else. Automation looks by the clock, and soon after a scan has brought something new.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from agent.loop.ports import Log
from agent.model.errors import FluxError, StoppedError
from agent.model.ids import WorkloadId
from agent.model.status import Mark, Status
from agent.releases.contract import Asked, ChangeTicket, Done

SETTLE = 1.0
"""Seconds between two looks that news of scans bring about: a scan of many repositories is one piece of news."""


class Performer(Protocol):
    """What performs changes."""

    def perform(self, asked: Asked) -> Done:
        """Do what somebody asked for."""

    def automate(self, job_id: str, head: str) -> Done:
        """Release what automation wants."""

    def marks(self, revision: str) -> Mapping[tuple[WorkloadId, str], Mark]:
        """What people took back."""


@dataclass(frozen=True, slots=True)
class AutomationTimes:
    """When automation looks next and looked last: seconds on the monotonic clock."""

    next_look: float = 0.0
    looked_at: float = 0.0

    def after(self, now: float, interval: float) -> AutomationTimes:
        """The next look comes after the interval."""
        return AutomationTimes(now + interval, now)

    def hurried(self) -> AutomationTimes:
        """The next look comes soon."""
        return AutomationTimes(min(self.next_look, self.looked_at + SETTLE), self.looked_at)


class ChangeLane:
    """Changes git on the git lane's thread.

    Args:
        performer: Performs changes.
        log: Where automation tells what it did.
        interval: Seconds between two looks of automation; 0 switches it off.
        wake: Lets the git lane look again.
        publish: Takes what people took back, whenever that has changed.
    """

    def __init__(
        self,
        performer: Performer,
        log: Log,
        interval: float,
        wake: Callable[[], None],
        publish: Callable[[Mapping[tuple[WorkloadId, str], Mark]], None],
    ) -> None:
        self._performer = performer
        self._publish = publish
        self._log = log
        self._interval = interval
        self._wake = wake
        self._times = AutomationTimes()
        self._news = threading.Event()
        self._trouble = ""

    def images_changed(self) -> None:
        """A scan has brought something new, or a workload is automated from now on. Calls may be many."""
        if self._interval and not self._news.is_set():
            self._news.set()
            self._wake()

    def due(self, now: float) -> float:
        """When automation looks next, on the monotonic clock."""
        if not self._interval:
            return now + 3600.0
        if self._news.is_set():
            self._news.clear()
            self._times = self._times.hurried()
        return self._times.next_look

    def perform(self, ticket: ChangeTicket) -> str:
        """Do what somebody asked for and end their job; the commit that came of it, empty for none."""
        ticket.running()
        try:
            done = self._performer.perform(ticket.asked)
        except StoppedError as error:
            ticket.failed(error.message, "nothing was changed, unless the branch says otherwise; try again in a moment")
        except FluxError as error:
            self._log.warning("a change failed", job=ticket.asked.job_id, error=str(error))
            ticket.failed(error.message, error.hint)
        except Exception as error:  # noqa: BLE001 # a bug in one change must not stop the next one
            self._log.warning("unexpected error in a change", job=ticket.asked.job_id, exc_info=error)
            ticket.failed("the change ran into a bug of flux-agent", "its log holds the trace")
        else:
            self._log.info("a change is done", job=ticket.asked.job_id, commit=done.commit)
            ticket.succeeded(done)
            self.images_changed()
            return done.commit
        return ""

    def automate(self, status: Status) -> str:
        """Look whether automation wants something, where it is time for that; the commit that came of it."""
        now = time.monotonic()
        if not self._interval or self.due(now) > now or not (status.repository.ready and status.revision_seen):
            return ""
        self._times = self._times.after(now, self._interval)
        try:
            done = self._performer.automate(str(uuid.uuid4()), status.revision_seen)
        except StoppedError:
            return ""
        except FluxError as error:
            if str(error) != self._trouble:
                self._log.warning("automation could not change git", error=str(error))
            self._trouble = str(error)
            return ""
        except Exception as error:  # noqa: BLE001 # a bug in automation must not stop what people ask for
            self._log.warning("unexpected error in automation", exc_info=error)
            return ""
        self._trouble = ""
        marks = self._performer.marks(done.commit or status.revision_seen)
        if marks != status.marks:
            self._publish(marks)
        if done.commit:
            changed = [str(id_) for id_, outcome in done.outcomes.items() if outcome.status == "success"]
            self._log.info("automation changed git", commit=done.commit, workloads=len(changed))
        return done.commit
