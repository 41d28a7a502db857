"""What there is to say of images: the list of those that exist, and why one of them is picked. Pure.

Orders and counts are Flux v1's: all images of a repository stand in the order of the container's filter, and those
before the current one are the new ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.model.errors import UsageError
from agent.model.images import Image, Reference
from agent.model.patterns import EVERYTHING, LATEST, Pattern
from agent.model.status import Mark
from agent.model.updates import Definition
from agent.model.versions import parse_version
from agent.registry.demand import pattern_of, reference_of
from agent.releases import quarantine
from agent.releases.newest import Choice, choose
from agent.releases.verdicts import Held, Kind, newest

MOST_REJECTED = 20


@dataclass(frozen=True, slots=True)
class Filter:
    """A container's filter; `error` says why it cannot be used, then everything stands for it."""

    pattern: Pattern = EVERYTHING
    error: str = ""

    @classmethod
    def of(cls, container: str, policies: Mapping[str, str]) -> Filter:
        """The filter of a container."""
        try:
            return cls(pattern_of(container, policies))
        except UsageError as error:
            return cls(error=str(error))


@dataclass(frozen=True, slots=True)
class Listing:
    """The images that exist for a container.

    Attributes:
        available: The newest, as many as were asked for.
        counts: Images in all and those before the current one; then the same of those the filter lets through.
        place: Of the current image among all, from 1; 0 where it is not among them.
        current: What is known of the current image.
        newest: The newest that the filter lets through; None where there is none.
    """

    available: tuple[Image, ...]
    counts: tuple[int, int, int, int]
    place: int
    current: Image | None
    newest: Image | None


def listing(images: Sequence[Image], fitting: Sequence[int], current: Reference, limit: int) -> Listing:
    """The images of a repository as a container sees them.

    Args:
        images: In the filter's order.
        fitting: The places, from 0, of those that the filter lets through.
        current: What the container runs.
        limit: How many to show; 0 for all.
    """
    place = next((place for place, image in enumerate(images, start=1) if image.tag == current.tag), 0)
    place = 0 if current.digest else place
    newer = bisect_left(fitting, place - 1) if place else len(fitting)
    return Listing(
        available=tuple(images[:limit] if limit else images),
        counts=(len(images), place - 1 if place else len(images), len(fitting), newer),
        place=place,
        current=images[place - 1] if place else None,
        newest=images[fitting[0]] if fitting else None,
    )


def needed_tags(images: Sequence[Image], current: Reference, pattern: Pattern, limit: int) -> frozenset[str]:
    """The tags that have to be looked at to order a list and to show the build times in it."""
    if pattern.order == "build time" or not limit:
        return frozenset(image.tag for image in images)
    picked = (image.tag for image in images if pattern.matches(image.tag))
    return frozenset(image.tag for image in images[:limit]) | {current.tag, next(picked, current.tag)}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a filter makes of the images that exist; `rejected` are tags and the rule that keeps each out."""

    choice: Choice
    rejected: tuple[tuple[str, str], ...]
    rejected_count: int
    asked: tuple[str, str] | None


def explained(
    images: Sequence[Image], current: Reference, pattern: Pattern, asked: str, *, by_label: bool
) -> Explanation:
    """Why a container gets the image it gets.

    Args:
        images: All of its repository, in the filter's order.
        current: What it runs.
        pattern: Its filter.
        asked: A tag to explain besides; empty for none.
        by_label: Whether labels tell build times.
    """
    rejected = [(image.tag, _reason_against(image.tag, pattern)) for image in images if not pattern.matches(image.tag)]
    choice = choose(images, current, pattern, by_label=by_label)
    answer = (asked, _why_not(asked, images, choice, pattern)) if asked else None
    return Explanation(choice, tuple(rejected[:MOST_REJECTED]), len(rejected), answer)


def is_in_the_way(mark: Mark, definition: Definition, library: quarantine.Library) -> bool:
    """Whether a mark keeps automation from what it would release to the only container: automation decides the same.

    Args:
        mark: The image that somebody took back.
        definition: The container as it is now, and its policies.
        library: What is known of images.
    """
    (container,) = definition.containers
    image, filter_ = reference_of(container), Filter.of(container.name, definition.policies)
    if image is None or filter_.error:
        return False
    key, by_label = (definition.id, container.name), library.by_label(image)
    images = library.ordered(image, filter_.pattern.order)
    fitting = [each for each in images if filter_.pattern.matches(each.tag)]
    held = Held(container.name, image, filter_.pattern)
    kept = quarantine.rejected({key: mark}, [definition], library).get(key, frozenset())
    kinds = [newest(held, fitting, rejected, by_label=by_label).kind for rejected in (frozenset(), kept)]
    return kinds[0] is Kind.CHANGE and kinds[1] is not Kind.CHANGE


def _why_not(tag: str, images: Sequence[Image], choice: Choice, pattern: Pattern) -> str:
    """Why a tag is not the one that is picked; empty where it is."""
    image = next((image for image in images if image.tag == tag), None)
    if image is None:
        return "the registry has no such tag, or none that is an image"
    if not pattern.matches(tag):
        return _reason_against(tag, pattern)
    if choice.picked is None:
        return choice.reason
    if image.tag == choice.picked.tag:
        return ""
    return f"it fits, but {choice.picked.tag} is newer"


def _reason_against(tag: str, pattern: Pattern) -> str:
    if tag.lower() == LATEST:
        return f"{tag} names no version: only the filter glob:{tag} lets it through"
    if pattern.order == "version":
        version = parse_version(tag)
        if version is None:
            return "it is no semantic version"
        if version.prerelease:
            return f"it is a pre-release or outside {pattern}; pre-releases need a range such as >=1.0.0-0"
    return f"it does not fit {pattern}"
