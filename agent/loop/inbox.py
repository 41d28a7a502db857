"""Values handed from thread to thread: bounded, coalescing, and ending their wait at a wake-up."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")
MAX_INBOX = 256


class Inbox(Generic[T]):
    """Values for a lane, bounded; waiting for one ends at a wake-up too."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._items: list[T] = []
        self._woken = False

    def put(self, item: T) -> None:
        """Leave a value and wake the lane. A full inbox drops its oldest: newer values stand for it."""
        with self._condition:
            self._items.append(item)
            del self._items[:-MAX_INBOX]
            self._condition.notify_all()

    def wake(self) -> None:
        """Let the lane look again."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def take(self, timeout: float) -> list[T]:
        """All values there are, waiting at most `timeout` seconds for the first."""
        with self._condition:
            if not self._items and not self._woken:
                self._condition.wait(max(0.0, timeout))
            items, self._items, self._woken = self._items, [], False
            return items
