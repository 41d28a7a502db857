"""Waiting by long polls: a read with a cursor, answered when what it tells of has moved on.

Streams do not suit the API server's proxy as well as plain reads do, so the plugin asks again and again, each time for
at most 25 seconds. An agent that is briefly away (a new pod takes over), or has no room for one more that waits, is
asked again until the time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from kubectl_flux.errors import BusyError, NotFoundError, PluginError, TimedOutError, UnreachableError, hint_beside
from kubectl_flux.output import tell

if TYPE_CHECKING:
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

LONGEST_WAIT = 25.0
RETRY_AFTER = 1.0
UNCHANGED_PAUSE = 0.2
LONGEST_STEP = 86_400.0
"""Seconds that a single step may take: sockets, threads and the agent each have a limit of their own beyond it."""
ANSWER_TIME = 2.0
"""Seconds kept for an answer that is not waited for."""

Clock = Callable[[], float]
Sleep = Callable[[float], object]


class Deadline:
    """The moment until which a command may take, by a clock that never jumps."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """The seconds that are left, no more than any single step needs.

        Raises:
            TimedOutError: None are.
        """
        left = self._end - self._clock()
        if left <= 0:
            raise TimedOutError(f"timeout: not done after {self.seconds:g} s", hint="Give it longer with --timeout.")
        return min(left, LONGEST_STEP)


class Versioned(Protocol):
    """An answer that says how often what it tells of has changed."""

    @property
    def version(self) -> int:
        """Counts changes within one run of the agent."""


Answer = TypeVar("Answer", bound=Versioned)
Ask = Callable[[int, float], Answer]
"""Takes the version that was seen last, 0 for none, and the seconds that the agent may hold the answer back."""


def answers(
    ask: Ask[Answer],
    deadline: Deadline,
    *,
    known: bool = False,
    passing: type[PluginError] = UnreachableError,
    sleep: Sleep = time.sleep,
) -> Iterator[Answer]:
    """Ask again and again; yields every answer, also those without a change.

    Args:
        ask: Asks once.
        deadline: Until when.
        known: Whether the agent has answered already. One that never has is not waited for.
        passing: Another error that may pass by itself, after which it is asked again.
        sleep: Waits so many seconds.

    Raises:
        TimedOutError: The time is over.
        UnreachableError: The agent cannot be reached, or went away and did not come back in time.
    """
    version = 0
    away: PluginError | None = None
    while True:
        pause = RETRY_AFTER
        try:
            answer = ask(version, min(LONGEST_WAIT, deadline.left()))
        except (UnreachableError, passing) as error:
            if not known:
                raise
            version, away = 0, error  # the next to answer may be another run, which counts anew
        except BusyError:
            version = 0  # so the agent does not hold the answer back
        except TimedOutError as error:
            raise away or error from error
        else:
            pause = 0 if answer.version != version else UNCHANGED_PAUSE
            version, away, known = answer.version, None, True
            yield answer
        sleep(pause)


Found = TypeVar("Found")


def settled(
    ask: Callable[[float], Found], deadline: Deadline, *, within: float | None = None, clock: Clock = time.monotonic
) -> Found:
    """Ask until the agent has found out what the answer needs, or finds out no more.

    Args:
        ask: Asks once; takes the seconds that the agent may spend on finding out. It answers early where it can.
        deadline: Until when; then the last answer counts.
        within: Seconds to ask for once, instead of again and again.
        clock: Seconds that never jump.

    Raises:
        TimedOutError: There was no answer in time.
    """
    found: Found | None = None
    try:
        while (wait := min(LONGEST_WAIT, within or LONGEST_WAIT, deadline.left() - ANSWER_TIME)) > 0:
            if found is not None:
                tell("Registries are still being asked ...")
            started, before = clock(), found
            found = ask(wait)
            if within or clock() - started < wait or found == before:
                return found
    except BusyError:
        found = None
    except TimedOutError:
        if found is None:
            raise
    return ask(0.0) if found is None else found


class Jobs(Protocol):
    """Who can be asked how a job stands."""

    def job(self, job_id: str, after_version: int, wait: float) -> pb.Job:
        """The job, once it has moved past this version or after `wait` seconds."""


def states_of(
    jobs: Jobs, job_id: str, deadline: Deadline, sleep: Sleep = time.sleep, *, recalled: bool = False
) -> Iterator[pb.Job]:
    """Every new state of a job until it has ended; the last one is its end.

    Args:
        jobs: Is asked.
        job_id: The job.
        deadline: Until when.
        sleep: Waits so many seconds.
        recalled: Whether an agent that was restarted meanwhile finds the job again in git, once it has read that.

    Raises:
        TimedOutError: The time was over first; the job goes on in the agent.
        NotFoundError: The agent does not know the job any more.
        UnreachableError: The agent went away and did not come back in time.
    """
    version = 0
    passing = NotFoundError if recalled else UnreachableError

    def ask(seen: int, wait: float) -> pb.Job:
        return jobs.job(job_id, seen, wait)

    try:
        for job in answers(ask, deadline, known=True, passing=passing, sleep=sleep):
            if job.version != version or has_ended(job):
                version = job.version
                yield job
            if has_ended(job):
                return
    except TimedOutError as error:
        raise _still_running(error) from error
    except NotFoundError as error:
        raise _lost(error) from error


def has_ended(job: pb.Job) -> bool:
    """Whether the job will not change any more."""
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb  # noqa: PLC0415 - loaded by now: the job is made of it

    return job.state in (pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED)


def _still_running(error: TimedOutError) -> PluginError:
    return TimedOutError(
        error.message, hint="The agent goes on with it; give it longer with --timeout, such as --timeout=5m."
    )


def _lost(error: NotFoundError) -> PluginError:
    return NotFoundError(
        f"the agent does not know the job any more: {error.message}",
        hint=hint_beside(error.message, "It was probably restarted meanwhile; run the command again."),
    )
