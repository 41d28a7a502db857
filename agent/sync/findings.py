"""What a revision beside a cluster tells before anything is done: what fails, and what cannot be read. Pure.

A sync and the preview of one come to the same answers here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from agent.model.errors import ClusterError
from agent.model.ids import group_of
from agent.model.resources import Failure, Loaded, Manifest, Resource
from agent.sync.apply import failure
from agent.sync.cluster import Kinds
from agent.sync.desired import Desired, DesiredState
from agent.sync.observe import FORBIDDEN, Observation
from agent.sync.plan import Step

CRD = "CustomResourceDefinition"


def readable(objects: Iterable[Desired], observed: Observation) -> list[Desired]:
    """The objects that can be planned: their state is known, or git says to leave them alone."""
    return [item for item in objects if item.ignored or observed.error_for(item) is None]


def unread(objects: Iterable[Desired], observed: Observation) -> tuple[Failure, ...]:
    """The objects that fail because their kind may not be read."""
    found = []
    for item in objects:
        error = observed.error_for(item)
        if error is not None and error.status == FORBIDDEN and not item.ignored:
            reason = ClusterError(f"its state cannot be read: {error.message}", status=error.status)
            found.append(failure(item, reason))
    return tuple(found)


def reading_error(observed: Observation) -> str:
    """Why something could not be read that may be read a moment later; a missing right is no such reason."""
    for (resource, _), error in observed.unreadable.items():
        if error.status != FORBIDDEN:
            return f"{resource.plural} could not be listed: {error.message}"
    return ""


def holds_of(loaded: Loaded, state: DesiredState) -> tuple[str, ...]:
    """What of the revision did not load."""
    return tuple(str(problem) for problem in (*loaded.holding, *state.duplicates))


def waits_for_loading(holds: tuple[str, ...]) -> str:
    """Why nothing may be deleted while these hold; empty where nothing does."""
    return f"waits until all of the revision loads: {holds[0]}" if holds else ""


def kinds_defined(manifests: Iterable[Manifest]) -> dict[str, frozenset[Resource]]:
    """What this revision's own CustomResourceDefinitions will serve: their names → kinds, without any verbs."""
    found: dict[str, frozenset[Resource]] = {}
    for manifest in manifests:
        if manifest.kind == CRD:
            spec = _mapping(json.loads(manifest.body).get("spec"))
            names, versions = _mapping(spec.get("names")), spec.get("versions")
            served = [_mapping(version) for version in versions] if isinstance(versions, list) else []
            group, kind, plural = str(spec.get("group")), str(names.get("kind")), str(names.get("plural"))
            namespaced = spec.get("scope") != "Cluster"
            found[manifest.name] = frozenset(
                Resource(group, str(version.get("name")), kind, plural, namespaced, frozenset())
                for version in served
                if version.get("served")
            )
    return found


def load_failures(loaded: Loaded, state: DesiredState) -> tuple[Failure, ...]:
    """Files and documents that could not be used, and objects that are defined twice."""
    return tuple(
        Failure(problem.object_id, problem.reason, problem.origin) for problem in (*loaded.holding, *state.duplicates)
    )


def unserved(manifest: Manifest, kinds: Kinds) -> Failure:
    """The failure of an object whose kind the cluster does not serve."""
    group = group_of(manifest.api_version)
    reason = f"the cluster serves no {manifest.kind} of {manifest.api_version}; "
    if group in kinds.broken_groups:
        reason += f"the API server that stands behind the group {group} does not answer"
    else:
        reason += "is its CustomResourceDefinition missing?"
    return Failure(
        f"{manifest.namespace or '<cluster>'}:{manifest.kind.lower()}/{manifest.name}", reason, manifest.origin
    )


def refused(step: Step) -> Failure:
    """The failure of an object that somebody else owns."""
    reason = f'{step.reason}; remove it there or from git, or annotate it with fluxcd.io/ignore: "true"'
    return Failure(str(step.desired.key), reason, step.desired.origin, step.desired.key)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
