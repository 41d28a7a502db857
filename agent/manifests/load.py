"""A revision's files → manifests and problems.

A blob is parsed once, however many revisions hold it: the cache is keyed by git's blob id, and a sync of a
revision that changed one file parses one file. Each file fails alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from agent.manifests import helm
from agent.manifests.yaml_reader import Document, ReadError, documents
from agent.model.ids import group_of
from agent.model.policies import policies_of
from agent.model.resources import Loaded, LoadProblem, Manifest, Origin, ProblemKind

MAX_FILE = 16 * 1024 * 1024
"""Bytes of one file; the API server takes no object over 3 MiB, so a larger file is no set of manifests."""
MAX_REASON = 500

_BATCH = 64 * 1024 * 1024
"""Bytes of files that are in memory unparsed at a time."""

_SUFFIXES = (".yaml", ".yml")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_NOT_FOR_CLUSTERS = frozenset({"kustomize.config.k8s.io"})
"""Groups whose documents are read by tools, never by an API server."""


class TreeFile(Protocol):
    """A file of a revision, as git lists it."""

    @property
    def path(self) -> str:
        """From the root of the repository, with slashes."""

    @property
    def sha(self) -> str:
        """Git's id of the content."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def lost(self) -> bool:
        """Whether it is a symbolic link that leads to no file of the revision."""


