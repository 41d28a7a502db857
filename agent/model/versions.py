"""Versions and constraints on them, by the rules of the library that Flux v1 used.

Versions are semantic ones (https://semver.org) read loosely: a leading `v`, and minor and patch may be missing. The
grammar and meaning of constraints are those of https://github.com/Masterminds/semver: alternatives parted by `||`,
conditions that must all hold parted by commas or spaces, the signs `=` `!=` `>` `<` `>=` `<=` `~` `~>` `^`, hyphen
ranges, and `x`, `X` or `*` for any number. A pre-release fits only a condition that names one, such as `>=1.2.3-0`.
Build metadata never counts. The semver package compares versions; it has no constraints and no `v`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from semver import Version

from agent.model.errors import UsageError

_TAIL = r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
_VERSION = re.compile(
    rf"v?(?P<major>[0-9]{{1,18}})(?:\.(?P<minor>[0-9]{{1,18}}))?(?:\.(?P<patch>[0-9]{{1,18}}))?{_TAIL}", re.ASCII
)
_NUMBER = r"[0-9]{1,18}|[xX*]"
_BOUND = rf"v?(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER}))?(?:\.(?P<patch>{_NUMBER}))?{_TAIL}"
_CONDITION = re.compile(rf"\s*(?P<sign>=|!=|>=|=>|<=|=<|~>|>|<|~|\^)?\s*{_BOUND}\s*(?:,|(?=\s)|$)", re.ASCII)
_BOUND_ALONE = re.sub(r"\?P<\w+>", "?:", _BOUND)
_HYPHEN = re.compile(rf"\s*({_BOUND_ALONE})\s+-\s+({_BOUND_ALONE})\s*", re.ASCII)
MAX_CONSTRAINT = 512
"""Characters of a constraint; longer ones are refused unread."""


@lru_cache(maxsize=20_000)
def parse_version(text: str) -> Version | None:
    """The version a tag stands for; None where it stands for none."""
    match = _VERSION.fullmatch(text)
    if match is None or any(_has_leading_zero(part) for part in (match["pre"] or "").split(".")):
        return None
    major, minor, patch = (int(match[part] or 0) for part in ("major", "minor", "patch"))
    return Version(major, minor, patch, match["pre"], match["build"])


def _has_leading_zero(identifier: str) -> bool:
    """Semantic versions forbid them in numeric identifiers of a pre-release."""
    return identifier.isdigit() and len(identifier) > 1 and identifier.startswith("0")


@dataclass(frozen=True, slots=True)
class _Condition:
    """One sign and one bound; from the number `open` on the bound says "any": 0 major, 1 minor, 2 patch, 3 none."""

    sign: str
    bound: Version
    open: int

    def holds(self, version: Version) -> bool:
        if version.prerelease and not self.bound.prerelease:
            return False
        return _SIGNS[self.sign](version, self)


@dataclass(frozen=True, slots=True)
class Constraint:
    """What versions must be; make one with `parse`."""

    text: str
    alternatives: tuple[tuple[_Condition, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read a constraint.

        Raises:
            UsageError: It is none.
        """
        if len(text) > MAX_CONSTRAINT:
            raise UsageError(f"improper constraint: longer than {MAX_CONSTRAINT} characters")
        return cls(text, tuple(_conditions(part, text) for part in text.split("||")))

    def allows(self, version: Version) -> bool:
        """Whether the version fits."""
        return any(all(condition.holds(version) for condition in group) for group in self.alternatives)


def _conditions(part: str, whole: str) -> tuple[_Condition, ...]:
    found, rest = [], _HYPHEN.sub(r" >=\1 <=\2 ", part)
    position = 0
    while rest[position:].strip():
        match = _CONDITION.match(rest, position)
        if match is None or match.end() == position:
            break
        found.append(_condition(match))
        position = match.end()
    if not found or rest[position:].strip():
        raise UsageError(f"improper constraint: {whole}", hint="such as ~1.2, >=1.2.3 <2, 1.x or >=1.0.0-0")
    return tuple(found)


def _condition(match: re.Match[str]) -> _Condition:
    """A number that is missing or any opens the bound there; what follows it does not count."""
    numbers = [match["major"], match["minor"], match["patch"]]
    opened = next((place for place, number in enumerate(numbers) if number in (None, "x", "X", "*")), 3)
    major, minor, patch = (int(number) if place < opened else 0 for place, number in enumerate(numbers))
    return _Condition(match["sign"] or "", Version(major, minor, patch, match["pre"]), opened)


def _equal(version: Version, condition: _Condition) -> bool:
    return _tilde(version, condition) if condition.open < 3 else version.compare(condition.bound) == 0


def _not_equal(version: Version, condition: _Condition) -> bool:
    if condition.open == 3:
        return version.compare(condition.bound) != 0
    place = max(condition.open, 1)
    return version.to_tuple()[:place] != condition.bound.to_tuple()[:place]


def _greater(version: Version, condition: _Condition) -> bool:
    """`>11` starts at 12, `>11.1` at 11.2."""
    if condition.open == 3:
        return version.compare(condition.bound) > 0
    place = max(condition.open, 1)
    return version.to_tuple()[:place] > condition.bound.to_tuple()[:place]


def _at_most(version: Version, condition: _Condition) -> bool:
    """`<=11` ends with the last 11."""
    if condition.open == 3:
        return version.compare(condition.bound) <= 0
    place = max(condition.open, 1)
    return version.to_tuple()[:place] <= condition.bound.to_tuple()[:place]


def _tilde(version: Version, condition: _Condition) -> bool:
    """Only what the bound leaves open below its minor number may be higher."""
    bound = condition.bound
    if version.compare(bound) < 0:
        return False
    if condition.open == 0 or (condition.open == 3 and (bound.major, bound.minor, bound.patch) == (0, 0, 0)):
        return True
    return version.major == bound.major and (condition.open == 1 or version.minor == bound.minor)


def _caret(version: Version, condition: _Condition) -> bool:
    """The left-most number that is not zero stays."""
    bound = condition.bound
    if version.compare(bound) < 0:
        return False
    if condition.open == 0:
        return True
    if bound.major or condition.open == 1:
        return version.major == bound.major
    if bound.minor or condition.open == 2:
        return (version.major, version.minor) == (0, bound.minor)
    return (version.major, version.minor, version.patch) == (0, 0, bound.patch)


def _less(version: Version, condition: _Condition) -> bool:
    return version.compare(condition.bound) < 0


def _at_least(version: Version, condition: _Condition) -> bool:
    return version.compare(condition.bound) >= 0


_SIGNS: Mapping[str, Callable[[Version, _Condition], bool]] = MappingProxyType(
    {
        "": _equal,
        "=": _equal,
        "!=": _not_equal,
        ">": _greater,
        ">=": _at_least,
        "=>": _at_least,
        "<": _less,
        "<=": _at_most,
        "=<": _at_most,
        "~": _tilde,
        "~>": _tilde,
        "^": _caret,
    }
)
