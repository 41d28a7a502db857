"""The objects of a sandbox, their revisions, and a bounded memory of what happened to them.

One lock guards all. A stored object is never changed in place: a write stores a new one, so what was read may be
used without a copy. Every change gets the next revision, and wakes those who wait for one.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.sandbox.answers import bad_request, expired

Object = dict[str, Any]
Kept = tuple[str, str]
"""Group and plural of a kind: where its objects are."""

FIRST_REVISION = 100
"""Revisions start above 1, so that `1` is old."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change: `kind` is ADDED, MODIFIED or DELETED; `before` is what a change replaced."""

    revision: int
    kind: str
    kept: Kept
    obj: Object
    before: Object | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, the revision it stands for, and how to get the rest (empty: there is none)."""

    items: tuple[Object, ...]
    revision: int
    next: str = ""
    remaining: int = 0


class Store:
    """Objects by kind, namespace and name.

    Args:
        history: How many changes are remembered for watches; what asks for older ones is told so.
    """

    def __init__(self, history: int = 20_000) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._objects: dict[Kept, dict[tuple[str, str], Object]] = {}
        self._events: deque[Event] = deque(maxlen=history)
        self._forgotten = FIRST_REVISION
        self._revision = FIRST_REVISION

    @property
    def revision(self) -> int:
        """The revision of the latest change."""
        with self.lock:
            return self._revision

    def get(self, kept: Kept, namespace: str, name: str) -> Object | None:
        """One object; None if there is none. It must not be changed."""
        with self.lock:
            return self._objects.get(kept, {}).get((namespace, name))

    def all(self, kept: Kept, namespace: str = "") -> list[Object]:
        """All objects of a kind, of one namespace or of all, ordered by namespace and name."""
        with self.lock:
            found = self._objects.get(kept, {})
            return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def kinds(self) -> list[Kept]:
        """The kinds of which there are objects."""
        with self.lock:
            return [kept for kept, objects in self._objects.items() if objects]

    def put(self, kept: Kept, obj: Object) -> Object:
        """Store an object as the next revision, in place of the one of its name."""
        with self.lock:
            key = _key(obj)
            before = self._objects.get(kept, {}).get(key)
            stored = self._stamped(obj)
            self._objects.setdefault(kept, {})[key] = stored
            self._note(Event(self._revision, "MODIFIED" if before else "ADDED", kept, stored, before))
            return stored

    def remove(self, kept: Kept, obj: Object) -> Object:
        """Delete an object; what it was last, with the revision of its deletion."""
        with self.lock:
            before = self._objects.get(kept, {}).pop(_key(obj), None)
            gone = self._stamped(obj)
            self._note(Event(self._revision, "DELETED", kept, gone, before))
            return gone

    def _stamped(self, obj: Object) -> Object:
        self._revision += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._revision)}}

    def _note(self, event: Event) -> None:
        if len(self._events) == self._events.maxlen:
            self._forgotten = self._events[0].revision
        self._events.append(event)
        self._changed.notify_all()

    def forget(self) -> None:
        """Drop the memory of all changes so far, as a compaction does."""
        with self.lock:
            self._events.clear()
            self._forgotten = self._revision

    def page(self, kept: Kept, namespace: str, test: Callable[[Object], bool], limit: int = 0, after: str = "") -> Page:
        """A page of a kind's objects.

        Args:
            kept: The kind.
            namespace: Empty for all.
            test: The selectors.
            limit: The most objects in a page; 0 for all.
            after: The `next` of the page before. Later pages show objects as they are now, under the first page's
                revision: a watch from there tells what has changed meanwhile.

        Raises:
            Refusal: `after` is no such token, or older than what is remembered.
        """
        with self.lock:
            revision, start = self._resume(after)
            found = [obj for obj in self.all(kept, namespace) if _key(obj) > start and test(obj)]
        shown = found[:limit] if limit else found
        rest = len(found) - len(shown)
        token = _token(revision, _key(shown[-1])) if rest and shown else ""
        return Page(tuple(shown), revision, token, rest)

    def _resume(self, after: str) -> tuple[int, tuple[str, str]]:
        if not after:
            return self._revision, ("", "")
        try:
            token = json.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
            revision, start = int(token["rv"]), (str(token["start"][0]), str(token["start"][1]))
        except (ValueError, KeyError, IndexError, TypeError, binascii.Error) as error:
            raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
        if revision < self._forgotten:
            raise expired("The provided continue parameter is too old to display a consistent list result.")
        return revision, start

    def after(self, revision: int, kept: Kept | None = None) -> tuple[list[Event], int]:
        """What happened to a kind, or to any, after a revision, and the revision up to which that is all.

        Raises:
            Refusal: The revision is older than what is remembered.
        """
        with self.lock:
            if revision < self._forgotten:
                raise expired(f"too old resource version: {revision} ({self._forgotten})")
            found: list[Event] = []
            for event in reversed(self._events):
                if event.revision <= revision:
                    break
                if kept in (None, event.kept):
                    found.append(event)
            return found[::-1], self._revision

    def wait(self, revision: int, timeout: float) -> bool:
        """Wait until there is a later revision, or someone calls `wake`; False after `timeout` seconds."""
        with self.lock:
            return self._revision > revision or self._changed.wait(timeout)

    def wake(self) -> None:
        """Wake everyone who waits."""
        with self.lock:
            self._changed.notify_all()


def _key(obj: Object) -> tuple[str, str]:
    metadata = obj["metadata"]
    return (metadata.get("namespace", ""), metadata["name"])


def _token(revision: int, start: tuple[str, str]) -> str:
    body = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")
