"""The cache in memcached, for several agents and for agents without a disk.

It is a cache: what was evicted, a server that was restarted and one that cannot be reached cost requests and nothing
else. Each key has its server, found by rendezvous hashing, so that agents that know the same servers agree. A server
that fails is left alone for some seconds, so that a thousand calls do not each wait for it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import dns.resolver
from pymemcache.client.base import PooledClient
from pymemcache.exceptions import MemcacheError, MemcacheServerError, MemcacheUnexpectedCloseError

from agent.registry.codec import pack_manifest, pack_repository
from agent.registry.memcached_servers import Address, MemcachedSettings, Servers
from agent.registry.memcached_values import items_of, key_of, manifest_in, part_keys, repository_in, whole_of
from agent.registry.records import Manifest, RepositoryState

BATCH = 100
"""Manifests asked for at once."""
COOL_DOWN = 15.0
"""Seconds for which a server that failed is left alone."""
TELL_EVERY = 3600.0
"""Seconds after which the same trouble is told again."""
_MAX_TOLD = 100
_IDLE = 60
_CLOSED = (MemcacheUnexpectedCloseError, BrokenPipeError, ConnectionResetError, ConnectionAbortedError)
# The client's own answer to a server that speaks another protocol are ValueError and KeyError.
_TROUBLE = (MemcacheError, OSError, ValueError, LookupError)

_T = TypeVar("_T")


class SharedCache:
    """The cache in memcached; safe for many threads. It never raises.

    Args:
        settings: Which memcached.
        warn: Is told of each trouble, once an hour at most.
        resolver: Asks name servers; None takes the machine's own.
        clock: Seconds that never jump.
    """

    def __init__(
        self,
        settings: MemcachedSettings,
        warn: Callable[[str], None],
        resolver: dns.resolver.Resolver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._warn = warn
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}
        self._places = Servers(settings, self._tell, resolver, clock)
        self._servers: dict[Address, _Server] = {}
        self._closed = False

    def repository(self, name: str) -> RepositoryState | None:
        """What is known of a repository."""
        key = key_of("repository", name)
        item = self._read([key]).get(key)
        if item is None:
            return None
        wanted = part_keys(key, item)
        found = self._read(wanted) if wanted else {}
        body = whole_of(item, tuple(found.get(part) for part in wanted))
        return repository_in(body, name) if body is not None else None

    def put_repository(self, state: RepositoryState) -> None:
        """Keep it."""
        self._write(key_of("repository", state.name), pack_repository(state), state.name)

    def manifests(self, digests: frozenset[str]) -> Mapping[str, Manifest]:
        """Those of the manifests that are known, by digest."""
        keys = {key_of("manifest", digest): digest for digest in sorted(digests)}
        found: dict[str, Manifest] = {}
        for key, item in self._read(keys).items():
            body = whole_of(item, ())
            manifest = manifest_in(body, keys[key]) if body is not None else None
            if manifest is not None:
                found[manifest.digest] = manifest
        return found

    def put_manifest(self, manifest: Manifest) -> None:
        """Keep it as long as memcached has room."""
        self._write(key_of("manifest", manifest.digest), pack_manifest(manifest), manifest.digest)

    def close(self) -> None:
        """Close the connections, and open no others."""
        with self._lock:
            self._closed = True
            servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.close()

    def _read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Those of the items that are there, asked for in batches."""
        servers = self._current()
        wanted: dict[_Server, list[str]] = {}
        for key in keys if servers else ():
            wanted.setdefault(_server_of(key, servers), []).append(key)
        found: dict[str, bytes] = {}
        for server, its_keys in wanted.items():
            for at in range(0, len(its_keys), BATCH):
                found.update(server.read(its_keys[at : at + BATCH]) or {})
        return found

    def _write(self, key: str, body: bytes, name: str) -> None:
        """Write a value; one part that cannot be written ends it."""
        try:
            items = items_of(key, body)
        except ValueError as error:
            self._tell(f"{name} is not kept in memcached: {error}")
            return
        servers = self._current()
        for item_key, item in items if servers else ():
            if not _server_of(item_key, servers).write(item_key, item):
                return

    def _current(self) -> tuple[_Server, ...]:
        """The servers to use; those that are gone are let go of."""
        addresses = () if self._closed else self._places.current()
        with self._lock:
            if self._closed:
                return ()
            gone = [self._servers.pop(address) for address in list(self._servers) if address not in addresses]
            for address in addresses:
                if address not in self._servers:
                    self._servers[address] = _Server(address, self._settings.timeout, self._tell, self._clock)
            servers = tuple(self._servers[address] for address in addresses)
        for server in gone:
            server.close()
        return servers

    def _tell(self, sentence: str) -> None:
        now = self._clock()
        with self._lock:
            if now - self._told.get(sentence, -TELL_EVERY) < TELL_EVERY:
                return
            self._told.pop(sentence, None)
            self._told[sentence] = now
            while len(self._told) > _MAX_TOLD:
                del self._told[next(iter(self._told))]
        self._warn(sentence)


