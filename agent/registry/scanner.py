"""The scanner: keeps what is known of images current, and looks at once at what somebody waits for.

One thread decides what is due and hands repositories to workers. A repository is one worker's at a time, a host is a
few workers' at most, so that one that is slow or failing delays nobody else. Everything that goes wrong ends in the
state of the repository or tag it went wrong with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from agent import telemetry
from agent.model.errors import StoppedError
from agent.model.images import Reference
from agent.registry import refresh
from agent.registry.demand import Demand
from agent.registry.errors import Cause, RegistryError
from agent.registry.limits import Limits
from agent.registry.records import Credential, Keyring, Registry, RepositoryState, TagState
from agent.registry.store import ImageStore

_log = telemetry.logger("registry")

WORKERS = 12
WORKERS_OF_A_HOST = 4
TICK = 1.0
"""Seconds between two looks at what is due, where nothing wakes the scanner earlier."""
MOST_AGAIN = 20
"""Tags that are looked at again, before their time, where somebody says that their repository has changed."""
SAVE_EVERY = 200
"""Tags after which a long scan is saved."""
LONGEST_SCAN = 60.0
"""Seconds after which a scan lets others go first; the tags that are left stay due."""
GIVE_UP = 5
"""Looks in a row that reach nobody: the rest waits as it does where tags cannot be listed."""


_HIDDEN = frozenset({Cause.UNAUTHORIZED, Cause.NOT_FOUND})
"""What registries answer to those who may not look; another credential may."""


class Demands(Protocol):
    """Says what is wanted."""

    def __call__(self) -> Mapping[str, Demand]:
        """What is wanted of each repository, by canonical name."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How scanning goes.

    Attributes:
        wanted: Repositories in use.
        known: Those whose tags have been listed.
        troubles: Repositories that cannot be scanned, and why.
        oldest: When the tags of the one listed longest ago were listed, in Unix seconds; 0 where none was.
    """

    wanted: int
    known: int
    troubles: tuple[str, ...]
    oldest: float


@dataclass(frozen=True, slots=True)
class Parts:
    """What the scanner works with.

    Attributes:
        registry: Asks registries.
        keyring: Knows what they may be asked with.
        store: Keeps what they said.
        limits: How fast they may be asked.
        stop: Set when the agent is shutting down.
        observe: Is told of each finished scan: seconds, and whether it succeeded.
        report: Is told now and then how scanning goes.
        clock: The time in Unix seconds.
    """

    registry: Registry
    keyring: Keyring
    store: ImageStore
    limits: Limits
    stop: threading.Event
    observe: Callable[[float, bool], None] = lambda _seconds, _success: None
    report: Callable[[Progress], None] = lambda _progress: None
    clock: Callable[[], float] = time.time


class Scanner:
    """Scans by the clock and on demand."""

    def __init__(self, parts: Parts, wanted: Demands) -> None:
        self._parts = parts
        self._wanted = wanted
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="scan")
        self._condition = threading.Condition()
        self._busy: dict[str, str] = {}
        self._asked: dict[str, tuple[Demand, set[str]]] = {}
        self._again: set[str] = set()
        self._left: dict[str, frozenset[str]] = {}
        self._due: dict[str, tuple[RepositoryState | None, Demand, float]] = {}
        self._started: dict[str, float] = {}
        self._woken = False

    def run(self) -> None:
        """The scanner's loop, until the stop event is set."""
        while not self._parts.stop.is_set():
            demands = self._wanted()
            self._parts.store.keep_only(demands)
            self._start_due(demands)
            self._tell(demands)
            with self._condition:
                if not self._woken:
                    self._condition.wait(TICK)
                self._woken = False
        self._pool.shutdown(wait=True, cancel_futures=True)

    def wake(self) -> None:
        """Look at once at what is due: something is wanted that was not, or the agent stops."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def ask(self, wishes: Iterable[tuple[Demand, frozenset[str]]]) -> None:
        """Look at these tags of these repositories as soon as may be, and do not wait for it."""
        with self._condition:
            for demand, tags in wishes:
                name = demand.image.canonical_name
                self._asked.setdefault(name, (demand, set()))[1].update(tags)
            self._woken = True
            self._condition.notify_all()

    def relist(self, name: str) -> None:
        """List the tags of a repository again that is in use: somebody says that it has changed."""
        with self._condition:
            if name in self._due:
                self._again.add(name)
                self._woken = True
                self._condition.notify_all()

    def wait(self, names: Iterable[str], patience: float, over: Callable[[], bool]) -> None:
        """Wait until nothing of these repositories is asked for or under way any more."""
        end, wanted = time.monotonic() + patience, set(names)
        with self._condition:
            while wanted & (self._asked.keys() | self._busy.keys() | self._again | self._left.keys()):
                left = end - time.monotonic()
                if left <= 0 or over() or self._parts.stop.is_set():
                    return
                self._condition.wait(min(left, 0.25))

    def _tell(self, demands: Mapping[str, Demand]) -> None:
        """Tell how scanning goes, where that has changed."""
        states = [state for name in demands if (state := self._parts.store.state(name))]
        troubles = tuple(f"{state.name}: {state.error}" for state in states if state.error)
        oldest = min((state.listed_at for state in states if state.listed_at), default=0.0)
        self._parts.report(Progress(len(demands), sum(bool(state.listed_at) for state in states), troubles, oldest))

    def _start_due(self, demands: Mapping[str, Demand]) -> None:
        """Hand out what is due: first what somebody asked for, then what was not scanned yet, or longest ago."""
        now = self._parts.clock()
        with self._condition:
            asked = [*self._asked, *self._again]
            self._left = {name: tags for name, tags in self._left.items() if name in demands}
        self._due = {name: known for name, known in self._due.items() if name in demands}
        self._started = {name: at for name, at in self._started.items() if name in demands}
        due = [(at, name) for name, demand in demands.items() if (at := self._due_at(name, demand)) <= now]
        in_turn = sorted((self._started.get(name, 0.0), at, name) for at, name in due)
        for name in dict.fromkeys((*asked, *(name for *_, name in in_turn))):
            self._start(name, demands.get(name))

    def _due_at(self, name: str, demand: Demand) -> float:
        """When a repository is due, worked out once for each of its states; at once where a scan left something."""
        if name in self._left:
            return 0.0
        state, known = self._parts.store.state(name), self._due.get(name)
        if known is None or known[0] is not state or known[1] != demand:
            known = (state, demand, refresh.next_due(state, demand.tags(state.tags) if state else ()))
            self._due[name] = known
        return known[2]

    def _start(self, name: str, demand: Demand | None) -> None:
        with self._condition:
            asked = self._asked.get(name)
            demand = demand or (asked[0] if asked else None)
            if demand is None or name in self._busy:
                return
            host = demand.image.host
            if sum(other == host for other in self._busy.values()) >= WORKERS_OF_A_HOST:
                return
            if len(self._busy) >= WORKERS or self._parts.limits.of(host).state().paused_for:
                return
            self._asked.pop(name, None)
            left = self._left.pop(name, frozenset())
            again = name in self._again
            self._again.discard(name)
            self._busy[name] = host
        self._started[name] = time.monotonic()
        wanted = left.union(asked[1] if asked else ()) if asked or left or again else None
        task = self._pool.submit(self._scan, demand, wanted, again)
        task.add_done_callback(lambda done: self._finished(name, done))

    def _finished(self, name: str, task: Future[None]) -> None:
        with self._condition:
            self._busy.pop(name, None)
            self._woken = True
            self._condition.notify_all()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("unexpected error in a scan", repository=name, exc_info=error)

    def _scan(self, demand: Demand, asked: frozenset[str] | None, again: bool) -> None:  # noqa: FBT001 # for submit
        started, success, name = time.monotonic(), False, demand.image.canonical_name
        scan = _Scan(self._parts, demand)
        try:
            success = scan.run(asked, again=again)
            if left := scan.left & (asked or frozenset()):
                with self._condition:
                    self._left[name] = left
        except StoppedError:
            return
        except Exception as error:
            self._failed(name, error)
            raise
        finally:
            self._parts.observe(time.monotonic() - started, success)

    def _failed(self, name: str, error: Exception) -> None:
        """Tell of a fault of our own where it came up, and wait before it comes up again."""
        store, why = self._parts.store, f"unexpected error: {type(error).__name__}; the agent's log tells more"
        store.put(refresh.listing_failed(store.state(name), name, why, self._parts.clock()))


class _Scan:
    """One repository, scanned once; `left` are tags that it had no time for."""

    def __init__(self, parts: Parts, demand: Demand) -> None:
        self.left: frozenset[str] = frozenset()
        self._parts = parts
        self._demand = demand
        self._name = demand.image.canonical_name
        self._complaint = False

    def run(self, asked: frozenset[str] | None, *, again: bool) -> bool:
        """List the tags where that is due, then look at those that are; whether all went well.

        `asked` are tags that somebody waits for, None where nobody does; whoever waits may have mended what failed.
        With `again` the tags are listed though that is not due, and where few of them count, those are looked at: one
        may have moved.
        """
        store, clock = self._parts.store, self._parts.clock
        state = store.state(self._name)
        hoped_for = asked is not None and state is not None and bool(state.error)
        if again or hoped_for or refresh.next_listing(state) <= clock():
            state = self._list(state)
        asked = asked or frozenset()
        if state is None or (state.error and not state.tags):
            return False
        wanted = dict.fromkeys((*(tag for tag in state.tags if tag in asked), *self._demand.tags(state.tags)))
        due = [tag for tag in wanted if tag in asked and not state.tags[tag].checked_at]
        early = wanted if again and len(wanted) <= MOST_AGAIN else refresh.due_tags(state, wanted, clock())
        due += [tag for tag in early if tag not in due]
        fine = self._look_at_all(state, due) if due else not state.error
        if fine and not self._complaint:
            self._parts.limits.of(self._demand.image.host).recover()
        return fine

    def _list(self, before: RepositoryState | None) -> RepositoryState:
        parts, trouble = self._parts, None
        for credential in self._credentials(before):
            try:
                tags = parts.registry.tags(self._demand.image, credential)
            except RegistryError as error:
                trouble = trouble or error
                if error.cause not in _HIDDEN:
                    trouble = error
                    break
            else:
                state = refresh.listed(before, self._name, tags, parts.clock())
                state = replace(state, credential=credential.name if credential else "")
                parts.store.put(state)
                return state
        state = self._failed(before, str(trouble))
        parts.store.put(state)
        return state

    def _failed(self, before: RepositoryState | None, why: str) -> RepositoryState:
        """The state of a repository that cannot be scanned, which is told once."""
        if before is None or before.error != why:
            _log.warning("a repository cannot be scanned", repository=self._name, error=why)
        return refresh.listing_failed(before, self._name, why, self._parts.clock())

    def _credentials(self, state: RepositoryState | None) -> tuple[Credential | None, ...]:
        """What to try: what worked before comes first, no credential at all comes last."""
        known = self._parts.keyring.credentials(self._demand.image, self._demand.scopes)
        if state is None or not state.listed_at:
            return (*known, None)
        first = [each for each in known if each.name == state.credential]
        if not first and not state.credential:
            return (None, *known)
        return (*first, *(each for each in known if each not in first), None)

    def _look_at_all(self, state: RepositoryState, due: list[str]) -> bool:
        """Look at these tags; a host that asks for a pause or is away ends it, the rest stays due."""
        parts, keys, tags = self._parts, list(self._credentials(state)), dict(state.tags)
        fine, unreached, why, end = True, 0, "", time.monotonic() + LONGEST_SCAN
        for number, tag in enumerate(due, start=1):
            if number > 1 and unreached < GIVE_UP and time.monotonic() > end:
                self.left = frozenset(due[number - 1 :])
            if parts.stop.is_set() or unreached == GIVE_UP or self.left:
                break
            try:
                tags[tag], unreached = self._look(tag, tags[tag], keys), 0
            except RegistryError as error:
                fine = False
                if error.cause is Cause.BUSY:
                    self._complaint = True
                    break
                why = str(error)
                tags[tag] = refresh.look_failed(tags[tag], why, parts.clock())
                unreached = unreached + 1 if error.cause is Cause.UNREACHABLE else 0
            if number % SAVE_EVERY == 0:
                parts.store.put(replace(state, tags=dict(tags)))
                parts.limits.of(self._demand.image.host).recover()
        state = replace(state, tags=tags)
        if unreached == GIVE_UP:
            state = self._failed(state, why)
        parts.store.put(state)
        return fine

    def _look(self, tag: str, before: TagState, keys: list[Credential | None]) -> TagState:
        """Look at a tag with the first of the keys that fits; then, or where none does, only one of them is left."""
        refusal: RegistryError | None = None
        for key in tuple(keys):
            try:
                found = self._looked(tag, before, key)
            except RegistryError as error:
                refusal = refusal or error
                if error.cause is not Cause.UNAUTHORIZED:
                    raise
            else:
                keys[:] = [key]
                return found
        del keys[1:]
        raise refusal or RegistryError(f"nobody asks for {self._name}", Cause.UNAUTHORIZED)

    def _looked(self, tag: str, before: TagState, credential: Credential | None) -> TagState:
        """One HEAD; the manifest only where its digest was never seen."""
        image = Reference(self._demand.image.name, tag)
        digest = self._parts.registry.digest(image, credential)
        if not self._parts.store.knows_manifest(self._name, digest):
            manifest = self._parts.registry.manifest(image.with_tag(tag, digest), credential)
            self._parts.store.put_manifest(self._name, manifest)
        return refresh.looked_at(before, digest, self._parts.clock())
