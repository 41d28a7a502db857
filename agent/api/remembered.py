"""Answers that are kept for a while: bounded, and each asked for once however many want it at the same time.

Invariants: an answer is never given after its time; an error is never kept; no lock is held while asking.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from typing import Generic, TypeVar

from agent.api.errors import UnavailableError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

PATIENCE = 30.0
"""Seconds to wait for an answer that somebody else has asked for already."""


class Remembered(Generic[Key, Value]):
    """Answers by key.

    Args:
        limit: How many are kept; those not used for longest go first.
        clock: Seconds that only ever go up.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self._asking: dict[Key, Future[Value]] = {}

    def known(self, keys: Iterable[Key]) -> dict[Key, Value]:
        """What is remembered of these at present."""
        with self._lock:
            now = self._clock()
            return {key: kept[0] for key in keys if (kept := self._look_up(key, now)) is not None}

    def get(self, key: Key, ask: Callable[[], tuple[Value, float]]) -> Value:
        """The answer remembered, else the one that `ask` gives, with the seconds for which it may be kept.

        Raises:
            UnavailableError: Somebody else has been waiting for it for too long.
            Exception: What `ask` raises, for all who wait for it.
        """
        with self._lock:
            kept = self._look_up(key, self._clock())
            if kept is not None:
                return kept[0]
            asked = self._asking.get(key)
            if asked is None:
                mine = self._asking[key] = Future()
        if asked is not None:
            return _answer_of(asked)
        try:
            value, seconds = ask()
        except BaseException as error:
            with self._lock:
                del self._asking[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._asking[key]
            self._keep(key, value, seconds)
        mine.set_result(value)
        return value

    def shorten(self, keys: Iterable[Key], seconds: float) -> None:
        """Keep these for so many seconds more at most."""
        with self._lock:
            latest = self._clock() + seconds
            for key in keys:
                if key in self._kept:
                    value, until = self._kept[key]
                    self._kept[key] = value, min(until, latest)

    def _look_up(self, key: Key, now: float) -> tuple[Value, float] | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now >= kept[1]:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept

    def _keep(self, key: Key, value: Value, seconds: float) -> None:
        if seconds <= 0:
            return
        self._kept[key] = value, self._clock() + seconds
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)


def _answer_of(asked: Future[Value]) -> Value:
    try:
        return asked.result(PATIENCE)
    except TimeoutError as error:
        raise UnavailableError(
            f"the API server has not answered for {PATIENCE:.0f} s", hint="try again in a moment", temporary=True
        ) from error
