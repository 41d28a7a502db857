"""What controllers do in a cluster, as far as someone looks: workloads become ready, custom kinds served, things go.

One thread follows the store. It makes no pods: a workload's status says after a moment that all its replicas are up.
A new CustomResourceDefinition is established, a namespace that is being deleted is emptied, and deletions in the
foreground come to their end.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from agent.sandbox.answers import Refusal
from agent.sandbox.apply import Manager, Write, update
from agent.sandbox.calls import now
from agent.sandbox.kinds import Catalogue, Kind
from agent.sandbox.store import Event, Kept, Store
from agent.sandbox.verbs import NAMESPACES

Object = dict[str, Any]

DEFINITIONS: Kept = ("apiextensions.k8s.io", "customresourcedefinitions")
WORKLOADS: tuple[Kept, ...] = (("apps", "deployments"), ("apps", "statefulsets"), ("apps", "daemonsets"))

_COLLECTOR = ("foregroundDeletion", "orphan")
_IDLE = 5.0

Place = tuple[Kept, str, str]
"""Kind, namespace and name of an object."""


class Controllers:
    """The thread; `delay` is in seconds, from a change of a workload to its readiness."""

    def __init__(self, store: Store, catalogue: Catalogue, delay: float) -> None:
        self._store = store
        self._catalogue = catalogue
        self._delay = delay
        self._due: dict[Place, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-controllers", daemon=True)

    def start(self) -> None:
        """Start to follow the store."""
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Stop, and wait for that at most `deadline` seconds."""
        self._stop.set()
        self._store.wake()
        self._thread.join(deadline)

    def _run(self) -> None:
        seen = self._store.revision
        while not self._stop.is_set():
            try:
                events, seen = self._store.after(seen)
            except Refusal:  # too much happened at once: look at everything
                events, seen = self._everything(), self._store.revision
            for event in events:
                self._notice(event)
            self._finish_rollouts()
            self._empty_namespaces()
            soonest = min(self._due.values(), default=time.monotonic() + _IDLE)
            self._store.wait(seen, max(0.0, min(_IDLE, soonest - time.monotonic())))

    def _everything(self) -> list[Event]:
        kinds = self._store.kinds()
        return [Event(0, "MODIFIED", kept, obj) for kept in kinds for obj in self._store.all(kept)]

    def _notice(self, event: Event) -> None:
        metadata = event.obj["metadata"]
        if event.kept == DEFINITIONS:
            self._define(event)
        if event.kind != "DELETED" and "deletionTimestamp" in metadata:
            self._collect(event)
        if event.kept in WORKLOADS:
            place = (event.kept, metadata["namespace"], metadata["name"])
            observed = event.obj.get("status", {}).get("observedGeneration")
            if event.kind == "DELETED":
                self._due.pop(place, None)
            elif observed != metadata.get("generation"):
                self._due.setdefault(place, time.monotonic() + self._delay)

    def _finish_rollouts(self) -> None:
        moment = time.monotonic()
        for place in [place for place, due in self._due.items() if due <= moment]:
            del self._due[place]
            with self._store.lock:
                live = self._store.get(*place)
                kind = self._catalogue.kept_as(place[0])
                if live and kind:
                    self._set_status(kind, live, ready_status(live))

    def _set_status(self, kind: Kind, live: Object, status: Object) -> None:
        manager = Manager("kube-controller-manager", "Update", kind.api_version, "status")
        write = Write(kind.shape, manager, now(), lambda path: path[:1] == ("f:status",))
        self._store.put(kind.stored_as, update(live, {**live, "status": status}, write))

    def _define(self, event: Event) -> None:
        name = event.obj["metadata"]["name"]
        spec = event.obj["spec"]
        if event.kind == "DELETED":
            self._catalogue.forget(name)
            for obj in self._store.all((spec["group"], spec["names"]["plural"])):
                self._store.remove((spec["group"], spec["names"]["plural"]), obj)
            return
        self._catalogue.define(event.obj)
        kind = self._catalogue.kept_as(DEFINITIONS)
        with self._store.lock:
            live = self._store.get(DEFINITIONS, "", name)
            if kind and live and not live.get("status", {}).get("conditions"):
                self._set_status(kind, live, _established(live))

    def _collect(self, event: Event) -> None:
        """Take the garbage collector's finalizers off; there are no dependents to wait for."""
        metadata = event.obj["metadata"]
        with self._store.lock:
            live = self._store.get(event.kept, metadata.get("namespace", ""), metadata["name"])
            if live is None or not set(_COLLECTOR) & set(live["metadata"].get("finalizers") or ()):
                return
            left = [name for name in live["metadata"]["finalizers"] if name not in _COLLECTOR]
            fresh = {**live, "metadata": {**live["metadata"], "finalizers": left}}
            if left or event.kept == NAMESPACES:
                self._store.put(event.kept, fresh)
            else:
                self._store.remove(event.kept, fresh)

    def _empty_namespaces(self) -> None:
        for namespace in self._store.all(NAMESPACES):
            if "deletionTimestamp" in namespace["metadata"]:
                with self._store.lock:
                    self._empty(namespace)

    def _empty(self, namespace: Object) -> None:
        name, waiting = namespace["metadata"]["name"], False
        for kept in self._store.kinds():
            for obj in [] if kept == NAMESPACES else self._store.all(kept, name):
                if not obj["metadata"].get("finalizers"):
                    self._store.remove(kept, obj)
                    continue
                waiting = True
                if "deletionTimestamp" not in obj["metadata"]:
                    metadata = {**obj["metadata"], "deletionTimestamp": now()}
                    self._store.put(kept, {**obj, "metadata": metadata})
        if not waiting and not namespace["metadata"].get("finalizers"):
            self._store.remove(NAMESPACES, namespace)


