"""Whether the agent itself may ask what it must, looked at from the start on: told in the log and in the status."""

from __future__ import annotations

import threading
from collections.abc import Callable

from agent import telemetry
from agent.model.errors import FluxError, StoppedError

SOON = 15.0
"""Seconds until the next look, while something is missing or nobody answered."""
LATER = 600.0
"""Seconds until the next look, while all is well."""

_log = telemetry.logger("api")


class SelfCheck:
    """One thread's loop.

    Args:
        missing: Finds out what is missing, as sentences; may raise a FluxError.
        publish: Takes what is missing whenever that changes.
        stop: Set when the agent is shutting down.
    """

    def __init__(
        self, missing: Callable[[], tuple[str, ...]], publish: Callable[[tuple[str, ...]], None], stop: threading.Event
    ) -> None:
        self._missing = missing
        self._publish = publish
        self._stop = stop
        self._told: tuple[str, ...] = ()

    def run(self) -> None:
        """Look until the agent stops."""
        while not self._stop.is_set():
            self._stop.wait(LATER if self.look() else SOON)

    def look(self) -> bool:
        """Look once, and tell what is new; whether all is well."""
        try:
            missing = self._missing()
        except StoppedError:
            return False
        except FluxError as error:
            _log.debug("the agent's own rights could not be looked up", error=str(error))
            return False
        for sentence in missing:
            if sentence not in self._told:
                _log.warning(sentence)
        if missing != self._told:
            self._told = missing
            self._publish(missing)
        return not missing
