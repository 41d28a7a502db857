"""The scale subresource: a workload's replicas seen as an object of their own."""

from __future__ import annotations

from typing import Any

from agent.sandbox.apply import read_entries

Object = dict[str, Any]


def scale_of(obj: Object) -> Object:
    """The Scale of a workload."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = (obj.get("spec", {}).get("selector") or {}).get("matchLabels") or {}
    replicas = obj.get("spec", {}).get("replicas", 0)
    selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {
            "replicas": obj.get("status", {}).get("replicas", 0),
            **({"selector": selector} if selector else {}),
        },
    }


def scaled(obj: Object, scale: Object) -> Object:
    """The workload with the replicas of a Scale."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    return {**obj, "spec": {**obj.get("spec", {}), "replicas": replicas}}


def tracks_replicas(obj: Object) -> bool:
    """Whether anyone manages the replicas; a scaling is entered into managedFields only then, as in Kubernetes."""
    return any(("f:spec", "f:replicas") in entry.fields for entry in read_entries(obj).values())