class _Server:
    """One memcached, its connections, and whether it is left alone for now."""

    def __init__(
        self, address: Address, timeout: float, tell: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self.name = f"{address[0]}:{address[1]}"
        self._tell = tell
        self._clock = clock
        self._alone_until = clock()
        self._closed = threading.Event()
        # As many connections as threads ask at once. Answers are waited for: only so a refusal is known as one.
        self._client = PooledClient(
            address,
            connect_timeout=timeout,
            timeout=timeout,
            no_delay=True,
            pool_idle_timeout=_IDLE,
            default_noreply=False,
        )

    def read(self, keys: list[str]) -> dict[str, bytes] | None:
        """Those of the items that it has; None where it cannot be asked."""
        return self._ask(lambda client: client.get_many(keys))

    def write(self, key: str, item: bytes) -> bool:
        """Whether it took the item."""
        return bool(self._ask(lambda client: client.set(key, item)))

    def close(self) -> None:
        """Close the connections; those in use follow when they are given back."""
        self._closed.set()
        self._drop_idle()

    def _ask(self, question: Callable[[PooledClient], _T]) -> _T | None:
        """Ask, once more where the connection was an old one that the server has closed meanwhile."""
        if self._closed.is_set() or self._clock() < self._alone_until:
            return None
        try:
            try:
                return question(self._client)
            except _CLOSED:
                self._drop_idle()
                return question(self._client)
        except _TROUBLE as error:
            if isinstance(error, MemcacheServerError) and not isinstance(error, MemcacheUnexpectedCloseError):
                self._tell(f"memcached {self.name} does not take an item: {_words(error)}")
                return None
            self._alone_until = self._clock() + COOL_DOWN
            self._tell(f"memcached {self.name} cannot be used, images cost more requests: {_words(error)}")
            return None
        finally:
            if self._closed.is_set():
                self._drop_idle()

    def _drop_idle(self) -> None:
        """Close the connections that nobody uses right now; closing all would break into other threads' answers."""
        pool = self._client.client_pool
        for _ in pool.free:
            pool.destroy(pool.get())


def _server_of(key: str, servers: tuple[_Server, ...]) -> _Server:
    """The server of a key: the one that ranks highest for it, whichever others there are."""
    return max(servers, key=lambda server: hashlib.blake2b(f"{server.name} {key}".encode(), digest_size=8).digest())


def _words(error: Exception) -> str:
    """What went wrong, without what differs from call to call."""
    if isinstance(error, OSError):
        return error.strerror or ("it does not answer in time" if isinstance(error, TimeoutError) else "no connection")
    if isinstance(error, MemcacheServerError) and error.args and isinstance(error.args[0], bytes):
        return error.args[0][:100].decode("ascii", "replace")
    return f"its answers are not memcached's ({type(error).__name__})"
