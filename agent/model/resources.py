"""What git says should exist: manifests, where each came from, and what was wrong with the rest."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from agent.model.ids import ObjectKey


@dataclass(frozen=True, slots=True)
class Origin:
    """A place in the repository: path from its root, first and last line from 1 (0: the file as a whole)."""

    path: str
    line: int = 0
    last: int = 0

    def __str__(self) -> str:
        return f"{self.shown}:{self.line}" if self.line else self.shown

    @property
    def shown(self) -> str:
        """The path for people: a file may be named with line breaks and what steers a terminal."""
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in self.path)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object as git has it.

    `body` is its canonical JSON (UTF-8, sorted keys, no spaces): small to keep, quick to parse, stable to hash. The
    namespace is as written, empty where the file names none; whether a kind has namespaces is the cluster's to say.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    body: bytes = field(repr=False)
    origin: Origin
    policies: Mapping[str, str] = field(default_factory=dict, hash=False)


class ProblemKind(enum.Enum):
    """What is wrong with a piece of the repository; `holds` tells whether it holds the marker and deletions."""

    SYNTAX = "syntax"
    INCOMPLETE = "incomplete"
    DUPLICATE = "duplicate"
    NO_MANIFEST = "no-manifest"
    UNREADABLE = "unreadable"

    @property
    def holds(self) -> bool:
        """A document without kind is no manifest and holds nothing; everything else does."""
        return self is not ProblemKind.NO_MANIFEST


@dataclass(frozen=True, slots=True)
class LoadProblem:
    """A file, document or object that could not be used, and why; the rest of the repository goes on without it."""

    kind: ProblemKind
    origin: Origin
    reason: str
    object_id: str = ""

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything a revision holds: what is usable, and what is not."""

    manifests: tuple[Manifest, ...]
    problems: tuple[LoadProblem, ...] = ()

    @property
    def holding(self) -> tuple[LoadProblem, ...]:
        """The problems that hold the marker and all deletions back."""
        return tuple(problem for problem in self.problems if problem.kind.holds)


@dataclass(frozen=True, slots=True)
class Resource:
    """One served kind, as discovery tells it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "") -> str:
        """The URL path of the collection or of one object, relative to the API server's root."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{_segment(namespace)}" if namespace and self.namespaced else ""
        return f"{root}{scope}/{self.plural}" + (f"/{_segment(name)}" if name else "")


def _segment(name: str) -> str:
    """A name as one segment of a path, whatever git wrote: `a/status` is no subresource and `a?b` no query."""
    return quote(name, safe=":", errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class Failure:
    """One object or file that could not be brought to what git says, with its blame."""

    object_id: str
    reason: str
    origin: Origin | None = None
    key: ObjectKey | None = None
    commit: str = ""
    author: str = ""
