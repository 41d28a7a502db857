"""Filters on tags: `semver:`, `glob:`, `regexp:` (or `regex:`), and the order they put tags in. Pure.

A semver filter orders by version, the others by build time. Regular expressions are RE2's, as Go's are, so that what
worked with Flux v1 works here, and none takes long whatever somebody writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Protocol

import re2

from agent.model.errors import UsageError
from agent.model.globs import matches_glob
from agent.model.images import Image
from agent.model.versions import Constraint, parse_version

Order = Literal["version", "build time"]
MAX_PATTERN = 1024
LATEST = "latest"


class _Matcher(Protocol):
    def __call__(self, tag: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Pattern:
    """One filter; make one with `parse`, which is also its text's normal form.

    Attributes:
        text: With its prefix, such as `semver:~1.2`.
        order: What makes a tag newer than another.
    """

    text: str
    order: Order
    _matches: _Matcher = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a filter; one without prefix is a glob, an empty one lets everything through.

        Raises:
            UsageError: Its range or expression is none.
        """
        return _parsed(text)

    def matches(self, tag: str) -> bool:
        """Whether the tag fits. `latest` is no version of anything: it fits only the filter that names it."""
        if tag.lower() == LATEST:
            return self.text == f"glob:{tag}"
        return self._matches(tag)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Pattern:
    kind, colon, value = text.partition(":")
    if not colon or kind not in ("semver", "glob", "regexp", "regex"):
        kind, value = "glob", text
    if len(text) > MAX_PATTERN:
        raise UsageError(f'invalid tag pattern: "{text[:40]}…"', hint=f"it is longer than {MAX_PATTERN} characters")
    if kind == "semver":
        return Pattern(f"semver:{value}", "version", _version_matcher(text, value))
    if kind == "glob":
        glob = value or "*"
        return Pattern(f"glob:{glob}", "build time", lambda tag: matches_glob(glob, tag))
    return Pattern(f"{kind}:{value}", "build time", _expression_matcher(text, value))


def _version_matcher(text: str, value: str) -> _Matcher:
    try:
        constraint = Constraint.parse(value)
    except UsageError as error:
        raise UsageError(f'invalid tag pattern: "{text}"', hint=str(error)) from error

    def matches(tag: str) -> bool:
        version = parse_version(tag)
        return version is not None and constraint.allows(version)

    return matches


def _expression_matcher(text: str, value: str) -> _Matcher:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        expression = re2.compile(value, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it is no regular expression"
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise UsageError(f'invalid tag pattern: "{text}"', hint=said) from error
    return lambda tag: expression.search(tag) is not None


EVERYTHING = Pattern.parse("glob:*")
"""The filter of a container that has none."""


def ordered(images: Iterable[Image], order: Order, *, by_label: bool) -> list[Image]:
    """Newest first: equal versions with the more explicit tag first, equal times by tag.

    What has no version, or no build time that is known, comes last, by tag.
    """
    by_tag = sorted(images, key=lambda image: image.tag)
    if order == "version":
        return _by_version(by_tag)
    known = [(image.built(by_label=by_label), image) for image in by_tag]
    timed = sorted(((time, image) for time, image in known if time is not None), key=lambda pair: -pair[0])
    return [image for _, image in timed] + [image for time, image in known if time is None]


def _by_version(by_tag: list[Image]) -> list[Image]:
    """`1.10.0` before `1.10`: versions that are equal stand in the reverse order of their tags."""
    pairs = [(parse_version(image.tag), image) for image in by_tag]
    versions = [(version, image) for version, image in pairs if version is not None]
    versions.sort(key=lambda pair: (pair[0].replace(build=None), pair[1].tag), reverse=True)
    return [image for _, image in versions] + [image for version, image in pairs if version is None]
