"""One call as the service sees it, whichever front it came through, and the room for calls that wait.

Invariant: streams and long polls hold at most half of a front's threads, so that reads, changes and probes always
find one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

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

    slots: Slots
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