ReadBlobs = Callable[[Collection[str]], Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A blob's documents, still without a path."""

    manifests: tuple[Manifest, ...] = ()
    problems: tuple[LoadProblem, ...] = ()


class ManifestLoader:
    """Loads revisions, remembering every blob of the last one.

    Used by one thread; the cache holds exactly the blobs of the revision loaded last, so it is bounded by it.
    """

    def __init__(self) -> None:
        self._cache: dict[str, _Parsed] = {}

    def load(self, files: Iterable[TreeFile], read: ReadBlobs) -> Loaded:
        """Everything these files hold, in the order of paths and documents.

        `read` returns the content of blobs by their ids; it is asked for the ones not parsed before, some at a time.
        """
        wanted = _manifest_files(files)
        readable = {file.sha: file.size for file in wanted if file.size <= MAX_FILE and not file.lost}
        self._cache = {sha: parsed for sha, parsed in self._cache.items() if sha in readable}
        for batch in _batches({sha: size for sha, size in readable.items() if sha not in self._cache}):
            for sha, data in read(batch).items():
                self._cache[sha] = parse(data)
        manifests: list[Manifest] = []
        problems: list[LoadProblem] = []
        for file in wanted:
            parsed = _LOST if file.lost else self._cache.get(file.sha, _UNREADABLE)
            manifests += (_at(file.path, manifest) for manifest in parsed.manifests)
            problems += (_problem_at(file.path, problem) for problem in parsed.problems)
        return Loaded(tuple(manifests), tuple(problems))


_UNREADABLE = _Parsed(
    problems=(
        LoadProblem(ProblemKind.UNREADABLE, Origin(""), f"is larger than {MAX_FILE >> 20} MiB or could not be read"),
    )
)
_LOST = _Parsed(
    problems=(
        LoadProblem(ProblemKind.UNREADABLE, Origin(""), "is a symbolic link that leads to no file of the repository"),
    )
)


def _batches(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """These blobs in groups that are small enough to be read together."""
    batch: list[str] = []
    total = 0
    for sha, size in sizes.items():
        if batch and total + size > _BATCH:
            yield batch
            batch, total = [], 0
        batch.append(sha)
        total += size
    if batch:
        yield batch


def _manifest_files(files: Iterable[TreeFile]) -> list[TreeFile]:
    listed = sorted(files, key=lambda file: file.path)
    charts = helm.chart_folders(file.path for file in listed)
    return [
        file
        for file in listed
        if file.path.endswith(_SUFFIXES)
        and file.path.rpartition("/")[2] != ".flux.yaml"
        and not (charts and helm.in_chart(file.path, charts))
    ]


def _at(path: str, manifest: Manifest) -> Manifest:
    return Manifest(
        manifest.api_version,
        manifest.kind,
        manifest.namespace,
        manifest.name,
        manifest.body,
        replace(manifest.origin, path=path),
        manifest.policies,
    )


def _problem_at(path: str, problem: LoadProblem) -> LoadProblem:
    return LoadProblem(problem.kind, replace(problem.origin, path=path), problem.reason, problem.object_id)


def parse(data: bytes) -> _Parsed:
    """One file's content. A file that does not parse yields nothing but its problem."""
    if data.startswith(_LFS_POINTER):  # text without a kind, by its looks
        return _unusable(
            ReadError("is kept in Git LFS, which the agent does not read; keep manifests in git itself", 1)
        )
    manifests: list[Manifest] = []
    problems: list[LoadProblem] = []
    try:
        for document in documents(data):
            for origin, value in _objects(document):
                _take(origin, value, manifests, problems)
    except ReadError as error:
        return _unusable(error)
    except Exception as error:  # noqa: BLE001 # whatever a file holds, it fails alone
        return _unusable(ReadError(f"could not be read: {type(error).__name__}"))
    return _Parsed(tuple(manifests), tuple(problems))


def _unusable(error: ReadError) -> _Parsed:
    return _Parsed(problems=(LoadProblem(ProblemKind.SYNTAX, Origin("", error.line), error.reason[:MAX_REASON]),))


def _objects(document: Document) -> Iterable[tuple[Origin, Any]]:
    """The document itself, or the items where it is a List, each with its lines."""
    value, whole = document.value, (document.line, document.last)
    if isinstance(value, dict):
        kind, items = value.get("kind"), value.get("items")
        if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
            # An alias in place of the list has its lines elsewhere.
            spans = document.item_spans if len(document.item_spans) == len(items) else (whole,) * len(items)
            return [(Origin("", *span), item) for span, item in zip(spans, items, strict=True)]
    return [(Origin("", *whole), value)]


def _take(origin: Origin, value: Any, manifests: list[Manifest], problems: list[LoadProblem]) -> None:
    if not isinstance(value, dict) or not value.get("kind"):
        problems.append(LoadProblem(ProblemKind.NO_MANIFEST, origin, "has no kind, so it is not a manifest"))
        return
    api_version, kind = value.get("apiVersion"), value["kind"]
    if isinstance(api_version, str) and group_of(api_version) in _NOT_FOR_CLUSTERS:
        problems.append(LoadProblem(ProblemKind.NO_MANIFEST, origin, f"is a {kind} for a tool, not for a cluster"))
        return
    reason = _incomplete(value)
    if reason:
        problems.append(LoadProblem(ProblemKind.INCOMPLETE, origin, reason))
        return
    manifests.append(_manifest(value, origin))


def _incomplete(value: dict[str, Any]) -> str:
    metadata = value.get("metadata")
    if not isinstance(value["kind"], str):
        return "has a kind that is not a word"
    if not isinstance(value.get("apiVersion"), str) or not value["apiVersion"]:
        return f"is a {value['kind']} without apiVersion"
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return f"is a {value['kind']} without metadata.name"
    if not isinstance(metadata.get("namespace") or "", str):
        return f"is a {value['kind']} whose metadata.namespace is not a word"
    for word in (value["kind"], value["apiVersion"], metadata["name"], metadata.get("namespace") or ""):
        if not word.isprintable():
            return f"has a name that holds what cannot be printed: {word!a}"[:MAX_REASON]
    for field in ("annotations", "labels"):
        entries = metadata.get(field)
        if not isinstance(entries or {}, dict):
            return f"is a {value['kind']} whose metadata.{field} is not a mapping"
    return ""


def _manifest(value: dict[str, Any], origin: Origin) -> Manifest:
    metadata = value["metadata"]
    annotations = {key: _word(item) for key, item in (metadata.get("annotations") or {}).items()}
    return Manifest(
        api_version=value["apiVersion"],
        kind=value["kind"],
        namespace=metadata.get("namespace") or "",
        name=metadata["name"],
        body=canonical(value),
        origin=origin,
        policies=policies_of(annotations),
    )


def _word(value: Any) -> str:
    """An annotation's value as Flux v1 read it: `fluxcd.io/ignore: true` counts without quotes too."""
    return value if isinstance(value, str) else json.dumps(value)


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces, as UTF-8: equal for equal data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(
        "utf-8", "surrogatepass"
    )
