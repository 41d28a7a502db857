"""Values that run out: kept while they are good, fetched anew in time, and not asked for again and again in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agent.registry.errors import RegistryError

FIRST_EMBARGO = 60.0
"""Seconds after a failure until the next attempt; doubled with each in a row."""
LONGEST_EMBARGO = 600.0
EARLY = 1800.0
"""Seconds before its end that a value is renewed, so that it lasts for what it is handed out for."""
SHORTEST = 10.0
"""Seconds for which a value counts at least."""
MAX_KEPT = 1000

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Kept(Generic[_Value]):
    """One value or none yet, until when it is good, and when to fetch the next."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    value: tuple[_Value, ...] = field(default=(), repr=False)
    ends: float = 0.0
    due: float = float("-inf")
    error: RegistryError | None = None
    failures: int = 0


class Renewed(Generic[_Key, _Value]):
    """The values; safe for many threads, of which those that want the same wait for one fetch.

    Args:
        fetch: Gets a value, and for how many seconds it is good; may raise `RegistryError`.
        clock: Seconds that never jump.
    """

    def __init__(
        self, fetch: Callable[[_Key], tuple[_Value, float]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[_Key, _Kept[_Value]] = {}

    def of(self, key: _Key) -> _Value:
        """The value, fetched where it must be; one that is still good outlives a failure to renew it.

        Raises:
            RegistryError: It cannot be had; for some minutes without another attempt.
        """
        with self._lock:
            kept = self._kept.pop(key, None) or _Kept()
            self._kept[key] = kept
            if len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        with kept.lock:
            if self._clock() >= kept.due:
                self._renew(key, kept)
            if kept.error is not None and (not kept.value or self._clock() >= kept.ends):
                raise kept.error.with_traceback(None)
            return kept.value[0]

    def _renew(self, key: _Key, kept: _Kept[_Value]) -> None:
        try:
            value, lifetime = self._fetch(key)
        except RegistryError as error:
            kept.error = error.with_traceback(None)
            kept.due = self._clock() + min(FIRST_EMBARGO * 2**kept.failures, LONGEST_EMBARGO)
            kept.failures = min(kept.failures + 1, 10)
        else:
            now, lifetime = self._clock(), max(lifetime, SHORTEST)
            kept.value, kept.error, kept.failures = (value,), None, 0
            kept.ends, kept.due = now + lifetime, now + max(lifetime - EARLY, lifetime / 2)
