"""What becomes of one container: the newest image that its filter lets through, or one that somebody named. Pure.

What counts is the image that git has, not the one that the cluster runs. A container that is held by a digest gets tag
and digest together, so what is written always says which image it is.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from agent.model.images import Image, Reference
from agent.model.patterns import Pattern
from agent.model.updates import ContainerChange
from agent.releases.newest import Choice, choose_among


class Kind(enum.Enum):
    """What there is to say of a container."""

    CHANGE = enum.auto()
    UP_TO_DATE = enum.auto()
    NO_IMAGE = enum.auto()
    """There is no image for it, or its filter lets none through."""
    OTHER_IMAGE = enum.auto()
    """It does not use the image that was named."""
    LEFT = enum.auto()
    """It stays as it is for a reason of its own, such as that the newest cannot be told yet."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one container.

    Attributes:
        kind: What there is to say.
        change: Of its image, where the kind is `CHANGE`.
        text: A sentence on it, which starts with its name; may be empty.
        wanted: Tags that have to be looked at before it can be told; empty where they have to be listed first.
    """

    kind: Kind
    change: ContainerChange | None = None
    text: str = ""
    wanted: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A container as git has it: its name, its image, and its filter."""

    name: str
    image: Reference
    pattern: Pattern


def newest(held: Held, fitting: Sequence[Image], rejected: frozenset[str], *, by_label: bool) -> Verdict:
    """The newest image for a container.

    Args:
        held: The container.
        fitting: The images that its filter lets through, in the filter's order.
        rejected: Tags and digests that are not to be proposed to it.
        by_label: Whether the labels' build times count for this repository.
    """
    if not fitting:
        return Verdict(Kind.NO_IMAGE, text=f"{held.name}: no tag fits {held.pattern}")
    passed = [image for image in fitting if _is_rejected(image, rejected) and image.tag != held.image.tag]
    kept_out = {image.tag for image in passed}
    offered = [image for image in fitting if image.tag not in kept_out] if passed else fitting
    if not offered:
        return Verdict(Kind.LEFT, text=f"{held.name}: all that fits {held.pattern} was rejected: {_tags(passed)}")
    choice = choose_among(offered, held.image, held.pattern, by_label=by_label)
    if choice.update and choice.picked and _is_rejected(choice.picked, rejected):
        return Verdict(Kind.LEFT, text=f"{held.name}: what {choice.picked.tag} stands for now was rejected")
    newer = _newer(fitting, passed, choice)
    return _verdict(held, choice, offered, f"{_tags(newer)} was rejected" if newer else "", by_label=by_label)


def named(held: Held, image: Image, asked: Reference, *, fits: bool) -> Verdict:
    """The image that was named, for a container that uses its repository.

    Args:
        held: The container.
        image: What is known of the image.
        asked: The image as it was named; where it names a digest, that is written.
        fits: Whether the container's filter lets it through, or does not count.
    """
    if not fits:
        return Verdict(Kind.NO_IMAGE, text=f"{held.name}: {image.tag} does not fit {held.pattern}; --force releases it")
    digest = asked.digest or (image.digest if held.image.digest else "")
    if held.image.digest and not digest:
        text = f"{held.name}: it is held by a digest, and it is not known {_yet(image)} what {image.tag} stands for"
        return Verdict(Kind.LEFT, text=text, wanted=frozenset({image.tag}))
    if digest and digest == held.image.digest and held.image.tag in ("", image.tag):
        return Verdict(Kind.UP_TO_DATE)
    return _changed(held, image.tag, digest)


def _verdict(held: Held, choice: Choice, offered: Sequence[Image], rejected: str, *, by_label: bool) -> Verdict:
    """What a choice means; `rejected` is a sentence on what was passed over for it."""
    aside = f"{held.name}: {rejected}" if rejected else ""
    if not choice.told:
        return Verdict(
            Kind.LEFT, text=f"{held.name}: {choice.reason}", wanted=_unknown(held, offered, by_label=by_label)
        )
    if choice.picked is None:
        return Verdict(Kind.NO_IMAGE, text=f"{held.name}: {choice.reason}")
    if choice.update:
        digest = choice.picked.digest if held.image.digest else ""
        return _changed(held, choice.picked.tag, digest, aside and f"{aside}, so {choice.picked.tag} is the newest")
    if aside:
        return Verdict(Kind.LEFT, text=f"{aside}, and {choice.picked.tag} is the newest but for that")
    return Verdict(Kind.UP_TO_DATE)


def _changed(held: Held, tag: str, digest: str, text: str = "") -> Verdict:
    target = held.image.with_tag(tag, digest)
    if target == held.image:
        return Verdict(Kind.UP_TO_DATE)
    return Verdict(Kind.CHANGE, ContainerChange(held.name, held.image, target), text)


def _unknown(held: Held, offered: Sequence[Image], *, by_label: bool) -> frozenset[str]:
    """The tags whose digest or build time is missing for a choice."""
    if held.pattern.order == "version":
        return frozenset({offered[0].tag})
    return frozenset(image.tag for image in offered if not image.digest or image.built(by_label=by_label) is None)


def _newer(fitting: Sequence[Image], passed: Sequence[Image], choice: Choice) -> Sequence[Image]:
    """Those passed over that come before the one that was picked."""
    if not passed or choice.picked is None:
        return passed
    place = {image.tag: number for number, image in enumerate(fitting)}
    return [image for image in passed if place[image.tag] < place[choice.picked.tag]]


def _is_rejected(image: Image, rejected: frozenset[str]) -> bool:
    return image.tag in rejected or image.digest in rejected


def _tags(images: Sequence[Image]) -> str:
    return ", ".join(image.tag for image in images)


def _yet(image: Image) -> str:
    return f"({image.error})" if image.error else "yet"
