"""What git says, made ready to be sent: identities resolved, defaults filled in, marked and hashed. Pure.

The checksum is over what would be sent, not over the file: a comment or a reordered key changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol

from agent.manifests.load import canonical
from agent.model.ids import ObjectKey, WorkloadId, group_of
from agent.model.policies import SYNC_CHECKSUM, SYNC_MARK, SYNC_SOURCE, ignores_sync
from agent.model.resources import LoadProblem, Manifest, Origin, ProblemKind, Resource
from agent.sync.marks import Marker
from agent.sync.ranks import rank_of

_FORMULA = b"1\n"
"""Version of the checksum's formula: a change of it makes every object be sent once."""


class Kinds(Protocol):
    """Which kinds the cluster serves."""

    def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of an apiVersion and kind, where it is served."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the sync may act: the default namespace, the only allowed ones where there are any, and kinds not to list.

    `excluded` are globs over `group/version/Kind`; such kinds are applied unseen in every sync and never collected.
    """

    default_namespace: str = "default"
    allowed: frozenset[str] = frozenset()
    excluded: tuple[str, ...] = ()

    def lists(self, resource: Resource) -> bool:
        """Whether objects of this kind may be listed."""
        name = f"{resource.api_version}/{resource.kind}"
        return not any(fnmatchcase(name, pattern) for pattern in self.excluded)

    def allows(self, resource: Resource, key: ObjectKey) -> bool:
        """Cluster-scoped objects are allowed, except Namespaces that are not named."""
        if not self.allowed:
            return True
        if resource.namespaced:
            return key.namespace in self.allowed
        return resource.kind != "Namespace" or bool(resource.group) or key.name in self.allowed

    def is_outside(self, key: ObjectKey, resource: Resource | None) -> bool:
        """Whether git names it where the sync may not act; of a kind that is not served, the namespace as written."""
        if resource is None:
            return bool(self.allowed and key.namespace) and key.namespace not in self.allowed
        return not self.allows(resource, key)


@dataclass(frozen=True, slots=True)
class Desired:
    """One object, ready to be sent. `body` is canonical JSON with mark, source and checksum in it."""

    key: ObjectKey
    resource: Resource
    body: bytes = field(repr=False)
    checksum: str
    origin: Origin
    rank: int
    ignored: bool = False

    @property
    def path(self) -> str:
        """The object's URL path."""
        return self.resource.path(self.key.namespace, self.key.name)

    def intent(self) -> dict[str, Any]:
        """The object as data."""
        return json.loads(self.body)  # type: ignore[no-any-return]

    @property
    def has_replicas(self) -> bool:
        """Whether git decides `spec.replicas`."""
        spec = self.intent().get("spec")
        return isinstance(spec, dict) and "replicas" in spec


@dataclass(frozen=True, slots=True)
class DesiredState:
    """A revision against a cluster's kinds.

    `unserved` are manifests whose kind the cluster does not serve (yet); `duplicates` are problems that hold the
    marker; `outside` are objects in namespaces that are not allowed.
    """

    objects: tuple[Desired, ...]
    unserved: tuple[Manifest, ...] = ()
    duplicates: tuple[LoadProblem, ...] = ()
    outside: tuple[ObjectKey, ...] = ()
    named: frozenset[ObjectKey] = frozenset()
    """Everything that git names, whatever became of it: none of it has left git."""

    @property
    def resources(self) -> frozenset[Resource]:
        """The kinds of these objects."""
        return frozenset(item.resource for item in self.objects)


