"""A watch: what has happened to a kind since a revision, and then what happens, as one event after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent.sandbox.answers import Refusal, bad_request
from agent.sandbox.kinds import Kind
from agent.sandbox.store import Event, Store

Object = dict[str, Any]

BOOKMARK_EVERY = 60.0
"""Seconds between bookmarks, as the API server sends them."""

LAST_BOOKMARK = 2.0
"""Seconds from the last bookmark to the end of a watch by its timeout, as the API server has it."""

_LONGEST = 1800.0
_STEP = 5.0


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched: `revision` empty or `0` starts with all there is; `timeout` is in seconds, 0 for the default."""

    kind: Kind
    namespace: str
    test: Callable[[Object], bool]
    revision: str = ""
    timeout: float = 0.0
    bookmarks: bool = False


def run(store: Store, watch: Watch, over: Callable[[], bool]) -> Iterator[Object]:
    """The events of a watch, each `{"type": …, "object": …}`, until its timeout or until `over` says so.

    A revision that is forgotten ends the watch with one event of type ERROR.

    Raises:
        Refusal: The revision is no number.
    """
    if watch.revision in ("", "0"):
        with store.lock:
            objects, seen = store.all(watch.kind.stored_as, watch.namespace), store.revision
        for obj in objects:
            if watch.test(obj):
                yield {"type": "ADDED", "object": obj}
    elif watch.revision.isdigit():
        seen = int(watch.revision)
    else:
        raise bad_request(f'Invalid value: "{watch.revision}": strconv.ParseUint: invalid syntax')
    yield from _follow(store, watch, over, seen)


def _follow(store: Store, watch: Watch, over: Callable[[], bool], seen: int) -> Iterator[Object]:
    ends = time.monotonic() + min(watch.timeout or _LONGEST, _LONGEST)
    bookmark = _next_bookmark(ends)
    while not over():
        try:
            events, seen = store.after(seen, watch.kind.stored_as)
        except Refusal as refusal:
            yield {"type": "ERROR", "object": refusal.body}
            return
        for event in events:
            yield from _shown(event, watch)
        now = time.monotonic()
        if watch.bookmarks and now >= bookmark:
            bookmark = _next_bookmark(ends)
            yield {"type": "BOOKMARK", "object": _bookmark(watch.kind, seen)}
        if now >= ends:
            return
        store.wait(seen, max(0.0, min(_STEP, ends - now, bookmark - now)))


def _next_bookmark(ends: float) -> float:
    """When the next bookmark is due; after the last one, when the watch has long ended."""
    now = time.monotonic()
    last = ends - LAST_BOOKMARK
    return min(now + BOOKMARK_EVERY, last) if now < last else ends + BOOKMARK_EVERY


def _shown(event: Event, watch: Watch) -> Iterator[Object]:
    """An event as this watch sees it: what enters a selection is added, what leaves it is deleted."""
    if watch.namespace and event.obj["metadata"].get("namespace") != watch.namespace:
        return
    was = event.before is not None and watch.test(event.before)
    now = event.kind != "DELETED" and watch.test(event.obj)
    if now:
        yield {"type": "MODIFIED" if was else "ADDED", "object": event.obj}
    elif was:
        # What left a selection is shown as it was, under the revision that took it out.
        last = event.before or event.obj
        metadata = {**last["metadata"], "resourceVersion": event.obj["metadata"]["resourceVersion"]}
        yield {"type": "DELETED", "object": {**last, "metadata": metadata}}


def _bookmark(kind: Kind, revision: int) -> Object:
    metadata = {"resourceVersion": str(revision), "creationTimestamp": None}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
