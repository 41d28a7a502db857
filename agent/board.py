"""The one place where the loop publishes how things stand, and where the API reads it.

Values are replaced as a whole under a lock and never changed, so that a reader holds a consistent picture.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

from agent.model.status import RepositoryStatus, Status


class Board:
    """Holds the current `Status`; safe for many threads."""

    def __init__(self, repository: RepositoryStatus, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called after each change."""
        self._changed = changed
        self._lock = threading.Lock()
        self._status = Status(repository=repository)

    def status(self) -> Status:
        """How things stand."""
        with self._lock:
            return self._status

    def publish(self, **changes: Any) -> None:
        """Replace some fields of the status."""
        with self._lock:
            self._status = dataclasses.replace(self._status, **changes)
        self._changed()

    def publish_repository(self, **changes: Any) -> None:
        """Replace some fields of the repository's status."""
        with self._lock:
            repository = dataclasses.replace(self._status.repository, **changes)
            self._status = dataclasses.replace(self._status, repository=repository)
        self._changed()
