"""The same seeded requests to both servers at once: every answer and every stored object must be the same.

Kinds that no controller of the real cluster touches, in two names; nine kinds of requests over small random objects.
What differs by nature (identities, revisions, times, addresses) is taken out before comparing.
"""

from __future__ import annotations

import copy
import json
import random

import pytest
from conformance_api import APPLY, CONTROLLERS, JSON, MERGE, STRATEGIC, fresh

pytestmark = pytest.mark.controlplane

STEPS = 120
_VOLATILE = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")


@pytest.mark.parametrize("plural", ["configmaps", "services", "widgets", "cronjobs"])
def test_both_servers_answer_alike(sandbox_api, plane, real_api, plural):
    dice, namespace = random.Random(plural), fresh("same")
    servers = (sandbox_api, real_api)
    for server in servers:
        server.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    base = f"{_ROOTS[plural]}/namespaces/{namespace}/{plural}"
    for step in range(STEPS):
        path = f"{base}/{dice.choice(['x', 'y'])}"
        request = _request(dice, plural, base, path)
        told = [_comparable(server.call(*request[0], **request[1])) for server in servers]
        kept = [_comparable(server.call("GET", path)) for server in servers]
        assert told[0] == told[1], f"step {step}: {request}"
        assert kept[0] == kept[1], f"step {step}: {request}"
    for server in servers:
        for name in "xy":
            server.call("PATCH", f"{base}/{name}", {"metadata": {"finalizers": None}}, media=MERGE)
        server.call("DELETE", f"/api/v1/namespaces/{namespace}")


_ROOTS = {
    "configmaps": "/api/v1",
    "services": "/api/v1",
    "widgets": "/apis/suite.example/v1",
    "cronjobs": "/apis/batch/v1",
}


def _request(dice, plural, base, path):
    body = _object(dice, plural, path.rpartition("/")[2])
    verb = dice.choice(["apply"] * 5 + ["post", "put", "merge", "json", "strategic", "delete", "forget"])
    if verb == "apply":
        query = {"fieldManager": dice.choice(["flux", "other", "kubectl"])}
        query |= {"force": "true"} if dice.random() < 0.6 else {}
        query |= {"dryRun": "All"} if dice.random() < 0.2 else {}
        return ("PATCH", path, body), {"media": APPLY, **query}
    if verb == "json":
        pointer = dice.choice(["/metadata/labels", "/metadata/labels/a", "/metadata/annotations"])
        value = "9" if pointer.endswith("/a") else {"a": "9"}
        operation = {"op": dice.choice(["add", "replace", "remove", "test"]), "path": pointer, "value": value}
        return ("PATCH", path, [operation]), {"media": JSON, "fieldManager": "json"}
    if verb == "forget":
        return ("PATCH", path, {"metadata": {"managedFields": [{}]}}), {"media": MERGE}
    if verb == "delete":
        return ("DELETE", path), {}
    if verb in ("post", "put"):
        return ("POST", base, body) if verb == "post" else ("PUT", path, body), {}
    media = STRATEGIC if verb == "strategic" and plural != "widgets" else MERGE
    return ("PATCH", path, body), {"media": media, "fieldManager": verb}


def _some(dice, entries, chance=0.6):
    return {name: value for name, value in entries.items() if dice.random() < chance}


def _object(dice, plural, name):
    metadata = {"name": name, "labels": _some(dice, {"a": dice.choice("12"), "b": "1"})}
    metadata |= _some(dice, {"annotations": {"n": dice.choice("12")}, "finalizers": ["suite.example/h"]}, 0.2)
    kind, make = _MAKERS[plural]
    return {"apiVersion": _ROOTS[plural].partition("s/")[2] or "v1", "kind": kind, "metadata": metadata, **make(dice)}


def _config_map(dice):
    return {"data": _some(dice, {"a": dice.choice("12"), "b": dice.choice(["", "1"]), "c": "1"})}


def _service(dice):
    ports = []
    for port in dice.sample([80, 81, 82], dice.randint(1, 3)):
        optional = {"protocol": "TCP", "targetPort": dice.choice([8080, "http"])}
        ports.append({"name": f"p{port}", "port": port, **_some(dice, optional, 0.4)})
    return {"spec": {"selector": {"app": dice.choice("ab")}, "ports": ports}}


def _widget(dice):
    spec = {
        "size": dice.choice([1, 2]),
        "parts": [{"name": part, "n": dice.choice([1, 2])} for part in dice.sample("pqr", dice.randint(1, 3))],
        "free": dice.choice([{"x": {"y": 1}, "z": [1]}, {"x": {"y": 2}}]),
        "tags": _some(dice, {"t": dice.choice("12"), "u": "1"}),
    }
    return {"spec": _some(dice, spec)}


def _cron_job(dice):
    containers = [_container(dice, name) for name in dice.sample("cde", dice.randint(1, 3))]
    volumes = [{"name": "v", "configMap": {"name": dice.choice("pq")}}, {"name": "w", "emptyDir": {}}]
    optional = {"nodeSelector": {"x": dice.choice("12")}, "imagePullSecrets": [{"name": dice.choice("qr")}]}
    pod = {"restartPolicy": "Never", "containers": containers, "volumes": volumes, **_some(dice, optional, 0.3)}
    spec = {"schedule": "0 0 31 2 *", "suspend": True, "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    return {"spec": spec}


def _container(dice, name):
    optional = {
        "env": [{"name": v, **_some(dice, {"value": dice.choice(["1", ""])})} for v in dice.sample("ABC", 2)],
        "ports": [{"containerPort": 80, **_some(dice, {"protocol": "TCP", "name": "http"})}],
        "resources": _some(dice, {"limits": {"cpu": dice.choice(["1000m", "2"])}, "requests": {"memory": "1024Mi"}}),
        "args": dice.choice([["a"], ["a", "b"]]),
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "livenessProbe": {"httpGet": {"path": dice.choice(["/", "/h"]), "port": 80}},
    }
    return {"name": name, "image": dice.choice(["i:1", "i:2", "i"]), **_some(dice, optional, 0.4)}


_MAKERS = {
    "configmaps": ("ConfigMap", _config_map),
    "services": ("Service", _service),
    "widgets": ("Widget", _widget),
    "cronjobs": ("CronJob", _cron_job),
}


def _comparable(answer):
    body = copy.deepcopy(answer.json())
    metadata = body.get("metadata") or {}
    for name in _VOLATILE:
        metadata.pop(name, None)
    entries = [entry for entry in metadata.pop("managedFields", ()) if entry["manager"] not in CONTROLLERS]
    for entry in entries:
        entry["time"] = "time" in entry
    if body.get("kind") == "Status":
        return answer.status_code, _status(body)
    body.pop("status", None)
    for name in ("clusterIP", "clusterIPs"):
        (body.get("spec") or {}).pop(name, None)
    return answer.status_code, body, sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True))


def _status(body):
    """Conflicts come in no order, and the uid of a deletion is a volatile one."""
    details = body.get("details") or {}
    details.pop("uid", None)
    details.get("causes", []).sort(key=json.dumps)
    return {**body, "message": sorted(body.get("message", "").splitlines())} if "causes" not in details else details