class DesiredBuilder:
    """Builds desired states, remembering each object's bytes from one revision to the next."""

    def __init__(self, marker: Marker, scope: Scope) -> None:
        self._marker = marker
        self._scope = scope
        self._prepared: dict[tuple[bytes, ObjectKey], tuple[bytes, str]] = {}

    def build(self, manifests: Iterable[Manifest], kinds: Kinds) -> DesiredState:
        """Resolve these manifests; an id that is defined twice is a problem, and neither definition is used."""
        found: dict[ObjectKey, list[tuple[Manifest, Resource | None]]] = {}
        for manifest in manifests:
            resource = kinds.find(manifest.api_version, manifest.kind)
            found.setdefault(self._key(manifest, resource), []).append((manifest, resource))
        objects, unserved, outside = [], [], []
        prepared: dict[tuple[bytes, ObjectKey], tuple[bytes, str]] = {}
        doubled: dict[ObjectKey, list[Manifest]] = {}
        for key, definitions in found.items():
            manifest, resource = definitions[0]
            if self._scope.is_outside(key, resource):
                outside.append(key)
            elif len(definitions) > 1:
                doubled[key] = [definition for definition, _ in definitions]
            elif resource is None:
                unserved.append(manifest)
            else:
                objects.append(self._desired(key, manifest, resource, prepared))
        self._prepared = prepared
        return DesiredState(
            tuple(objects), tuple(unserved), tuple(_duplicates(doubled)), tuple(outside), frozenset(found)
        )

    def _key(self, manifest: Manifest, resource: Resource | None) -> ObjectKey:
        namespace = manifest.namespace
        if resource is not None:
            namespace = (namespace or self._scope.default_namespace) if resource.namespaced else ""
        return ObjectKey(group_of(manifest.api_version), manifest.kind, namespace, manifest.name)

    def _desired(
        self,
        key: ObjectKey,
        manifest: Manifest,
        resource: Resource,
        prepared: dict[tuple[bytes, ObjectKey], tuple[bytes, str]],
    ) -> Desired:
        ready = self._prepared.get((manifest.body, key)) or prepare(manifest.body, key, self._marker)
        prepared[manifest.body, key] = ready
        return Desired(
            key,
            resource,
            ready[0],
            ready[1],
            manifest.origin,
            rank_of(key.group, key.kind),
            ignores_sync(manifest.policies),
        )


def _duplicates(doubled: dict[ObjectKey, list[Manifest]]) -> Iterable[LoadProblem]:
    for key, definitions in doubled.items():
        first = definitions[0].origin
        for manifest in definitions[1:]:
            yield LoadProblem(
                ProblemKind.DUPLICATE,
                manifest.origin,
                f"{key} is defined a second time; the first is {first}",
                str(key),
            )


def prepare(body: bytes, key: ObjectKey, marker: Marker) -> tuple[bytes, str]:
    """The bytes to send and their checksum."""
    value: dict[str, Any] = json.loads(body)
    metadata: dict[str, Any] = value["metadata"]
    metadata.pop("namespace", None)
    if key.namespace:
        metadata["namespace"] = key.namespace
    for bookkeeping in ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"):
        metadata.pop(bookkeeping, None)
    value.pop("status", None)
    metadata["labels"] = {**(metadata.get("labels") or {}), SYNC_MARK: marker.mark(key)}
    annotations = {**(metadata.get("annotations") or {}), SYNC_SOURCE: marker.signature}
    annotations.pop(SYNC_CHECKSUM, None)
    metadata["annotations"] = annotations
    if key.kind == "Secret" and not key.group:
        _fold_string_data(value)
    checksum = hashlib.sha256(_FORMULA + canonical(value)).hexdigest()
    annotations[SYNC_CHECKSUM] = checksum
    return canonical(value), checksum


def _fold_string_data(secret: dict[str, Any]) -> None:
    """`stringData` → `data`, as the API server would: applied as it is, its fields would never be ours.

    What is no mapping of words is left for the API server to refuse.
    """
    plain, data = secret.get("stringData"), secret.get("data") or {}
    if isinstance(plain, dict) and isinstance(data, dict) and all(isinstance(value, str) for value in plain.values()):
        del secret["stringData"]
        secret["data"] = {**data, **{key: b64encode(value.encode()).decode() for key, value in plain.items()}}


WORKLOAD_KINDS = frozenset({"CronJob", "DaemonSet", "Deployment", "StatefulSet"})


def policies_by_workload(manifests: Iterable[Manifest], default_namespace: str) -> dict[WorkloadId, Mapping[str, str]]:
    """The policies of every workload in git, by the id people use."""
    return {
        WorkloadId(manifest.namespace or default_namespace, manifest.kind.lower(), manifest.name): manifest.policies
        for manifest in manifests
        if manifest.kind in WORKLOAD_KINDS
    }
