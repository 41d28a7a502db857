"""Counts that something has changed, and lets many wait for it without being woken for each change.

Whoever shows something new calls `touch`. Whoever waits is let go at once after a quiet time, and else at most every
`PAUSE` seconds, however busy the cluster is: one pod after the other must not wake everybody for each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PAUSE = 0.2
"""Seconds between two times that those who wait are let go."""

_SLICE = 0.5
"""Seconds between two looks at whether waiting still makes sense."""


class Changes:
    """A version that counts changes from 1; safe for many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._version = 1
        self._released = 1
        """The version that somebody was let go with last: whoever has seen an older one need not wait."""
        self._released_at = clock() - PAUSE
        self._due = 0.0
        """When those who wait are let go next; 0 where nothing has changed since they were."""

    @property
    def version(self) -> int:
        """How many changes there were; read it before what has changed, so that a later change is seen as later."""
        with self._condition:
            return self._version

    def touch(self) -> None:
        """Something has changed."""
        with self._condition:
            self._version += 1
            if not self._due:
                self._due = max(self._clock(), self._released_at + PAUSE)
                self._condition.notify_all()

    def wait(self, after: int, timeout: float, over: Callable[[], bool]) -> int:
        """Wait until the version is past `after`; the version then, or as it is when the wait is over.

        A version that has not been reached yet is one of an earlier run of the agent: it is past.

        Args:
            after: The version the caller has seen.
            timeout: Seconds to wait at most.
            over: Whether to wait no longer; asked twice a second.
        """
        end = self._clock() + timeout
        with self._condition:
            while True:
                now = self._clock()
                if self._is_past(after, now) or now >= end or over():
                    return self._version
                until = self._due if self._version != after else end
                self._condition.wait(min(until, end, now + _SLICE) - now)

    def _is_past(self, after: int, now: float) -> bool:
        if self._version != after and self._due and now >= self._due:
            self._released, self._released_at, self._due = self._version, now, 0.0
        return after > self._version or after < self._released
