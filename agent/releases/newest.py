"""Which image a filter picks for a container, and why. Pure.

Flux v1 moved to the newest match in either direction. Here a current tag that the filter lets through is never replaced
by a lower version, and one that it does not let through is replaced by the newest match, even a lower one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.model.images import Image, Reference
from agent.model.patterns import Pattern
from agent.model.versions import parse_version


@dataclass(frozen=True, slots=True)
class Choice:
    """What a filter makes of a repository's images.

    Attributes:
        picked: The newest image that the filter lets through; None where there is none, or none can be told yet.
        update: Whether it is to replace the current one.
        reason: Why it is, or why not: a phrase.
        told: False where the newest cannot be told yet, because too little is known of the images.
    """

    picked: Image | None
    update: bool
    reason: str
    told: bool = True


def choose(images: Sequence[Image], current: Reference, pattern: Pattern, *, by_label: bool) -> Choice:
    """Pick an image for a container.

    Args:
        images: All images of the repository, in the filter's order.
        current: What the container runs.
        pattern: The container's filter.
        by_label: Whether the labels' build times count for this repository.
    """
    matching = [image for image in images if pattern.matches(image.tag)]
    return choose_among(matching, current, pattern, by_label=by_label)


def choose_among(matching: Sequence[Image], current: Reference, pattern: Pattern, *, by_label: bool) -> Choice:
    """Pick an image for a container, as `choose` does, from those that its filter lets through."""
    if not matching:
        return Choice(None, update=False, reason=f"no tag fits {pattern}")
    picked = matching[0]
    if pattern.order == "build time" and (doubt := _doubt(matching, current, pattern, by_label=by_label)):
        known = picked if picked.built(by_label=by_label) is not None else None
        return Choice(known, update=False, reason=doubt, told=False)
    if picked.tag != current.tag and pattern.matches(current.tag) and _is_lower(picked, current, pattern):
        return Choice(picked, update=False, reason=f"{current.tag} is newer than any that the registry has")
    if current.digest:
        return _pinned(picked, current)
    if picked.tag == current.tag:
        return Choice(picked, update=False, reason="it runs the newest image that fits")
    why = f"{picked.tag} is the newest that fits {pattern}"
    if current.tag and not pattern.matches(current.tag):
        why += f", which {current.tag} does not"
    return Choice(picked, update=True, reason=why)


def _pinned(picked: Image, current: Reference) -> Choice:
    """A container that is held by a digest: the tag is picked, the digest tells whether it is another image."""
    if not picked.digest:
        return Choice(picked, update=False, reason=f"it is not known yet what {picked.tag} stands for", told=False)
    if picked.digest == current.digest:
        return Choice(picked, update=False, reason="it runs the newest image that fits")
    if picked.tag == current.tag:
        return Choice(picked, update=True, reason=f"{picked.tag} stands for another image now")
    return Choice(picked, update=True, reason=f"{picked.tag} is the newest that fits")


def _doubt(matching: Sequence[Image], current: Reference, pattern: Pattern, *, by_label: bool) -> str:
    """Why the newest by build time cannot be told; empty where it can. An image without a tag fits no filter."""
    unseen = [image.tag for image in matching if not image.digest and not image.error]
    if unseen:
        return f"{_counted(len(unseen), 'tag has', 'tags have')} not been looked at yet"
    picked = matching[0]
    if picked.built(by_label=by_label) is None:
        return f"no build time is known of {picked.tag}, so the newest cannot be told"
    if not current.tag or not pattern.matches(current.tag):
        return ""
    running = next((image for image in matching if image.tag == current.tag), None)
    if running is not None and picked.tag != running.tag and running.built(by_label=by_label) is None:
        return f"no build time is known of {running.tag}, which runs, so nothing can be said to be newer"
    if running is None:
        return f"the registry does not have {current.tag}, which runs, so its build time is not known"
    return ""


def _is_lower(picked: Image, current: Reference, pattern: Pattern) -> bool:
    if pattern.order != "version":
        return False
    ours, theirs = parse_version(current.tag), parse_version(picked.tag)
    return ours is not None and theirs is not None and ours.compare(theirs) >= 0


def _counted(number: int, one: str, many: str) -> str:
    return f"one {one}" if number == 1 else f"{number} {many}"
