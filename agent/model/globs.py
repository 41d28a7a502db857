"""Flux v1's globs: only `*` is special, it stands for any characters, slashes too, and the whole text must match."""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.images import DOCKER_HUB, Reference


def matches_glob(pattern: str, text: str) -> bool:
    """Whether the whole text fits. Each part is looked up from the left, so no pattern takes long."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    if not (text.startswith(first) and text.endswith(last) and len(text) >= len(first) + len(last)):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def matches_image(patterns: Iterable[str], image: Reference) -> bool:
    """Whether an image's canonical name fits one of the globs; `docker.io/…` and `index.docker.io/…` mean the same."""
    names = [image.canonical_name]
    if image.host == DOCKER_HUB:
        names.append("docker.io" + names[0].removeprefix(DOCKER_HUB))
    return any(matches_glob(pattern, name) for pattern in patterns for name in names)
