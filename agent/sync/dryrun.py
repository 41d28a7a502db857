"""What one object would look like after a sync: a dry run of the API server beside the object as it is.

Nothing is kept of what is sent. An apply alone would show too little of an object that kubectl created: taking it over
lets go of what git does not have, so that is done in the dry run too.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import Any

from agent.model.errors import ClusterError, FluxError, StoppedError
from agent.model.ids import ObjectKey
from agent.model.resources import Failure
from agent.sync.apply import clipped, failure
from agent.sync.cluster import Cluster
from agent.sync.comparison import compared, shown
from agent.sync.coverage import without
from agent.sync.desired import Desired
from agent.sync.findings import CRD
from agent.sync.managers import applied_fields, given_up, take_over
from agent.sync.preview import Change

_FORBIDDEN = 403
_NOT_FOUND = 404

Object = dict[str, Any]


class Action(enum.Enum):
    """What a sync would do to an object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Difference:
    """One object as it is and as it would be, both as YAML; empty where it is not, or would not be."""

    change: Change
    action: Action
    live: str = field(default="", repr=False)
    planned: str = field(default="", repr=False)


def difference(cluster: Cluster, change: Change, brings: frozenset[ObjectKey]) -> Difference | Failure | None:
    """What the change comes to: None where the object would stay as it is, a failure where it would be refused.

    Args:
        cluster: The API server.
        change: The object.
        brings: What the same sync would make before it: Namespaces and definitions.

    Raises:
        ClusterError: The API server cannot be reached.
        StoppedError: The agent is shutting down.
    """
    try:
        if change.desired is None:
            return _leaving(cluster, change)
        live = _read(cluster, change.path)
        planned = _planned(cluster, change, change.desired, live, brings)
    except StoppedError:
        raise
    except ClusterError as error:
        if not error.status:
            raise
        return _failed(change, error, brings)
    texts = compared(live, planned)
    return texts and Difference(change, Action.CREATE if live is None else Action.UPDATE, *texts)


def _leaving(cluster: Cluster, change: Change) -> Difference | None:
    live = _read(cluster, change.path)
    if live is None or change.live is None or live["metadata"].get("uid") != change.live.uid:
        return None
    text = shown(live)
    return Difference(change, Action.HOLD, text, text) if change.held else Difference(change, Action.DELETE, text)


def _read(cluster: Cluster, path: str) -> Object | None:
    if not path:
        return None
    try:
        return cluster.get(path)
    except ClusterError as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def _planned(
    cluster: Cluster, change: Change, desired: Desired, live: Object | None, brings: frozenset[ObjectKey]
) -> Object:
    if not desired.resource.verbs:
        return desired.intent()
    try:
        planned = cluster.dry_run(desired.path, desired.body)
    except ClusterError as error:
        if error.status == _NOT_FOUND and ObjectKey("", "Namespace", "", desired.key.namespace) in brings:
            return desired.intent()
        raise
    planned = _taken_over(cluster, desired, planned)
    if live is not None and change.live is not None and change.live.releases_replicas:
        # A sync gives the field up before it applies, so that the autoscaler's value stays.
        planned = {**planned, "spec": {**planned["spec"], "replicas": live["spec"].get("replicas")}}
    return planned


def _taken_over(cluster: Cluster, desired: Desired, planned: Object) -> Object:
    """The object after kubectl's fields became ours and git was applied again: the rest of them goes."""
    managed = planned["metadata"].get("managedFields") or []
    takeover = take_over(managed, has_replicas=desired.has_replicas)
    if takeover is None or not takeover.apply_again:
        return planned
    rest = without(given_up(takeover, applied_fields(managed) or {}), planned)
    if rest == planned:
        return planned
    try:
        return cluster.dry_replace(desired.path, json.dumps(rest).encode())
    except ClusterError as error:
        if error.status == _FORBIDDEN:
            return planned
        raise


def _failed(change: Change, error: FluxError, brings: frozenset[ObjectKey]) -> Failure:
    if change.desired is None:
        return Failure(str(change.key), clipped(f"its state cannot be read: {error.message}"), key=change.key)
    resource = change.desired.resource
    if ObjectKey("apiextensions.k8s.io", CRD, "", f"{resource.plural}.{resource.group}") in brings:
        text = f"{error.message} (this revision changes the definition of the kind too; a sync may accept the object)"
        error = ClusterError(text)
    return failure(change.desired, error)
