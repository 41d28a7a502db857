"""Everything that is known of images, in memory, for lists, releases and automation; the cache keeps it over restarts.

Reads take finished values: a repository is put together and its tags are ordered once for each time it changes, however
many workloads use it. Safe for many threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent.model.images import Image, Repository
from agent.model.patterns import Order, Pattern, ordered
from agent.registry.manifests import LABELS, moment
from agent.registry.records import Cache, Manifest, RepositoryState, TagState
from agent.registry.refresh import believed, next_listing

MAX_FILTERS = 100
"""Filters whose matches are remembered for one repository."""

FUTURE = 86_400.0
"""Seconds by which a clock somewhere may be ahead; a build time beyond that is none."""


@dataclass(frozen=True, slots=True)
class _View:
    """What was made of a repository at one moment: what a slow reader adds to it later is never shown as news."""

    repository: Repository
    orders: dict[tuple[Order, bool], tuple[Image, ...]] = field(default_factory=dict)
    fits: dict[tuple[str, bool], tuple[int, ...]] = field(default_factory=dict)

    def ordered(self, order: Order, *, by_label: bool) -> tuple[Image, ...]:
        """The images, newest first."""
        found = self.orders.get((order, by_label))
        if found is None:
            found = tuple(ordered(self.repository.images.values(), order, by_label=by_label))
            self.orders[order, by_label] = found
        return found

    def fitting(self, pattern: Pattern, *, by_label: bool) -> tuple[int, ...]:
        """The places of those that a filter lets through."""
        found = self.fits.get((pattern.text, by_label))
        if found is None:
            images = self.ordered(pattern.order, by_label=by_label)
            found = tuple(place for place, image in enumerate(images) if pattern.matches(image.tag))
            if len(self.fits) < MAX_FILTERS:
                self.fits[pattern.text, by_label] = found
        return found


@dataclass(slots=True)
class _Known:
    """One repository: its state, its manifests, and what was made of both, None where they have changed since."""

    state: RepositoryState
    manifests: dict[str, Manifest] = field(default_factory=dict)
    view: _View | None = None


class ImageStore:
    """What is known of images.

    Args:
        cache: Where it is kept.
        clock: The time in Unix seconds.
        changed: Is called after each change of what there is to release: of tags, and of what they stand for.
    """

    def __init__(self, cache: Cache, clock: Callable[[], float], changed: Callable[[], None] = lambda: None) -> None:
        self._cache = cache
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def state(self, name: str) -> RepositoryState | None:
        """What is known of a repository, read from the cache at first."""
        known = self._of(name)
        return known.state if known else None

    def repository(self, name: str) -> Repository:
        """A repository as lists and releases see it; without tags where nothing is known."""
        return self._view(name).repository

    def ordered(self, name: str, order: Order, *, by_label: bool) -> tuple[Image, ...]:
        """A repository's images, newest first."""
        return self._view(name).ordered(order, by_label=by_label)

    def fitting(self, name: str, pattern: Pattern, *, by_label: bool) -> tuple[tuple[Image, ...], tuple[int, ...]]:
        """A repository's images in the filter's order, and the places, from 0, of those that it lets through."""
        view = self._view(name)
        return view.ordered(pattern.order, by_label=by_label), view.fitting(pattern, by_label=by_label)

    def knows_manifest(self, name: str, digest: str) -> bool:
        """Whether it is known, here or in the cache, what a digest stands for."""
        with self._lock:
            known = self._known.get(name)
            if known and digest in known.manifests:
                return True
        found = self._cache.manifests(frozenset({digest})).get(digest)
        if found is not None:
            self._keep(name, found)
        return found is not None

    def put_manifest(self, name: str, manifest: Manifest) -> None:
        """Keep what a digest stands for."""
        self._cache.put_manifest(manifest)
        self._keep(name, manifest)

    def put(self, state: RepositoryState, *, save: bool = True) -> None:
        """Keep a repository's new state; `save` also on disk."""
        with self._lock:
            known = self._known.setdefault(state.name, _Known(RepositoryState(state.name)))
            is_news = _meaning(known.state) != _meaning(state)
            known.state, known.view = state, None
            digests = {tag.digest for tag in state.tags.values()}
            known.manifests = {name: kept for name, kept in known.manifests.items() if name in digests}
        if save:
            self._cache.put_repository(state)
        if is_news:
            self._changed()

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget, in memory, what no workload uses any more."""
        wanted = set(names)
        with self._lock:
            self._known = {name: known for name, known in self._known.items() if name in wanted}

    def _view(self, name: str) -> _View:
        known = self._of(name)
        if known is None:
            return _View(Repository(name))
        with self._lock:
            if known.view is None:
                known.view = _View(self._assembled(known))
            return known.view

    def _of(self, name: str) -> _Known | None:
        with self._lock:
            known = self._known.get(name)
        if known is not None:
            return known
        kept = self._cache.repository(name)
        if kept is None:
            return None
        state = believed(kept, self._clock())
        digests = frozenset(tag.digest for tag in state.tags.values() if tag.digest)
        manifests = dict(self._cache.manifests(digests)) if digests else {}
        with self._lock:
            return self._known.setdefault(name, _Known(state, manifests))

    def _keep(self, name: str, manifest: Manifest) -> None:
        with self._lock:
            known = self._known.get(name)
            if known is not None:
                known.manifests[manifest.digest] = manifest
                known.view = None

    def _assembled(self, known: _Known) -> Repository:
        state, latest = known.state, self._clock() + FUTURE
        images = {tag: _image(tag, seen, known.manifests, latest) for tag, seen in state.tags.items()}
        return Repository(
            name=state.name,
            images={tag: image for tag, image in images.items() if image is not None},
            scanned_at=state.listed_at,
            next_scan_at=next_listing(state),
            error=state.error,
            credential=state.credential,
        )


def _meaning(state: RepositoryState) -> dict[str, tuple[str, str]]:
    """What tags stand for; when they were looked at does not matter."""
    return {tag: (seen.digest, seen.error) for tag, seen in state.tags.items()}


def _image(tag: str, seen: TagState, manifests: Mapping[str, Manifest], latest: float) -> Image | None:
    """A tag as lists see it; None where it is known to be no image."""
    manifest = manifests.get(seen.digest)
    if manifest is None:
        return Image(tag, seen.digest, error=seen.error)
    if manifest.kind == "other":
        return None
    labelled = next((time for key in LABELS if (time := moment(manifest.labels.get(key))) is not None), None)
    error = seen.error
    created = manifest.created
    if (created or 0) > latest or (labelled or 0) > latest:
        error = error or "its build time lies in the future and does not count"
        created = None if (created or 0) > latest else created
        labelled = None if (labelled or 0) > latest else labelled
    return Image(tag, seen.digest, created, labelled, error, manifest.image_id, manifest.labels, seen.checked_at)
