"""What an edit is to change, in terms of data: which object of a file, which value, and what it shall say.

Pure, and without any knowledge of YAML's text: the same decision is made once for the edit and once for its check.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent.manifests.edit_nodes import EditError, Path
from agent.manifests.yaml_reader import Document
from agent.model.ids import CLUSTER_SCOPE
from agent.model.policies import FILTER_PREFIX, PREFIXES

Values = Mapping[Path, str | None]
"""What the values at these paths shall be, None for none at all."""

ABSENT = object()
"""Stands for a value that is not there; a null is."""

ANNOTATIONS: Path = ("metadata", "annotations")
POD_SPECS: Mapping[str, Path] = {
    "deployment": ("spec", "template", "spec"),
    "daemonset": ("spec", "template", "spec"),
    "statefulset": ("spec", "template", "spec"),
    "cronjob": ("spec", "jobTemplate", "spec", "template", "spec"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """The object to edit; the kind in any case, the namespace empty or `<cluster>` for an object without one."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f" in namespace {self.namespace}" if self.namespace not in ("", CLUSTER_SCOPE) else ""
        return f"{self.kind} {self.name}{place}"

    def matches(self, body: Any, default_namespace: str) -> bool:
        """Whether a document or an item of a list is this object."""
        metadata = body.get("metadata") if isinstance(body, dict) else None
        if not isinstance(metadata, dict) or metadata.get("name") != self.name:
            return False
        namespace = metadata.get("namespace") or ("" if self.namespace in ("", CLUSTER_SCOPE) else default_namespace)
        wanted = "" if self.namespace == CLUSTER_SCOPE else self.namespace
        return str(body.get("kind")).lower() == self.kind.lower() and namespace == wanted


class Edit(Protocol):
    """One wish: an object, and what its values shall be."""

    @property
    def target(self) -> Target:
        """The object."""

    def values(self, body: dict[str, Any]) -> Values:
        """The values by their paths in the object.

        Raises:
            EditError: The object has no place for them; without a line.
        """


@dataclass(frozen=True, slots=True)
class ImageEdit:
    """A container of a workload, or an init container, gets an image, written exactly so."""

    target: Target
    container: str
    image: str

    def values(self, body: dict[str, Any]) -> Values:
        """The scalars that make up the image: one for a pod template."""
        return image_values(body, self)


@dataclass(frozen=True, slots=True)
class PolicyEdit:
    """Policies by their names without prefix, as `agent/model/policies.py` names them; None removes one."""

    target: Target
    changes: Mapping[str, str | None]

    def values(self, body: dict[str, Any]) -> Values:
        """One value for each annotation that carries one of the policies."""
        changes = policy_changes(_annotations_of(body).keys(), self.changes)
        return {(*ANNOTATIONS, key): value for key, value in changes.items()}


