"""A cache that tells how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from agent.registry.records import Cache, Manifest, RepositoryState


class TimedCache:
    """Passes everything on to another cache and tells the method, the seconds, and whether something was found."""

    def __init__(self, cache: Cache, observe: Callable[[str, float, bool], None]) -> None:
        self._cache = cache
        self._observe = observe

    def repository(self, name: str) -> RepositoryState | None:
        """What is known of a repository."""
        started = time.monotonic()
        found = self._cache.repository(name)
        self._observe("GetKey", time.monotonic() - started, found is not None)
        return found

    def put_repository(self, state: RepositoryState) -> None:
        """Keep it."""
        started = time.monotonic()
        self._cache.put_repository(state)
        self._observe("SetKey", time.monotonic() - started, True)  # noqa: FBT003 # the shape of the observer

    def manifests(self, digests: frozenset[str]) -> Mapping[str, Manifest]:
        """Those of the manifests that are known, by digest."""
        started = time.monotonic()
        found = self._cache.manifests(digests)
        self._observe("GetKey", time.monotonic() - started, bool(found))
        return found

    def put_manifest(self, manifest: Manifest) -> None:
        """Keep it."""
        started = time.monotonic()
        self._cache.put_manifest(manifest)
        self._observe("SetKey", time.monotonic() - started, True)  # noqa: FBT003 # the shape of the observer

    def close(self) -> None:
        """Let go of files and connections."""
        self._cache.close()
