"""Images that people took back: automation does not bring them again, and knows so from git alone. Pure.

A mark on a container says: this image and everything older is not released by itself. It is set by a commit's trailer
where somebody releases an older image over an automated one, and it follows from the history where somebody undoes an
automated commit by hand. Releasing the image again lifts it, as does `automate --accept`.

Trailers: `Flux-Kind: automation|release|policies`, `Flux-Updated: WORKLOAD CONTAINER OLD NEW`, `Flux-Rejected: WORKLOAD
CONTAINER IMAGE`, `Flux-Accepted: WORKLOAD`. An image that is unknown is written as `-`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.images import Image, Reference
from agent.model.patterns import Order
from agent.model.status import Mark
from agent.model.updates import ContainerChange, Definition
from agent.registry.demand import pattern_of

KIND, UPDATED, REJECTED, ACCEPTED = "Flux-Kind", "Flux-Updated", "Flux-Rejected", "Flux-Accepted"
AUTOMATION = "automation"

Key = tuple[WorkloadId, str]


class Library(Protocol):
    """What is known of images."""

    def ordered(self, image: Reference, order: Order) -> Sequence[Image]:
        """The images of its repository, newest first."""


@dataclass(frozen=True, slots=True)
class Record:
    """A commit of the agent's, by its trailers."""

    commit: str
    trailers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Update:
    """The last update of a container that the history tells of."""

    image: Reference
    automatic: bool
    commit: str


def marks(records: Iterable[Record], definitions: Iterable[Definition]) -> dict[Key, Mark]:
    """The marks on containers.

    Args:
        records: The agent's commits, the newest first.
        definitions: What git holds now.
    """
    found: dict[Key, Mark] = {}
    updates: dict[Key, _Update] = {}
    for record in reversed(list(records)):
        _apply(record, found, updates)
    for definition in definitions:
        for container in definition.containers:
            key = (definition.id, container.name)
            last = updates.get(key)
            if last is not None and last.automatic and str(last.image) != container.image:
                found[key] = Mark(str(last.image), last.commit, by_hand=True)
    return found


def _apply(record: Record, found: dict[Key, Mark], updates: dict[Key, _Update]) -> None:
    automatic = (KIND, AUTOMATION) in record.trailers
    for name, value in record.trailers:
        words = value.split(" ")
        with suppress(UsageError):
            if name == UPDATED and len(words) == 4:
                key = (WorkloadId.parse(words[0]), words[1])
                updates[key] = _Update(Reference.parse(words[3]), automatic, record.commit)
                if automatic or (key in found and found[key].image == words[3]):
                    found.pop(key, None)
            elif name == REJECTED and len(words) == 3:
                found[WorkloadId.parse(words[0]), words[1]] = Mark(words[2], record.commit)
            elif name == ACCEPTED:
                id_ = WorkloadId.parse(value)
                for kept in (found, updates):
                    for key in [key for key in kept if key[0] == id_]:
                        del kept[key]


def rejected(
    found: Mapping[Key, Mark], definitions: Iterable[Definition], library: Library
) -> dict[Key, frozenset[str]]:
    """The tags and digests that the marks keep from containers: those of the marked image, and every older tag."""
    kept: dict[Key, frozenset[str]] = {}
    for definition in definitions:
        for container in definition.containers:
            mark = found.get((definition.id, container.name))
            if mark is None:
                continue
            with suppress(UsageError):
                pattern = pattern_of(container.name, definition.policies)
                images = library.ordered(Reference.parse(container.image), pattern.order)
                kept[definition.id, container.name] = _older(Reference.parse(mark.image), images)
    return kept


def _older(marked: Reference, images: Sequence[Image]) -> frozenset[str]:
    """A tag that moves is kept out by its digest, so that what it stands for next is let through."""
    own = marked.digest or marked.tag
    place = next((place for place, image in enumerate(images) if image.tag == marked.tag), len(images))
    return frozenset({own, *(image.tag for image in images[place + 1 :])})


def is_rollback(change: ContainerChange, images: Sequence[Image]) -> bool:
    """Whether a change leads to an older image."""
    places = {image.tag: place for place, image in enumerate(images)}
    before, after = places.get(change.current.tag), places.get(change.target.tag)
    return before is not None and (after is None or after > before)
