"""Images that people took back: automation does not bring them again, and knows so from git alone. Pure.

A mark on a container says: this image and everything older is not released by itself. It is set by a commit's trailer
where somebody releases an older image over an automated one, and it follows from the history where somebody undoes an
automated commit by hand. Releasing the image again lifts it, as does `automate --accept`; a newer image passes it by.

Trailers: `Flux-Kind: automation|release|policies`, `Flux-Updated: WORKLOAD CONTAINER OLD NEW`, `Flux-Rejected: WORKLOAD
CONTAINER IMAGE`, `Flux-Accepted: WORKLOAD`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from agent.git.records import Record
from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.images import Image, Reference
from agent.model.patterns import Order, ordered
from agent.model.status import Mark
from agent.model.updates import ContainerChange, Definition
from agent.model.versions import parse_version
from agent.registry.demand import pattern_of

KIND, UPDATED, REJECTED, ACCEPTED = "Flux-Kind", "Flux-Updated", "Flux-Rejected", "Flux-Accepted"
AUTOMATION = "automation"

Key = tuple[WorkloadId, str]
"""A container of a workload."""
_Text = tuple[str, str]
"""The same as a trailer has it: most of what commits tell is replaced by later ones before anybody reads it."""


class Library(Protocol):
    """What is known of images."""

    def ordered(self, image: Reference, order: Order) -> Sequence[Image]:
        """The images of its repository, newest first."""

    def by_label(self, image: Reference) -> bool:
        """Whether labels tell when its images were built."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the agent's commits tell, up to one of them.

    Attributes:
        rejected: What was taken back through the agent.
        automated: What automation wrote last into a container, where nobody has released anything to it since: the mark
            that it becomes when somebody undoes it, and the image that was there before.
    """

    rejected: Mapping[_Text, Mark] = field(default_factory=dict, hash=False)
    automated: Mapping[_Text, tuple[Mark, str]] = field(default_factory=dict, hash=False)


def remembered(memory: Memory, records: Iterable[Record]) -> Memory:
    """What is known after these commits of the agent's, the oldest first."""
    found = _Memory(dict(memory.rejected), dict(memory.automated))
    for record in records:
        found.add(record)
    return Memory(found.rejected, found.automated)


def kept(memory: Memory, known: Mapping[Key, Mark]) -> Memory:
    """What a rewritten branch tells, and besides it the marks that were known before and that it has lost."""
    before = {(str(id_), container): mark for (id_, container), mark in known.items()}
    return replace(memory, rejected={**before, **memory.rejected})


def marks(memory: Memory, definitions: Iterable[Definition]) -> dict[Key, Mark]:
    """The marks on the containers that git holds now."""
    found: dict[Key, Mark] = {}
    for definition in definitions:
        for container in definition.containers:
            with suppress(UsageError):
                held = Reference.parse(container.image)
                if mark := _mark(memory, (str(definition.id), container.name), held):
                    found[definition.id, container.name] = mark
    return found


def rejected(
    found: Mapping[Key, Mark], definitions: Iterable[Definition], library: Library
) -> dict[Key, frozenset[str]]:
    """The tags and digests that the marks keep from containers: those of the marked image, and every older tag."""
    kept: dict[Key, frozenset[str]] = {}
    for definition in definitions if found else ():
        for container in definition.containers:
            mark = found.get((definition.id, container.name))
            if mark is None:
                continue
            with suppress(UsageError):
                order = pattern_of(container.name, definition.policies).order
                held = Reference.parse(container.image)
                kept[definition.id, container.name] = _kept_out(mark, held, order, library)
    return kept


def is_rollback(change: ContainerChange, images: Sequence[Image]) -> bool:
    """Whether a change leads to an older image: by their order, or by version where the current one is gone."""
    places = {image.tag: place for place, image in enumerate(images)}
    before, after = places.get(change.current.tag), places.get(change.target.tag)
    if before is None:
        return _is_higher(change.current.tag, change.target.tag)
    return after is None or after > before


