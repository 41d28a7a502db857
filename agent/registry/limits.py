"""How fast each host is asked: a rate that halves when the host complains and recovers slowly, as Flux v1's did.

Every host has a limiter of its own, so that a slow or angry one delays nobody else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from agent.model.errors import StoppedError
from agent.registry.errors import Cause, RegistryError

START_RATE = 50.0
"""Requests per second a host is first trusted with; it rises to `--registry-rps` while the host does not complain."""
MIN_RATE = 0.1
BACK_OFF = 2.0
RECOVER = 1.5
LONGEST_PAUSE = 3600.0
"""Seconds that a host can make us wait at most."""
DEFAULT_PAUSE = 1.0
_SLICE = 0.5


@dataclass(frozen=True, slots=True)
class RateState:
    """How a host is being asked: requests per second, and for how many seconds not at all."""

    rate: float
    paused_for: float = 0.0


class HostLimiter:
    """A token bucket; safe for many threads.

    Args:
        ceiling: Requests per second at most.
        burst: Requests at once at most.
        stop: Set when the agent is shutting down.
        clock: Seconds that never jump.
    """

    def __init__(
        self, ceiling: float, burst: int, stop: threading.Event, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ceiling = ceiling
        self._rate = min(START_RATE, ceiling)
        self._burst = max(1, burst)
        self._stop = stop
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(self._burst)
        self._at = clock()
        self._paused_until = 0.0

    def acquire(self, patience: float) -> None:
        """Wait for the right to send one request, `patience` seconds at most.

        Raises:
            RegistryError: It would take longer.
            StoppedError: The agent is shutting down.
        """
        deadline = self._clock() + patience
        if self._stop.is_set():
            raise StoppedError("the agent is shutting down")
        while (wait := self._take()) > 0:
            left = deadline - self._clock()
            if wait > left:
                raise RegistryError(
                    f"it may not be asked again for {wait:.0f} s: it asked for fewer requests",
                    Cause.BUSY,
                )
            if self._stop.wait(min(wait, _SLICE)):
                raise StoppedError("the agent is shutting down")

    def _take(self) -> float:
        """Take a token; else how many seconds to wait for one."""
        with self._lock:
            now = self._clock()
            if now < self._paused_until:
                return self._paused_until - now
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
            if self._tokens >= 1:
                self._tokens -= 1
                return 0.0
            return (1 - self._tokens) / self._rate

    def back_off(self, pause: float = 0.0) -> None:
        """The host complained: halve the rate, and ask nothing for `pause` seconds."""
        with self._lock:
            now = self._clock()
            if now >= self._paused_until:  # one burst that is answered with many complaints counts once
                self._rate = max(MIN_RATE, self._rate / BACK_OFF)
            self._tokens = min(self._tokens, 1.0)
            self._paused_until = max(self._paused_until, now + min(pause or DEFAULT_PAUSE, LONGEST_PAUSE))

    def recover(self) -> None:
        """A repository was scanned without a complaint."""
        with self._lock:
            self._rate = min(self._ceiling, self._rate * RECOVER)

    def state(self) -> RateState:
        """How the host is being asked."""
        with self._lock:
            return RateState(self._rate, max(0.0, self._paused_until - self._clock()))


class Limits:
    """The limiters of all hosts; bounded, the least recently used ones make room."""

    MAX_HOSTS = 1000

    def __init__(self, ceiling: float, burst: int, stop: threading.Event) -> None:
        self._ceiling = ceiling
        self._burst = burst
        self._stop = stop
        self._lock = threading.Lock()
        self._hosts: dict[str, HostLimiter] = {}

    def of(self, host: str) -> HostLimiter:
        """The limiter of a host."""
        with self._lock:
            limiter = self._hosts.pop(host, None) or HostLimiter(self._ceiling, self._burst, self._stop)
            self._hosts[host] = limiter
            if len(self._hosts) > self.MAX_HOSTS:
                del self._hosts[next(iter(self._hosts))]
            return limiter


def pause_of(status: int, headers: Mapping[str, str]) -> float | None:
    """How long an answer asks us to wait, in seconds; None where it does not ask, 0 where it does not say how long.

    Understood are status 429 and 503 with Retry-After (RFC 9110), and `RateLimit-Remaining: 0` with
    `RateLimit-Reset` in seconds (draft-ietf-httpapi-ratelimit-headers); Docker Hub writes `0;w=21600`.
    """
    retry_after = _seconds(headers.get("Retry-After", ""))
    if status == 429 or (status == 503 and retry_after):
        return retry_after
    if headers.get("RateLimit-Remaining", "").partition(";")[0].strip() == "0":
        return _seconds(headers.get("RateLimit-Reset", ""))
    return None


def _seconds(text: str) -> float:
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_PAUSE)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time()) if text else 0.0
    except (ValueError, OverflowError, LookupError, TypeError):
        return 0.0
