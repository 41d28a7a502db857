"""Performing a plan: rank after rank, concurrently inside a rank, each object failing alone.

The answer to an apply tells whether kubectl's own entries must be taken over (`managers`); clean objects cost one
request.
"""

from __future__ import annotations

import re
import threading
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from agent.model.errors import ClusterError, FluxError, StoppedError
from agent.model.resources import Failure
from agent.sync.cluster import Cluster
from agent.sync.desired import Desired
from agent.sync.live import Settled, fingerprint
from agent.sync.managers import LAST_APPLIED, applied_fields, take_over, without_replicas
from agent.sync.plan import Step

MAX_REASON = 1500
_CONFLICT = 409
_TAKEOVER_ATTEMPTS = 3
_LAST_APPLIED_POINTER = "/metadata/annotations/" + LAST_APPLIED.replace("~", "~0").replace("/", "~1")


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of some steps: `done` were accepted, `failed` refused, `left` not reached in time."""

    done: tuple[Step, ...] = ()
    failed: tuple[Failure, ...] = ()
    left: tuple[Step, ...] = ()

    def __add__(self, other: Applied) -> Applied:
        return Applied(self.done + other.done, self.failed + other.failed, self.left + other.left)


class Applier:
    """Sends objects; `expired` tells when the time of this sync is over."""

    def __init__(self, cluster: Cluster, settled: Settled, pool: Executor, stop: threading.Event) -> None:
        self._cluster = cluster
        self._settled = settled
        self._pool = pool
        self._stop = stop
        self.newest: dict[tuple[str, str], int] = {}
        """The newest resourceVersion that was written, by group/plural and namespace."""

    def apply(self, ranks: Iterable[tuple[Step, ...]], expired: Callable[[], bool]) -> Applied:
        """Apply rank after rank. Results come in the order of the steps."""
        total = Applied()
        for rank in ranks:
            results = self._pool.map(lambda step: self._attempt(step, expired), rank)
            done, failed, left = [], [], []
            for step, result in zip(rank, results, strict=True):
                if result is None:
                    done.append(step)
                elif isinstance(result, Failure):
                    failed.append(result)
                else:
                    left.append(step)
            total += Applied(tuple(done), tuple(failed), tuple(left))
        return total

    def _attempt(self, step: Step, expired: Callable[[], bool]) -> Failure | StoppedError | None:
        if self._stop.is_set() or expired():
            return StoppedError("the time of this sync is over")
        try:
            self._send(step)
        except StoppedError as error:
            return error
        except FluxError as error:
            return failure(step.desired, error)
        return None

    def _send(self, step: Step) -> None:
        desired = step.desired
        if step.live is not None and step.live.releases_replicas:
            self._release_replicas(desired.path)
        answer = self._cluster.apply(desired.path, desired.body)
        metadata = answer["metadata"]
        takeover = take_over(metadata.get("managedFields") or [], has_replicas=True)
        if takeover is not None:
            metadata = self._take_over(desired, metadata)
        resource, version = desired.resource, metadata["resourceVersion"]
        place = (f"{resource.group}/{resource.plural}", desired.key.namespace)
        if version.isdigit():
            self.newest[place] = max(int(version), self.newest.get(place, 0))
        fields = applied_fields(metadata.get("managedFields") or [])
        self._settled.send(metadata["uid"], desired.checksum, fingerprint(fields))

    def _release_replicas(self, path: str) -> None:
        """Give `spec.replicas` up before git's silence about it resets it."""
        for attempt in range(1, _TAKEOVER_ATTEMPTS + 1):
            metadata = self._cluster.get(path)["metadata"]
            entries = without_replicas(metadata.get("managedFields") or [])
            try:
                self._cluster.json_patch(path, _guarded(metadata, entries))
            except ClusterError as error:
                if error.status != _CONFLICT or attempt == _TAKEOVER_ATTEMPTS:
                    raise
            else:
                return

    def _take_over(self, desired: Desired, metadata: dict[str, Any]) -> dict[str, Any]:
        """Make kubectl's fields ours in one guarded patch, and apply again where that made more ours than git has."""
        for attempt in range(1, _TAKEOVER_ATTEMPTS + 1):
            takeover = take_over(metadata.get("managedFields") or [], has_replicas=desired.has_replicas)
            if takeover is None:
                break
            operations = _guarded(metadata, takeover.managed_fields)
            if LAST_APPLIED in (metadata.get("annotations") or {}):
                operations.append({"op": "remove", "path": _LAST_APPLIED_POINTER})
            try:
                metadata = self._cluster.json_patch(desired.path, operations)["metadata"]
            except ClusterError as error:
                if error.status != _CONFLICT or attempt == _TAKEOVER_ATTEMPTS:
                    raise
                metadata = self._cluster.get(desired.path)["metadata"]
                continue
            if takeover.apply_again:
                metadata = self._cluster.apply(desired.path, desired.body)["metadata"]
            break
        return metadata


def _guarded(metadata: dict[str, Any], managed_fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A patch of managedFields that counts only for the object as it was read: otherwise the server says 409."""
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": managed_fields},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
    ]


def failure(desired: Desired, error: FluxError) -> Failure:
    """The failure of one object, in the API server's words, without any Secret's values."""
    reason = error.message
    if isinstance(error, ClusterError) and "failed to create typed patch object" in reason:
        reason = f"does not fit the schema of its kind: {reason}"
    if desired.key.kind == "Secret" and not desired.key.group:
        reason = _without_values(reason, desired)
    return Failure(str(desired.key), clipped(reason), desired.origin, desired.key)


def clipped(reason: str) -> str:
    """A long reason without its middle: the API server puts the object first and what is wrong with it last."""
    if len(reason) <= MAX_REASON:
        return reason
    return f"{reason[: MAX_REASON // 2]} … {reason[-MAX_REASON // 2 :]}"


def _without_values(reason: str, secret: Desired) -> str:
    """Cut the Secret's values, plain and encoded, and whatever the server quotes of it, out of its error text."""
    intent = secret.intent()
    for value in _leaves([intent.get("data"), intent.get("stringData"), intent.get("type")]):
        for told in (value, _decoded(value)):
            reason = reason.replace(told, "***") if len(told) > 1 else reason
    reason = re.sub(r"(expected [^,\n]*), got [^\n]*", r"\1", reason)
    return re.sub(r'"(?:[^"\\]|\\.)*"', '"***"', reason)


def _leaves(value: Any) -> Iterator[str]:
    """Every scalar in it, as text."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _decoded(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode("utf-8", "ignore")
    except ValueError:
        return ""
