"""What the cluster has, trimmed to what planning needs while a list is being read. Pure.

Only metadata is looked at. managedFields are large, so whether they cover what we would send is decided here, page
by page, and only the answer is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.model.ids import ObjectKey
from agent.model.policies import SYNC_CHECKSUM, SYNC_MARK, SYNC_SOURCE, ignores_collection, ignores_sync, policies_of
from agent.model.resources import Resource
from agent.sync.coverage import covers
from agent.sync.desired import Desired
from agent.sync.managers import applied_fields, owns_replicas, take_over


@dataclass(frozen=True, slots=True)
class Live:
    """One object of the cluster.

    Attributes:
        ignored: Whether the cluster's copy says that the sync leaves it alone.
        kept: Whether the cluster's copy says that it stays when it leaves git.
        covered: Whether our applied fields hold everything that git has, and kubectl holds none of it.
        releases_replicas: Whether we own `spec.replicas` although git leaves it out.
        source: The signature of the source that applied it last; empty for none.
        owner: The Helm release it belongs to, in words; empty for none.
    """

    key: ObjectKey
    resource: Resource
    uid: str
    resource_version: str
    mark: str = ""
    checksum: str = ""
    source: str = ""
    owner: str = ""
    ignored: bool = False
    kept: bool = False
    controlled: bool = False
    deleting: bool = False
    covered: bool = False
    releases_replicas: bool = False


class Settled:
    """What is known of objects from before, by uid, so that nothing is worked out twice.

    `verified` holds the resourceVersion at which an object was found covered. `sent` holds the fingerprint that was
    left after sending: an object that can never be covered (the API server drops empty values) is sent once, not in
    every sync. Bounded by the objects of the last sync.
    """

    def __init__(self) -> None:
        self._verified: dict[str, tuple[str, str]] = {}
        self._sent: dict[str, tuple[str, str]] = {}
        self._fresh: set[str] = set()

    def is_verified(self, uid: str, resource_version: str, checksum: str) -> bool:
        """Whether exactly this state of the object was found covered before."""
        return self._verified.get(uid) == (resource_version, checksum)

    def verify(self, uid: str, resource_version: str, checksum: str) -> None:
        """Remember that this state of the object is covered."""
        self._verified[uid] = (resource_version, checksum)

    def was_sent(self, uid: str, checksum: str, fingerprint: str) -> bool:
        """Whether this was sent before and left exactly these fields as ours."""
        return self._sent.get(uid) == (checksum, fingerprint)

    def send(self, uid: str, checksum: str, fingerprint: str) -> None:
        """Remember what sending left as ours."""
        self._sent[uid] = (checksum, fingerprint)
        self._fresh.add(uid)

    def keep_only(self, uids: set[str]) -> None:
        """Forget every object but these and the ones sent since the last call."""
        self._verified = {uid: state for uid, state in self._verified.items() if uid in uids}
        self._sent = {uid: state for uid, state in self._sent.items() if uid in uids or uid in self._fresh}
        self._fresh = set()


def observe(
    item: Mapping[str, Any], resource: Resource, desired: Mapping[ObjectKey, Desired], settled: Settled
) -> Live:
    """Trim one item of a list. `item` needs its metadata only."""
    metadata = item["metadata"]
    annotations: dict[str, str] = metadata.get("annotations") or {}
    labels: dict[str, str] = metadata.get("labels") or {}
    key = ObjectKey(resource.group, resource.kind, metadata.get("namespace", ""), metadata["name"])
    policies = policies_of(annotations)
    uid, version, checksum = metadata["uid"], metadata["resourceVersion"], annotations.get(SYNC_CHECKSUM, "")
    wanted = desired.get(key)
    covered, releases = False, False
    if wanted is not None and checksum == wanted.checksum:
        covered = settled.is_verified(uid, version, checksum)
    if wanted is not None and not covered:
        managed = metadata.get("managedFields") or []
        fields = applied_fields(managed)
        releases = owns_replicas(fields) and not wanted.has_replicas
        if fields is not None and checksum == wanted.checksum:
            whole = covers(fields, wanted.intent()) or settled.was_sent(uid, checksum, fingerprint(fields))
            covered = whole and take_over(managed, has_replicas=True) is None
    return Live(
        key=key,
        resource=resource,
        uid=uid,
        resource_version=version,
        mark=labels.get(SYNC_MARK, ""),
        checksum=checksum,
        source=annotations.get(SYNC_SOURCE, ""),
        owner=_owner(labels, annotations),
        ignored=ignores_sync(policies),
        kept=ignores_collection(policies),
        controlled=any(owner.get("controller") for owner in metadata.get("ownerReferences") or ()),
        deleting="deletionTimestamp" in metadata,
        covered=covered,
        releases_replicas=releases,
    )


def fingerprint(fields: dict[str, Any] | None) -> str:
    """A short stand-in for a set of fields; empty for none."""
    return f"{hash(repr(fields)):x}" if fields is not None else ""


def _owner(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    release = annotations.get("meta.helm.sh/release-name")
    if release and labels.get("app.kubernetes.io/managed-by") == "Helm":
        return f"the Helm release {annotations.get('meta.helm.sh/release-namespace', '')}/{release}"
    return ""