def policy_changes(present: Collection[str], changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """Changes of policies as changes of annotations.

    A policy is set on the key that counts among those present, or on a new one with the prefix `fluxcd.io/`; it is
    removed from all of them, for an older one would count again.
    """
    found: dict[str, str | None] = {}
    for name, value in changes.items():
        keys = [f"{prefix}{name}" for prefix in reversed(PREFIXES)]
        if name.startswith("tag."):
            keys.append(f"{FILTER_PREFIX}{name.removeprefix('tag.')}")
        there = [key for key in keys if key in present]
        if value is None:
            found |= dict.fromkeys(there, None)
        else:
            found[there[0] if there else keys[0]] = value
    return found


def image_values(body: dict[str, Any], edit: ImageEdit) -> Values:
    """Where an object keeps a container's image, and what is to stand there; other kinds than these have theirs here.

    Raises:
        EditError: The kind has no containers, or not this one.
    """
    pod_spec = POD_SPECS.get(str(body.get("kind")).lower())
    if pod_spec is None:
        raise EditError(f"a {body.get('kind')} has no containers to give an image")
    pod = _at(body, pod_spec)
    found: list[Path] = []
    names: list[str] = []
    for field in ("containers", "initContainers"):
        containers = _at(pod, (field,))
        for index, container in enumerate(containers if isinstance(containers, list) else ()):
            names.append(str(_at(container, ("name",))))
            if names[-1] == edit.container and "image" in container:
                found.append((*pod_spec, field, index, "image"))
    if not found:
        others = ", ".join(names) or "none"
        raise EditError(f"{edit.target} has no container {edit.container} with an image", hint=f"it has: {others}")
    if len(found) > 1:
        raise EditError(f"{edit.target} has several containers {edit.container}", hint="rename all but one")
    return {found[0]: edit.image}


def _at(value: Any, path: Path) -> Any:
    """The value at a path of keys; None where there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _annotations_of(body: dict[str, Any]) -> dict[str, Any]:
    annotations = _at(body, ANNOTATIONS)
    if annotations is None:
        return {}
    if not isinstance(annotations, dict):
        raise EditError("the annotations are not a mapping", hint="write them as a mapping")
    return annotations


@dataclass(frozen=True, slots=True)
class Wanted:
    """What shall change in one object of a file.

    Attributes:
        document: Index of its document.
        path: Where the object stands in it: empty, or an index of its items.
        line: Its first line.
        values: What shall differ, by paths from the object; nothing that is as it shall be.
    """

    document: int
    path: Path
    line: int
    values: Values


def wanted(documents: Sequence[Document], edits: Sequence[Edit], default_namespace: str) -> list[Wanted]:
    """What these edits change in a file, by object.

    Raises:
        EditError: An object is missing or there twice, has no place for a value, or two edits disagree.
    """
    found: dict[tuple[int, Path], Wanted] = {}
    for edit in edits:
        index, path, line, body = _find(documents, edit.target, default_namespace)
        try:
            values = edit.values(body)
        except EditError as error:
            raise EditError(error.message, line, hint=error.hint) from error
        before = found[index, path].values if (index, path) in found else {}
        for place, value in values.items():
            if before.get(place, value) != value:
                raise EditError(f"two edits disagree on {place[-1]}", line, hint="make one of them")
        found[index, path] = Wanted(index, path, line, {**before, **values})
    changes = (_differing(documents, one) for one in found.values())
    return [one for one in changes if one.values]


def _differing(documents: Sequence[Document], one: Wanted) -> Wanted:
    root = documents[one.document].value
    values = {
        path: value
        for path, value in one.values.items()
        if value_at(root, (*one.path, *path)) != (ABSENT if value is None else value)
    }
    return Wanted(one.document, one.path, one.line, values)


def value_at(value: Any, path: Path) -> Any:
    """The value at a path, `ABSENT` where there is none."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part, ABSENT)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return ABSENT
    return value


def _find(
    documents: Sequence[Document], target: Target, default_namespace: str
) -> tuple[int, Path, int, dict[str, Any]]:
    found = [place for place in _objects(documents) if target.matches(place[3], default_namespace)]
    if not found:
        raise EditError(f"the file has no {target}")
    if len(found) > 1:
        lines = " and ".join(str(line) for _, _, line, _ in found)
        raise EditError(f"{target} is there on lines {lines}", found[1][2], hint="leave one of them in place")
    return found[0]


def _objects(documents: Sequence[Document]) -> Iterator[tuple[int, Path, int, Any]]:
    """Every document, or its items where it is a List, with its place and first line."""
    for index, document in enumerate(documents):
        value = document.value
        items = value.get("items") if isinstance(value, dict) else None
        if isinstance(items, list) and str(value.get("kind")).endswith("List"):
            spans = document.item_spans
            for number, item in enumerate(items):
                line = spans[number][0] if number < len(spans) else document.line
                yield index, ("items", number), line, item
        else:
            yield index, (), document.line, value


def changed(value: Any, path: Path, new: str | None) -> Any:
    """The same data with another value at a path, None for none; what leads there is copied, nothing else.

    A mapping on the way that is missing is made. Annotations that become empty go with their last.
    """
    if not path:
        return new
    head, rest = path[0], path[1:]
    if isinstance(value, list) and isinstance(head, int):
        return [changed(item, rest, new) if index == head else item for index, item in enumerate(value)]
    copy = dict(value or {})
    inner = changed(copy.get(str(head)), rest, new)
    if inner is None or (head == ANNOTATIONS[-1] and not inner):
        copy.pop(str(head), None)
    else:
        copy[str(head)] = inner
    return copy
