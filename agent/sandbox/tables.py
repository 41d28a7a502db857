"""Objects as they are asked for: whole, their metadata alone, or as the rows of a table for kubectl. Pure.

The tables of the kinds that people look at have the real server's columns; every other kind has a name and an age.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any

from agent.sandbox.kinds import Kind

Object = dict[str, Any]
Column = tuple[str, str, int]
"""Name, type, priority: priority 1 is shown by `-o wide` only."""

NONE = "<none>"


def age(created: str, now: dt.datetime) -> str:
    """How long ago a time was, as kubectl words it: `5s`, `3m20s`, `47h`, `12d`."""
    try:
        then = dt.datetime.fromisoformat(created)
    except ValueError:
        return "<unknown>"
    seconds = max(0, int((now - then).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y{days % 365}d"


def partial(obj: Object) -> Object:
    """The metadata of an object, as an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(kind: Kind, objects: Iterable[Object], meta: Object, *, include: str = "Metadata") -> Object:
    """The Table of some objects.

    Args:
        kind: Their kind.
        objects: In the order of the rows.
        meta: The Table's own metadata.
        include: What each row carries besides its cells: `Metadata`, `Object` or `None`.
    """
    columns, cells = _layout(kind)
    now = dt.datetime.now(dt.UTC)
    rows = []
    for obj in objects:
        row: Object = {"cells": [_cell(cell, obj, now) for cell in cells(obj)]}
        if include != "None":
            row["object"] = obj if include == "Object" else partial(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [
            {
                "name": name,
                "type": type_,
                "format": "name" if name == "Name" else "",
                "description": name,
                "priority": priority,
            }
            for name, type_, priority in columns
        ],
        "rows": rows,
    }


_AGE = object()
"""The place of the age among a row's cells."""


def _cell(cell: Any, obj: Object, now: dt.datetime) -> Any:
    return age(obj["metadata"].get("creationTimestamp", ""), now) if cell is _AGE else cell


def _columns(text: str) -> tuple[Column, ...]:
    """Read `Name Up-to-date Desired:integer Images*`: a type behind a colon, a star for `-o wide`, _ for a space."""
    found = []
    for word in text.split():
        name, _, type_ = word.rstrip("*").partition(":")
        found.append((name.replace("_", " "), type_ or "string", int(word.endswith("*"))))
    return tuple(found)


def _layout(kind: Kind) -> tuple[tuple[Column, ...], Callable[[Object], list[Any]]]:
    text, cells = _LAYOUTS.get("" if kind.custom else kind.kind, _LAYOUTS[""])
    return _columns(text), cells


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _pod_columns(obj: Object) -> list[Any]:
    containers = ((obj["spec"].get("template") or {}).get("spec") or {}).get("containers") or ()
    return [
        ",".join(str(item.get("name", "")) for item in containers),
        ",".join(str(item.get("image", "")) for item in containers),
    ]


def _selector(obj: Object, *path: str) -> str:
    node: Any = obj["spec"]
    for step in path:
        node = (node or {}).get(step)
    return ",".join(f"{name}={value}" for name, value in sorted((node or {}).items())) or NONE


def _deployment(obj: Object) -> list[Any]:
    status = obj.get("status", {})
    ready = f"{status.get('readyReplicas', 0)}/{obj['spec'].get('replicas', 0)}"
    counts = [status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]
    return [_name(obj), ready, *counts, _AGE, *_pod_columns(obj), _selector(obj, "selector", "matchLabels")]


def _stateful_set(obj: Object) -> list[Any]:
    ready = f"{obj.get('status', {}).get('readyReplicas', 0)}/{obj['spec'].get('replicas', 0)}"
    return [_name(obj), ready, _AGE, *_pod_columns(obj)]


def _daemon_set(obj: Object) -> list[Any]:
    status = obj.get("status", {})
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    counts = [status.get(name, 0) for name in names]
    nodes = _selector(obj, "template", "spec", "nodeSelector")
    return [_name(obj), *counts, nodes, _AGE, *_pod_columns(obj), _selector(obj, "selector", "matchLabels")]


def _cron_job(obj: Object) -> list[Any]:
    spec, inner = obj["spec"], {"spec": obj["spec"].get("jobTemplate", {}).get("spec", {})}
    zone, active = spec.get("timeZone", NONE), len(obj.get("status", {}).get("active") or ())
    return [
        _name(obj),
        spec.get("schedule", ""),
        zone,
        spec.get("suspend", False),
        active,
        NONE,
        _AGE,
        *_pod_columns(inner),
        NONE,
    ]


def _service(obj: Object) -> list[Any]:
    spec = obj["spec"]
    ports = ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or ())
    address = spec.get("clusterIP") or NONE
    return [_name(obj), spec.get("type", ""), address, NONE, ports or NONE, _AGE, _selector(obj, "selector")]


def _config_map(obj: Object) -> list[Any]:
    return [_name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), _AGE]


def _secret(obj: Object) -> list[Any]:
    return [_name(obj), obj.get("type", ""), len(obj.get("data") or ()), _AGE]


def _ingress(obj: Object) -> list[Any]:
    spec = obj.get("spec", {})
    hosts = ",".join(rule.get("host") or "*" for rule in spec.get("rules") or ()) or "*"
    return [_name(obj), spec.get("ingressClassName", NONE), hosts, "", "80, 443" if spec.get("tls") else "80", _AGE]


def _named(*values: Callable[[Object], Any]) -> Callable[[Object], list[Any]]:
    return lambda obj: [_name(obj), *(value(obj) for value in values)]


def _created(obj: Object) -> Any:
    return obj["metadata"].get("creationTimestamp", "")


_WORKLOAD = "Containers* Images* Selector*"
_LAYOUTS: dict[str, tuple[str, Callable[[Object], list[Any]]]] = {
    "": ("Name Age", lambda obj: [_name(obj), _AGE]),
    "Deployment": (f"Name Ready Up-to-date Available Age {_WORKLOAD}", _deployment),
    "StatefulSet": ("Name Ready Age Containers* Images*", _stateful_set),
    "DaemonSet": (
        "Name Desired:integer Current:integer Ready:integer Up-to-date:integer Available:integer Node_Selector Age "
        + _WORKLOAD,
        _daemon_set,
    ),
    "CronJob": (
        f"Name Schedule Timezone Suspend:boolean Active:integer Last_Schedule Age {_WORKLOAD}",
        _cron_job,
    ),
    "Service": ("Name Type Cluster-IP External-IP Port(s) Age Selector*", _service),
    "ConfigMap": ("Name Data Age", _config_map),
    "Secret": ("Name Type Data Age", _secret),
    "Ingress": ("Name Class Hosts Address Ports Age", _ingress),
    "Namespace": ("Name Status Age", _named(lambda obj: obj.get("status", {}).get("phase", ""), lambda _: _AGE)),
    "NetworkPolicy": (
        "Name Pod-Selector Age",
        lambda obj: [_name(obj), _selector(obj, "podSelector", "matchLabels"), _AGE],
    ),
    "CustomResourceDefinition": ("Name Created_At:date", _named(_created)),
    "Role": ("Name Created_At:date", _named(_created)),
    "ClusterRole": ("Name Created_At:date", _named(_created)),
}
