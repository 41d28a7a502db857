"""One call as the service sees it, whichever front it came through, the room for calls that wait, and its measure.

Invariant: streams and long polls hold at most half of a front's threads, so that reads, changes and probes always
find one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from agent.api.errors import BusyError
from agent.model.access import Access, OpenAccess
from agent.model.errors import StoppedError


class Slots:
    """The room for calls that wait: at most `limit` of one front at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = threading.BoundedSemaphore(limit)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Take a slot for the block.

        Raises:
            BusyError: All are taken.
        """
        if not self._free.acquire(blocking=False):
            raise BusyError(
                f"{self._limit} calls are waiting here already, as many as may",
                hint="try again in a moment, or ask without waiting",
                temporary=True,
            )
        try:
            yield
        finally:
            self._free.release()


class Room(Protocol):
    """Where a call takes a slot before it waits."""

    def hold(self) -> contextlib.AbstractContextManager[None]:
        """Take a slot for the block.

        Raises:
            BusyError: All are taken.
        """


class Observer(Protocol):
    """Is told of every call; `telemetry.Metrics` is one."""

    def observe_call(self, method: str, code: str, seconds: float, *, waited: bool) -> None:
        """A call has ended, with gRPC's name of its code; `waited`: it was meant to last."""


class Unmeasured:
    """Measures nothing."""

    def observe_call(self, method: str, code: str, seconds: float, *, waited: bool) -> None:
        """Do nothing."""


class Measure:
    """One call's way through a front: its code, and whether it took a slot to wait; a `Room` itself."""

    def __init__(self, slots: Slots, *, waits: bool) -> None:
        self._slots = slots
        self.code = "OK"
        self.waited = waits

    def hold(self) -> contextlib.AbstractContextManager[None]:
        """Take a slot for the block, and note that the call waits.

        Raises:
            BusyError: All are taken.
        """
        self.waited = True
        return self._slots.hold()


@contextlib.contextmanager
def measured(observer: Observer, method: str, slots: Slots, *, waits: bool) -> Iterator[Measure]:
    """Measure the block as one call; `waits` where it is a stream, which lasts as long as its caller likes."""
    measure, started = Measure(slots, waits=waits), time.monotonic()
    try:
        yield measure
    finally:
        observer.observe_call(method, measure.code, time.monotonic() - started, waited=measure.waited)


@dataclass(frozen=True, slots=True)
class Call:
    """What a method may know of its caller.

    Attributes:
        slots: The room for waiting in the front it came through.
        stop: Set when the agent is shutting down.
        is_active: Whether the caller is still there.
        remaining: Seconds until the caller's deadline; None where they set none.
        header: A request header by its name in lower case; empty where it was not sent.
        access: Who calls and what they may; every method asks it before it answers.
    """

    slots: Room
    stop: threading.Event
    is_active: Callable[[], bool]
    remaining: Callable[[], float | None]
    header: Callable[[str], str]
    access: Access = field(default_factory=OpenAccess)

    def over(self) -> bool:
        """Whether nobody waits for an answer any more, or nobody will give one."""
        left = self.remaining()
        return self.stop.is_set() or not self.is_active() or (left is not None and left <= 0)

    def patience(self, wanted: float) -> float:
        """Seconds to wait at most: what is wanted, cut by the caller's deadline; never below 0."""
        left = self.remaining()
        return max(0.0, wanted if left is None else min(wanted, left))

    def check(self) -> None:
        """Tell a caller who is still waiting that the agent goes.

        Raises:
            StoppedError: The agent is shutting down.
        """
        if self.stop.is_set():
            raise StoppedError("flux-agent is shutting down", hint="try again in a moment", temporary=True)
