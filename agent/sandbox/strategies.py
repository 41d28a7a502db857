"""What the API server itself decides on a write: identity, generation, status, addresses.

The counterpart of Kubernetes' registry strategies. Objects are made anew, never changed in place.
"""

from __future__ import annotations

import itertools
import secrets
import uuid
from typing import Any

from agent.sandbox.checks import check_name, check_stored
from agent.sandbox.kinds import Kind

Object = dict[str, Any]

_GENERATED = "bcdfghjklmnpqrstvwxz2456789"
_KEPT = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName")
_STATUS: dict[str, Object] = {
    "Namespace": {"phase": "Active"},
    "Service": {"loadBalancer": {}},
    "Ingress": {"loadBalancer": {}},
    "PersistentVolumeClaim": {"phase": "Pending"},
    "PersistentVolume": {"phase": "Available"},
    "Pod": {"phase": "Pending", "qosClass": "BestEffort"},
    "ReplicaSet": {"replicas": 0},
    "StatefulSet": {"replicas": 0, "availableReplicas": 0},
    "DaemonSet": {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    },
}


class Addresses:
    """Hands out the virtual addresses of Services, 10.96.0.2 first."""

    def __init__(self) -> None:
        self._next = itertools.count(2)

    def allocate(self, service: Object) -> None:
        """Give a Service its cluster IP, unless it asks for none."""
        spec = service.setdefault("spec", {})
        if spec.get("type") == "ExternalName":
            return
        if not spec.get("clusterIP"):
            number = next(self._next)
            spec["clusterIP"] = f"10.96.{number // 256 % 256}.{number % 256}"
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")


def name_it(obj: Object, kind: Kind) -> str:
    """The name of an object to be created, made up from `generateName` where it has none; written into the object.

    Raises:
        Refusal: There is neither, or the name is not allowed.
    """
    metadata = obj.setdefault("metadata", {})
    name = metadata.get("name") or ""
    if not name and metadata.get("generateName"):
        name = metadata["name"] = metadata["generateName"] + "".join(secrets.choice(_GENERATED) for _ in range(5))
    check_name(name, kind)
    return str(name)


def created(obj: Object, kind: Kind, now: str, addresses: Addresses) -> Object:
    """The object as it is stored first: with an identity, and with the status it starts with."""
    metadata = dict(obj.get("metadata", {}))
    for name in ("resourceVersion", "generation", "deletionTimestamp", "selfLink"):
        metadata.pop(name, None)
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now}
    if kind.generation:
        metadata["generation"] = 1
    result = {**obj, "metadata": metadata}
    if "status" in kind.subresources:
        result.pop("status", None)
        if not kind.custom:
            result["status"] = dict(_STATUS.get(kind.kind, {}))
    if kind.kind == "Service" and not kind.custom:
        result["spec"] = dict(result.get("spec") or {})
        addresses.allocate(result)
    if kind.kind == "Namespace":
        result["spec"] = {**(result.get("spec") or {}), "finalizers": ["kubernetes"]}
    check_stored(result, kind, None)
    return result


def updated(live: Object, obj: Object, kind: Kind, addresses: Addresses) -> Object:
    """The object as a write to its main endpoint leaves it: identity and status stay what they are."""
    metadata = {name: value for name, value in obj.get("metadata", {}).items() if name not in _KEPT}
    metadata |= {name: live["metadata"][name] for name in _KEPT if name in live["metadata"]}
    metadata |= {name: live["metadata"][name] for name in ("name", "namespace") if name in live["metadata"]}
    result = {**obj, "metadata": metadata}
    if "status" in kind.subresources:
        result.pop("status", None)
        if "status" in live:
            result["status"] = live["status"]
    if kind.kind == "Service" and not kind.custom:
        spec = dict(result.get("spec") or {})
        if spec.get("type") != "ExternalName":
            for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.setdefault(name, live.get("spec", {}).get(name))
        result["spec"] = {name: value for name, value in spec.items() if value is not None}
        addresses.allocate(result)
    if kind.kind == "Namespace":
        result["spec"] = live["spec"]
    check_stored(result, kind, live)
    if kind.generation and _counts(live, result, kind):
        metadata["generation"] = live["metadata"].get("generation", 0) + 1
    return result


def status_updated(live: Object, obj: Object) -> Object:
    """The object as a write to its status endpoint leaves it: nothing but the status changes."""
    metadata = dict(live["metadata"])
    metadata.pop("managedFields", None)
    if "managedFields" in obj.get("metadata", {}):
        metadata["managedFields"] = obj["metadata"]["managedFields"]
    result = {**live, "metadata": metadata}
    result.pop("status", None)
    return {**result, "status": obj["status"]} if "status" in obj else result


def _counts(live: Object, new: Object, kind: Kind) -> bool:
    """Whether a change raises the generation; a Deployment hands its annotations on, so they count too."""
    beside = {"metadata", "status"} if "status" in kind.subresources else {"metadata"}
    if any(live.get(name) != new.get(name) for name in (live.keys() | new.keys()) - beside):
        return True
    return kind.kind == "Deployment" and live["metadata"].get("annotations") != new["metadata"].get("annotations")
