"""The agent's threads: each has a name, the first that crashes stops all, and all are joined within a deadline.

A loop that returns before the stop event is set counts as crashed too: nothing may quietly stop working while the
pod looks healthy.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

Loop = Callable[[], None]


class Supervisor:
    """Runs loops until the stop event is set."""

    def __init__(self, stop: threading.Event, on_crash: Callable[[str, str], None]) -> None:
        """`on_crash` is told the thread's name and its traceback."""
        self._stop = stop
        self._on_crash = on_crash
        self._threads: list[threading.Thread] = []
        self._wakers: list[Callable[[], None]] = []
        self.crashed = ""

    def add(self, name: str, loop: Loop, wake: Callable[[], None] | None = None) -> None:
        """A loop to run; `wake` ends its waiting at shutdown."""
        self._threads.append(threading.Thread(target=self._guard, args=(name, loop), name=name, daemon=True))
        if wake is not None:
            self._wakers.append(wake)

    def start(self) -> None:
        """Start every loop."""
        for thread in self._threads:
            thread.start()

    def wait(self, grace: float) -> tuple[str, ...]:
        """Wait for the stop event, then for the threads; the names of those still running after `grace` seconds."""
        self._stop.wait()
        for wake in self._wakers:
            wake()
        deadline = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return tuple(thread.name for thread in self._threads if thread.is_alive())

    def _guard(self, name: str, loop: Loop) -> None:
        try:
            loop()
            if not self._stop.is_set():
                self._crash(name, f"{name} ended although nobody asked it to")
        except Exception:  # noqa: BLE001 # whatever it is, it must not go unseen
            self._crash(name, traceback.format_exc(limit=20))

    def _crash(self, name: str, trace: str) -> None:
        self.crashed = self.crashed or name
        self._on_crash(name, trace)
        self._stop.set()
