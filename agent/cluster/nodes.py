"""What the cluster's nodes are: which image of several they would run."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any, Protocol

from agent.model.errors import FluxError

_KEEP = 3600.0
_MOST = 500
_OS, _ARCHITECTURE = "kubernetes.io/os", "kubernetes.io/arch"


class Reader(Protocol):
    """What reading needs of a client."""

    def get(self, path: str) -> dict[str, Any]:
        """One document."""


class NodePlatform:
    """The platform of most nodes, as `(os, architecture)` in Go's words; asked once an hour.

    Where nodes cannot be read, as with rights in some namespaces only, it is `linux`, `amd64`, which Flux v1 took.
    """

    def __init__(self, client: Reader) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._found = ("linux", "amd64")
        self._until = 0.0

    def __call__(self) -> tuple[str, str]:
        """The platform of most nodes."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._until = time.monotonic() + _KEEP
                self._found = self._asked() or self._found
            return self._found

    def _asked(self) -> tuple[str, str] | None:
        try:
            nodes = self._client.get(f"/api/v1/nodes?limit={_MOST}").get("items") or ()
        except FluxError:
            return None
        labels = [(node.get("metadata") or {}).get("labels") or {} for node in nodes]
        known = Counter((each[_OS], each[_ARCHITECTURE]) for each in labels if {_OS, _ARCHITECTURE} <= each.keys())
        return known.most_common(1)[0][0] if known else None
