"""The part of the git lane that changes git: what people ask for, and what automation wants.

It has no thread: it works on the git lane's, so that one writer is at work at a time. A change that fails ends its own
job and nothing else. Automation looks by the clock, soon after a scan has brought something new, and at once after
somebody has changed policies.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from agent.loop.messages import Parts
from agent.model.errors import FluxError, NotReadyError, StoppedError
from agent.model.ids import WorkloadId
from agent.model.status import Feature, Mark, Status
from agent.model.updates import Outcomes, PoliciesSpec
from agent.releases.contract import Asked, ChangeTicket, Done

SETTLE = 1.0
"""Seconds without news after which automation looks: a scan of many repositories is one piece of news."""
LONGEST_SETTLE = 5.0
"""Seconds after the first news when automation looks though more keep coming."""
NOT_READY_PAUSE = 2.0
"""Seconds until the next look where the workloads of the cluster are not known yet."""
TROUBLE_PAUSE = 30.0
"""Seconds until the next look, at most, where trying again may help."""
MOST_TOLD = 20
"""Workloads that one look's log names."""


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
    """When automation looks next, by the clock and because of news: seconds on the monotonic clock."""

    by_clock: float = 0.0
    first_news: float = math.inf
    last_news: float = math.inf

    @property
    def next_look(self) -> float:
        """When that is."""
        return min(self.by_clock, self.last_news + SETTLE, self.first_news + LONGEST_SETTLE)

    def with_news(self, now: float) -> AutomationTimes:
        """The next look comes when no more news come."""
        return replace(self, first_news=min(self.first_news, now), last_news=now)


class ChangeLane:
    """Changes git on the git lane's thread.

    Args:
        parts: Where is told what became of it.
        performer: Performs changes.
        interval: Seconds between two looks of automation; 0 switches it off.
        wake: Lets the git lane look again.
    """

    def __init__(self, parts: Parts, performer: Performer, interval: float, wake: Callable[[], None]) -> None:
        self._parts = parts
        self._performer = performer
        self._interval = interval
        self._wake = wake
        self._times = AutomationTimes()
        self._news = threading.Event()
        self._trouble = ""
        self._failed: Mapping[WorkloadId, str] = {}
        self._marks: Mapping[tuple[WorkloadId, str], Mark] = {}

    def images_changed(self) -> None:
        """A scan has brought something new. Calls may be many, from any thread."""
        if self._interval and not self._news.is_set():
            self._news.set()
            self._wake()

    def due(self, status: Status, now: float) -> float:
        """When automation looks next, on the monotonic clock; never, where it is off or git cannot be read yet."""
        if self._news.is_set():
            self._news.clear()
            self._times = self._times.with_news(now)
        ready = self._interval and status.repository.ready and status.revision_seen
        return self._times.next_look if ready else math.inf

    def perform(self, ticket: ChangeTicket) -> str:
        """Do what somebody asked for and end their job; where the branch is if it has moved, else empty."""
        asked, log = ticket.asked, self._parts.log
        ticket.running()
        try:
            done = self._performer.perform(asked)
        except StoppedError as error:
            ticket.failed(error.message, "nothing was changed, unless the branch says otherwise; try again in a moment")
        except FluxError as error:
            log.warning("a change failed", job=asked.job_id, error=str(error))
            ticket.failed(error.message, error.hint)
        except OSError as error:
            log.warning("a change failed", job=asked.job_id, error=str(error))
            ticket.failed(
                f"the change could not be written: {error}", "make room in --cache-dir and for temporary files"
            )
        except Exception as error:  # a bug in one change must not stop the next one
            log.warning("unexpected error in a change", job=asked.job_id, exc_info=error)
            ticket.failed("the change ran into a bug of flux-agent", "its log holds the trace")
        else:
            log.info("a change is done", job=asked.job_id, commit=done.commit)
            if done.commit:
                self._tell_marks(done.head)
            if done.commit and isinstance(asked.spec, PoliciesSpec):
                self._times = AutomationTimes()
            ticket.succeeded(done)
            return done.head
        return ""

    def automate(self, status: Status) -> str:
        """Look whether automation wants something, where it is time for that; where the branch is if it has moved."""
        now = time.monotonic()
        if self.due(status, now) > now:
            return ""
        self._times = AutomationTimes(now + self._interval)
        try:
            done = self._performer.automate(str(uuid.uuid4()), status.revision_seen)
        except StoppedError:
            return ""
        except (FluxError, OSError) as error:
            self._stumble(error, now)
            return ""
        except Exception as error:  # a bug in automation must not stop what people ask for
            self._parts.log.warning("unexpected error in automation", exc_info=error)
            return ""
        self._tell_trouble("")
        self._tell_failed(done.outcomes)
        self._tell_marks(done.head or status.revision_seen)
        if done.commit:
            changed = sum(outcome.status == "success" for outcome in done.outcomes.values())
            self._parts.log.info("automation changed git", commit=done.commit, workloads=changed)
        return done.head

    def _stumble(self, error: Exception, now: float) -> None:
        """Look again soon where that may help, and tell of the trouble once."""
        temporary = isinstance(error, FluxError) and error.temporary
        if temporary and isinstance(error, NotReadyError):
            self._times = AutomationTimes(now + NOT_READY_PAUSE)
            return
        if temporary:
            self._times = AutomationTimes(now + min(self._interval, TROUBLE_PAUSE))
        self._tell_trouble(str(error))

    def _tell_trouble(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            self._parts.log.warning("automation could not change git", error=trouble)
        self._parts.board.publish(automation=Feature(enabled=True, reason=trouble))

    def _tell_failed(self, outcomes: Outcomes) -> None:
        """Tell of workloads that could not be changed, of each once for as long as its reason stays."""
        failed = {id_: outcome.reason for id_, outcome in outcomes.items() if outcome.status == "failed"}
        fresh = [id_ for id_, reason in failed.items() if self._failed.get(id_) != reason]
        for id_ in fresh[:MOST_TOLD]:
            self._parts.log.warning("automation could not change a workload", workload=str(id_), reason=failed[id_])
        self._failed = failed

    def _tell_marks(self, revision: str) -> None:
        """Publish what people took back as of a revision, where that has changed.

        What cannot be read now is told by automation's next look.
        """
        try:
            marks = self._performer.marks(revision)
        except StoppedError:
            return
        except Exception as error:  # what is done is done
            log = self._parts.log
            log.warning("it cannot be told what people took back", revision=revision, exc_info=error)
            return
        if marks != self._marks:
            self._parts.board.publish(marks=marks)
            self._marks = marks
