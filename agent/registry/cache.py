"""The cache on disk: one SQLite file in the agent's cache folder, which survives restarts.

It is a cache: a file that is broken or of another format is made anew, a disk that is full costs requests and nothing
else. Manifests that nobody asked for in a long time make room when there are too many.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.registry.codec import FORMAT, pack_manifest, pack_repository, unpack_manifest, unpack_repository
from agent.registry.records import Manifest, RepositoryState

MAX_MANIFESTS = 500_000
"""Rows; about 250 bytes each."""
MAX_REPOSITORIES = 20_000
_PRUNE_EVERY = 10_000
_DAY = 86_400.0
_MAX_TOLD = 20

_SCHEMA = f"""
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE IF NOT EXISTS repositories (name TEXT PRIMARY KEY, used REAL, body BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS manifests (digest TEXT PRIMARY KEY, used REAL, body BLOB) WITHOUT ROWID;
PRAGMA user_version={FORMAT};
"""
_GET_REPOSITORY = "SELECT body FROM repositories WHERE name=?"
_PUT_REPOSITORY = "REPLACE INTO repositories VALUES (?,?,?)"
_GET_MANIFESTS = "SELECT body FROM manifests WHERE digest IN (SELECT value FROM json_each(?))"
_PUT_MANIFEST = "REPLACE INTO manifests VALUES (?,?,?)"
_USED = "UPDATE manifests SET used=? WHERE used<? AND digest IN (SELECT value FROM json_each(?))"
_PRUNE = (
    (
        "DELETE FROM manifests WHERE digest IN (SELECT digest FROM manifests ORDER BY used DESC LIMIT -1 OFFSET ?)",
        MAX_MANIFESTS,
    ),
    (
        "DELETE FROM repositories WHERE name IN (SELECT name FROM repositories ORDER BY used DESC LIMIT -1 OFFSET ?)",
        MAX_REPOSITORIES,
    ),
)


class DiskCache:
    """The cache in a file; safe for many threads.

    Args:
        path: The file; its folder is there.
        warn: Is told, once for each trouble, what went wrong.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._writes = 0
        self._connection: sqlite3.Connection | None = None
        with self._lock:
            self._open()

    def repository(self, name: str) -> RepositoryState | None:
        """What is known of a repository."""
        rows = self._run(_GET_REPOSITORY, name)
        with contextlib.suppress(ValueError):
            return unpack_repository(rows[0][0]) if rows else None
        return None

    def put_repository(self, state: RepositoryState) -> None:
        """Keep it."""
        self._run(_PUT_REPOSITORY, state.name, time.time(), pack_repository(state))
        self._prune()

    def manifests(self, digests: frozenset[str]) -> Mapping[str, Manifest]:
        """Those of the manifests that are known, by digest."""
        wanted, found, now = json.dumps(sorted(digests)), {}, time.time()
        for (body,) in self._run(_GET_MANIFESTS, wanted):
            with contextlib.suppress(ValueError):
                manifest = unpack_manifest(body)
                found[manifest.digest] = manifest
        self._run(_USED, now, now - _DAY, wanted)
        return found

    def put_manifest(self, manifest: Manifest) -> None:
        """Keep it as long as there is room."""
        self._run(_PUT_MANIFEST, manifest.digest, time.time(), pack_manifest(manifest))
        self._prune()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._shut()

    def _prune(self) -> None:
        self._writes += 1
        if self._writes % _PRUNE_EVERY == 0:
            for query, most in _PRUNE:
                self._run(query, most)

    def _run(self, query: str, *values: object) -> list[tuple[bytes]]:
        """Run one statement; nothing comes of it where that is not possible. A broken file is made anew."""
        with self._lock:
            if self._connection is None:
                return []
            try:
                with self._connection:
                    return self._connection.execute(query, values).fetchall()
            except sqlite3.OperationalError as error:
                self._tell(f"the image cache {self._path} cannot be used: {error}")
            except sqlite3.DatabaseError as error:
                self._start_over(error)
            return []

    def _open(self) -> None:
        try:
            self._connection = sqlite3.connect(self._path, timeout=5.0, check_same_thread=False)
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version in (0, FORMAT):
                self._connection.executescript(_SCHEMA)
                with self._connection:
                    for query, most in _PRUNE:
                        self._connection.execute(query, (most,))
                return
            problem: object = f"it is of format {version}, this agent writes {FORMAT}"
        except sqlite3.OperationalError as error:
            self._shut()
            self._tell(f"the image cache {self._path} cannot be used, images are kept in memory only: {error}")
            return
        except sqlite3.DatabaseError as error:
            problem = error
        self._start_over(problem)

    def _start_over(self, problem: object) -> None:
        """Put a new file in the place of one that cannot be read; where that does not help either, do without."""
        self._shut()
        self._tell(f"the image cache {self._path} is made anew: {problem}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        try:
            self._connection = sqlite3.connect(self._path, timeout=5.0, check_same_thread=False)
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as again:
            self._shut()
            self._tell(f"the image cache {self._path} cannot be used, images are kept in memory only: {again}")

    def _shut(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told and len(self._told) < _MAX_TOLD:
            self._told.add(sentence)
            self._warn(sentence)
