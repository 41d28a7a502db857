"""The workloads of a revision as git defines them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from agent.manifests.edit_values import POD_SPECS
from agent.model.ids import WorkloadId
from agent.model.resources import Manifest
from agent.model.updates import Definition
from agent.model.workloads import Container


def definitions(manifests: Iterable[Manifest], default_namespace: str, read_only: str = "") -> tuple[Definition, ...]:
    """Every workload that git defines, more than once where git defines it more than once.

    Args:
        manifests: What the revision holds.
        default_namespace: That of objects which name none.
        read_only: Why none of them can be changed through git; empty where they can.
    """
    return tuple(
        Definition(
            WorkloadId(item.namespace or default_namespace, item.kind.lower(), item.name),
            item.origin,
            _containers(json.loads(item.body), POD_SPECS[item.kind.lower()]),
            item.policies,
            read_only,
        )
        for item in manifests
        if item.kind.lower() in POD_SPECS
    )


def _containers(body: Mapping[str, Any], path: Iterable[str | int]) -> tuple[Container, ...]:
    """Containers, then init containers; what has no name or no image is none."""
    pod: Any = body
    for key in path:
        pod = pod.get(key) if isinstance(pod, dict) else None
    if not isinstance(pod, dict):
        return ()
    return tuple(
        Container(entry["name"], entry["image"], init)
        for field, init in (("containers", False), ("initContainers", True))
        for entry in _list(pod.get(field))
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("image"), str)
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
