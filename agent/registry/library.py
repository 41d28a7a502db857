"""What the rest of the agent asks about images: one face over store, scanner and limits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.model.errors import UsageError
from agent.model.globs import matches_image
from agent.model.images import Image, Reference, Repository
from agent.model.patterns import Order, Pattern
from agent.registry.demand import Demand, Selection
from agent.registry.limits import Limits, RateState
from agent.registry.records import PullScope
from agent.registry.scanner import Scanner
from agent.registry.store import ImageStore


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody waits for these tags of an image's repository, or for the list of its tags where there are none."""

    image: Reference
    scope: PullScope
    tags: frozenset[str] = frozenset()


class Library:
    """What is known of images, and the way to know more.

    Args:
        store: What is known.
        scanner: Finds out more.
        limits: How fast hosts are asked.
        selection: Which images are scanned at all.
        by_label: Globs of images whose labels tell their build times.
    """

    def __init__(
        self, store: ImageStore, scanner: Scanner, limits: Limits, selection: Selection, by_label: tuple[str, ...]
    ) -> None:
        self._store = store
        self._scanner = scanner
        self._limits = limits
        self._selection = selection
        self._by_label = by_label

    def repository(self, image: Reference) -> Repository:
        """An image's repository; one that is not scanned says why."""
        reason = self._selection.reason_against(image)
        return (
            Repository(image.canonical_name, error=reason) if reason else self._store.repository(image.canonical_name)
        )

    def ordered(self, image: Reference, order: Order) -> tuple[Image, ...]:
        """The images of its repository, newest first."""
        if self._selection.reason_against(image):
            return ()
        return self._store.ordered(image.canonical_name, order, by_label=self.by_label(image))

    def fitting(self, image: Reference, pattern: Pattern) -> tuple[tuple[Image, ...], tuple[int, ...]]:
        """They in the filter's order, and the places, from 0, of those that it lets through."""
        if self._selection.reason_against(image):
            return (), ()
        return self._store.fitting(image.canonical_name, pattern, by_label=self.by_label(image))

    def by_label(self, image: Reference) -> bool:
        """Whether labels tell when its images were built."""
        return matches_image(self._by_label, image)

    def rate(self, image: Reference) -> RateState:
        """How fast its host is asked."""
        return self._limits.of(image.host).state()

    def ask(self, wishes: Iterable[Wish]) -> None:
        """Find these out as soon as may be; what is known already, or not scanned at all, costs nothing."""
        demands = [
            (Demand(wish.image, (wish.scope,)), frozenset(self._unseen(wish)))
            for wish in wishes
            if self._is_wanting(wish) and not self._selection.reason_against(wish.image)
        ]
        if demands:
            self._scanner.ask(demands)

    def fetch(self, wishes: Iterable[Wish], patience: float, over: Callable[[], bool]) -> None:
        """Find these out, waiting `patience` seconds for it at most."""
        wanted = [wish for wish in wishes if self._is_wanting(wish)]
        self.ask(wanted)
        if patience > 0:
            self._scanner.wait({wish.image.canonical_name for wish in wanted}, patience, over)

    def wait(self, image: Reference, patience: float, over: Callable[[], bool]) -> None:
        """Wait until nothing of an image's repository is asked for or under way any more."""
        self._scanner.wait([image.canonical_name], patience, over)

    def rescan(self, name: str) -> None:
        """List the tags of an image's repository again, where it is in use; what is no image's name is ignored."""
        with contextlib.suppress(UsageError):
            self._scanner.relist(Reference.parse(name).canonical_name)

    def _is_wanting(self, wish: Wish) -> bool:
        if not wish.tags:
            state = self._store.state(wish.image.canonical_name)
            return state is None or bool(state.error)
        return any(True for _ in self._unseen(wish))

    def _unseen(self, wish: Wish) -> Iterable[str]:
        state = self._store.state(wish.image.canonical_name)
        tags = state.tags if state else {}
        return (tag for tag in wish.tags if tag in tags and not tags[tag].checked_at)
