"""What scanning asks of a registry: the first time, later, and after a restart.

The scanner and what it works with are the agent's own, put together as the agent does it, with the default rate limits.
Its clock is ours to turn, so that an hour need not be waited for. The registry is the embedded one, in a process of its
own, over HTTP.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from figures import Row, seconds
from registry import USER, Asks, Registry

from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.workloads import Container, Workload
from agent.registry import refresh
from agent.registry.cache import DiskCache
from agent.registry.client import RegistryClient
from agent.registry.demand import Demand, Selection, demands
from agent.registry.limits import Limits
from agent.registry.manifests import Platform
from agent.registry.records import Credential, PullScope
from agent.registry.scanner import Parts, Scanner
from agent.registry.store import ImageStore
from agent.registry.transport import Transport

REPOSITORIES = 20
INDEXED = 1
RPS, BURST = 200.0, 125
LIST_LIMIT = 40
PER_IMAGE, PER_INDEX = 2, 3
_NOW = 1_700_000_000.0
_TIMEOUT = 900.0
_LOOK = 0.05
_SEMVER = {"automated": "true", "tag.main": "semver:~1.0"}
_NEWEST = {"automated": "true", "tag.main": "glob:*"}


@dataclass(frozen=True, slots=True)
class Scans:
    """What the registry was asked by each scan.

    Attributes:
        repositories: How many there were.
        tags: Tags of each.
        versions: The first scan with policies that order by version.
        tokens: The same where the registry wants a token.
        times: The first scan with policies that order by build time.
        again: The next one, with nothing new.
        later: The one in which every tag is looked at again.
        restarted: The first after a restart, with nothing new.
        indexes: The first scan of one repository of images for two platforms.
    """

    repositories: int
    tags: int
    versions: Asks
    tokens: Asks
    times: Asks
    again: Asks
    later: Asks
    restarted: Asks
    indexes: Asks


class Keyring:
    """Knows one credential, or none."""

    def __init__(self, *known: Credential) -> None:
        self._known = known

    def credentials(self, image: Reference, scopes: tuple[PullScope, ...]) -> tuple[Credential, ...]:
        """The same for everything."""
        del image, scopes
        return self._known


class Scanning:
    """A scanner at work on a cache folder, from start to end; a context manager."""

    def __init__(
        self, folder: Path, registry: Registry, wanted: Mapping[str, Demand], *, keyring: Keyring, now: float
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._registry, self._wanted, self.now = registry, wanted, now
        self._stop, self._looked = threading.Event(), threading.Event()
        limits = Limits(RPS, BURST, self._stop)
        self._transport = Transport(limits, frozenset({registry.host}))
        self._cache = DiskCache(folder / "images.db", print)
        self._store = ImageStore(self._cache, self._clock)
        client = RegistryClient(self._transport, Platform)
        tell = lambda _: self._looked.set()  # noqa: E731
        parts = Parts(client, keyring, self._store, limits, self._stop, report=tell, clock=self._clock)
        self._scanner = Scanner(parts, lambda: wanted)
        self._thread = threading.Thread(target=self._scanner.run, name="scanner")

    def _clock(self) -> float:
        return self.now

    def after(self, seconds: float) -> Asks:
        """What is asked so many seconds after what was scanned last; at first, 0 for the start."""
        self._registry.forget()
        self.now += seconds
        self._looked.clear()
        self._scanner.wake()
        if not self._thread.is_alive():
            self._thread.start()
        if not self._looked.wait(_TIMEOUT):
            raise SystemExit("the scanner does not look at what is due")
        deadline = time.monotonic() + _TIMEOUT
        while any(self._is_due(name, demand) for name, demand in self._wanted.items()):
            if time.monotonic() > deadline:
                raise SystemExit(f"the scan was not done after {_TIMEOUT:.0f} s")
            time.sleep(_LOOK)
        self._scanner.wait(self._wanted, _TIMEOUT, lambda: False)
        return self._registry.asks()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        self._stop.set()
        self._scanner.wake()
        self._thread.join(_TIMEOUT)
        self._transport.close()
        self._cache.close()

    def _is_due(self, name: str, demand: Demand) -> bool:
        state = self._store.state(name)
        if state is not None and state.error:
            raise SystemExit(f"{name} cannot be scanned: {state.error}")
        return refresh.next_due(state, demand.tags(state.tags) if state else ()) <= self.now


def measure(tags: int) -> Scans:
    """Scans 20 repositories of so many tags, in every way."""
    names, indexed = [f"acme/app-{number:02}" for number in range(REPOSITORIES)], ["acme/indexed"]
    with _folder() as folder, Registry() as registry:
        registry.push(names, tags)
        registry.push(indexed, tags, indexes=True)
        versions = _first(folder / "versions", registry, _demands(registry, names, _SEMVER))
        indexes = _first(folder / "indexes", registry, _demands(registry, indexed, _NEWEST))
        newest = _demands(registry, names, _NEWEST)
        with Scanning(folder / "times", registry, newest, keyring=Keyring(), now=_NOW) as scanning:
            times, again = scanning.after(0), scanning.after(refresh.LIST_EVERY)
            later = scanning.after(refresh.FIRST_REFRESH)
        restarted = _first(folder / "times", registry, newest, now=scanning.now)
    with _folder() as folder, Registry(password=True) as registry:
        registry.push(names, tags)
        keyring = Keyring(Credential("bench", USER, USER))
        tokens = _first(folder / "tokens", registry, _demands(registry, names, _SEMVER), keyring=keyring)
    return Scans(REPOSITORIES, tags, versions, tokens, times, again, later, restarted, indexes)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Path(folder)


def _demands(registry: Registry, names: list[str], policies: Mapping[str, str]) -> Mapping[str, Demand]:
    """What workloads want that run these images, one each."""
    ids = {name: WorkloadId("demo", "deployment", name.rpartition("/")[2]) for name in names}
    workloads = [Workload(ids[name], (Container("main", f"{registry.host}/{name}:1.0.0"),)) for name in names]
    return demands(workloads, dict.fromkeys(ids.values(), policies), Selection())


def _first(
    folder: Path,
    registry: Registry,
    wanted: Mapping[str, Demand],
    *,
    keyring: Keyring | None = None,
    now: float = _NOW,
) -> Asks:
    """What a scanner asks when it starts on this folder."""
    with Scanning(folder, registry, wanted, keyring=keyring or Keyring(), now=now) as scanning:
        return scanning.after(0)


def rows(scans: Scans) -> list[Row]:
    """The first scan by version, by build time, and what comes later."""
    size = f"{scans.repositories} repositories of {scans.tags} tags"
    return [_versions_row(size, scans), _times_row(size, scans), _indexes_row(scans), *_later_rows(scans)]


def _versions_row(size: str, scans: Scans) -> Row:
    found = max(scans.versions.besides_tokens, scans.tokens.besides_tokens)
    return Row(
        f"first scan, {size}, semver policies",
        "the scanner over HTTP",
        f"{scans.versions.besides_tokens} requests in {seconds(scans.versions.seconds)}; where the registry wants a "
        f"token {scans.tokens.besides_tokens}, and {scans.tokens.of('token')} for tokens",
        target=f"≤ {LIST_LIMIT} besides tokens",
        reached=found <= LIST_LIMIT,
    )


def _times_row(size: str, scans: Scans) -> Row:
    asks, digests = scans.times, scans.repositories * scans.tags
    fetched = asks.of("manifest", "blob")
    return Row(
        f"first scan, {size}, newest by build time",
        "the scanner over HTTP",
        f"{asks.of('tags')} lists, {asks.of('digest'):,} HEADs, {fetched:,} for {digests:,} digests, in "
        f"{seconds(asks.seconds)} at the default {RPS:.0f} a second",
        target=f"≤ {PER_IMAGE} per digest besides HEADs",
        reached=fetched <= PER_IMAGE * digests and asks.of("digest") <= digests,
    )


def _indexes_row(scans: Scans) -> Row:
    fetched = scans.indexes.of("manifest", "blob")
    return Row(
        f"the same, one repository of {scans.tags} images for two platforms",
        "the scanner over HTTP",
        f"{scans.indexes.of('digest')} HEADs, {fetched} for {scans.tags} digests",
        target=f"≤ {PER_INDEX} per digest besides HEADs",
        reached=fetched <= PER_INDEX * scans.tags,
    )


def _later_rows(scans: Scans) -> list[Row]:
    heads = scans.repositories * scans.tags
    told = (
        (
            "five minutes later, nothing new",
            scans.again,
            "1 for each repository",
            {"tags": scans.repositories, "digest": 0},
        ),
        (
            "an hour later, nothing new",
            scans.later,
            "1 for each repository and tag",
            {"tags": scans.repositories, "digest": heads},
        ),
        ("after a restart, nothing new", scans.restarted, "none", {"tags": 0, "digest": 0}),
    )
    return [
        Row(
            work,
            "the scanner over HTTP",
            f"{asks.of('tags')} lists, {asks.of('digest'):,} HEADs, {asks.of('manifest', 'blob')} for digests",
            target=target,
            reached=all(asks.of(kind) <= number for kind, number in most.items())
            and not asks.of("manifest", "blob", "token"),
        )
        for work, asks, target, most in told
    ]