@dataclass(frozen=True, slots=True)
class _Memory:
    """A memory while it is put together."""

    rejected: dict[_Text, Mark]
    automated: dict[_Text, tuple[Mark, str]]

    def add(self, record: Record) -> None:
        """Take in what one more commit tells."""
        automatic = (KIND, AUTOMATION) in record.trailers
        for name, value in record.trailers:
            words = value.split(" ")
            if name == UPDATED and len(words) == 4:
                key, before, written = (words[0], words[1]), words[2], words[3]
                self.automated.pop(key, None)
                if automatic:
                    self.automated[key] = (Mark(written, record.commit, by_hand=True, at=record.time), before)
                if automatic or self._lifts(key, written):
                    self.rejected.pop(key, None)
            elif name == REJECTED and len(words) == 3:
                self.rejected[words[0], words[1]] = Mark(words[2], record.commit, at=record.time)
            elif name == ACCEPTED:
                self._forget(value)

    def _lifts(self, key: _Text, written: str) -> bool:
        """Whether an image is the one that is marked."""
        mark = self.rejected.get(key)
        with suppress(UsageError):
            return mark is not None and _is_same(Reference.parse(mark.image), Reference.parse(written))
        return False

    def _forget(self, workload: str) -> None:
        for known in (self.rejected, self.automated):
            for key in [key for key in known if key[0] == workload]:
                known.pop(key, None)


def _mark(memory: Memory, key: _Text, held: Reference) -> Mark | None:
    """The mark on a container; one on an image that it has, or of another repository, says nothing any more."""
    if key in memory.automated:
        mark, before = memory.automated[key]
        if _is_undone(Reference.parse(mark.image), before, held):
            return mark
    rejected_ = memory.rejected.get(key)
    return rejected_ if rejected_ and _is_other(Reference.parse(rejected_.image), held) else None


def _is_undone(written: Reference, before: str, held: Reference) -> bool:
    """Whether somebody replaced what automation wrote, other than by raising what automation had raised."""
    raised = _is_higher(held.tag, written.tag) and not _is_higher(Reference.parse(before).tag, written.tag)
    return _is_other(written, held) and not raised


def _is_other(one: Reference, other: Reference) -> bool:
    """Whether they are different images of one repository."""
    return one.canonical_name == other.canonical_name and not _is_same(one, other)


def _is_same(one: Reference, other: Reference) -> bool:
    """Whether both mean the same image, as far as both say."""
    if one.canonical_name != other.canonical_name:
        return False
    if one.tag and other.tag and one.tag != other.tag:
        return False
    if one.digest and other.digest:
        return one.digest == other.digest
    return one.tag == other.tag


def _is_higher(tag: str, other: str) -> bool:
    first, second = parse_version(tag), parse_version(other)
    return first is not None and second is not None and first.compare(second) > 0


def _kept_out(mark: Mark, held: Reference, order: Order, library: Library) -> frozenset[str]:
    """The tags and digests that a mark keeps from a container.

    A container that is held by a digest is kept from the digest alone, so that what the tag stands for next is let
    through.
    """
    marked = Reference.parse(mark.image)
    own = marked.digest if (held.digest and marked.digest) or not marked.tag else marked.tag
    images, by_label = library.ordered(held, order), library.by_label(held)
    return frozenset({own, *_older(marked, mark.at, images, order, by_label=by_label)} - {""})


def _older(marked: Reference, at: float, images: Sequence[Image], order: Order, *, by_label: bool) -> Iterator[str]:
    """The tags that are older than the marked one.

    What cannot be told counts as older: where the marked image is gone, all that was not built after the mark was set;
    where it was not looked at yet, everything.
    """
    place = next((place for place, image in enumerate(images) if _names(marked, image)), None)
    if order == "version":
        if place is None:
            images = ordered((*images, Image(marked.tag)), order, by_label=by_label)
            place = next(number for number, image in enumerate(images) if image.tag == marked.tag)
        return (image.tag for image in images[place + 1 :])
    if place is None:
        return (image.tag for image in images if (image.built(by_label=by_label) or 0.0) <= at)
    if images[place].built(by_label=by_label) is None:
        return (image.tag for image in images)
    return (image.tag for image in images[place + 1 :])


def _names(marked: Reference, image: Image) -> bool:
    return image.tag == marked.tag if marked.tag else image.digest == marked.digest