_DAEMON_COUNTS = (
    "currentNumberScheduled",
    "desiredNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
)
_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")


def ready_status(obj: Object) -> Object:
    """The status of a workload whose replicas are all up to date, ready and available."""
    generation = obj["metadata"].get("generation", 1)
    status: Object = {"observedGeneration": generation}
    if obj["kind"] == "DaemonSet":
        return {**status, "numberMisscheduled": 0, **dict.fromkeys(_DAEMON_COUNTS, 1)}
    replicas = obj.get("spec", {}).get("replicas", 1)
    name = obj["metadata"]["name"]
    if obj["kind"] == "StatefulSet":
        revision = f"{name}-{generation}"
        counts = dict.fromkeys((*_COUNTS, "currentReplicas"), replicas)
        return {**status, **counts, "currentRevision": revision, "updateRevision": revision}
    conditions = [
        _condition("Available", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        _condition("Progressing", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.'),
    ]
    counts = dict.fromkeys(_COUNTS, replicas) if replicas else {}
    return {**status, **counts, "conditions": _with_times(conditions, obj)}


def _condition(type_: str, reason: str, message: str) -> Object:
    moment = now()
    times = {"lastUpdateTime": moment, "lastTransitionTime": moment}
    return {"type": type_, "status": "True", **times, "reason": reason, "message": message}


def _with_times(conditions: list[Object], obj: Object) -> list[Object]:
    """Conditions that held before keep the time since when they do."""
    known = {item["type"]: item for item in obj.get("status", {}).get("conditions") or ()}
    for condition in conditions:
        before = known.get(condition["type"])
        if before and before.get("status") == condition["status"]:
            condition["lastTransitionTime"] = before.get("lastTransitionTime", condition["lastTransitionTime"])
    return conditions


def _established(definition: Object) -> Object:
    moment = now()
    told = (
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    )
    return {
        "conditions": [
            {"type": type_, "status": "True", "lastTransitionTime": moment, "reason": reason, "message": message}
            for type_, reason, message in told
        ],
        "acceptedNames": definition["spec"]["names"],
        "storedVersions": [version["name"] for version in definition["spec"]["versions"] if version.get("storage")],
    }
