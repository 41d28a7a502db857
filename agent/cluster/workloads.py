"""The workloads of the cluster, kept current by watches and trimmed to what the lists and releases need.

One thread for each kind and namespace scope lists once, then follows the watch. A broken watch, or one that the
server ends with 410, is listed again after a pause with jitter. Reads take the finished snapshot: no request, no
parsing. How a rollout stands is told as Flux v1 told it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.model.errors import ClusterError, StoppedError
from agent.model.ids import WorkloadId
from agent.model.resources import Resource
from agent.model.workloads import Container, Rollout, View, Workload, WorkloadSnapshot

_VERBS = frozenset({"list", "watch"})
KINDS = (
    Resource("apps", "v1", "DaemonSet", "daemonsets", namespaced=True, verbs=_VERBS),
    Resource("apps", "v1", "Deployment", "deployments", namespaced=True, verbs=_VERBS),
    Resource("apps", "v1", "StatefulSet", "statefulsets", namespaced=True, verbs=_VERBS),
    Resource("batch", "v1", "CronJob", "cronjobs", namespaced=True, verbs=_VERBS),
)
WATCH_SECONDS = 300
"""How long the server is asked to keep one watch open."""
CATCH_UP = 2.0
"""Seconds that a finished sync waits for the lists to show it; they are milliseconds behind."""
_PAUSES = (1.0, 30.0)
_ANTECEDENTS = ("helm.fluxcd.io/antecedent", "flux.weave.works/antecedent")
_ADDON_MODES = ("EnsureExists", "Reconcile")
_REFUSALS = frozenset({403, 404})
"""What the server answers where a kind may not be listed or is not served: no waiting helps."""


class Client(Protocol):
    """What watching needs of a client."""

    def list_objects(self, path: str) -> tuple[str, Iterator[dict[str, Any]]]:
        """The resourceVersion to watch from, and the objects."""

    def watch(self, path: str, resource_version: str, *, seconds: int) -> Iterator[dict[str, Any]]:
        """Changes since then."""


@dataclass(slots=True)
class _Feed:
    """One kind in one scope: its workloads, whether the watch is up, and what is wrong where it is not."""

    resource: Resource
    namespace: str
    workloads: dict[tuple[str, str], Workload]
    version: str = ""
    live: bool = False
    as_of: float = 0.0
    error: str = ""
    refused: bool = False


class WorkloadWatcher:
    """Keeps the snapshot; `run` is one thread's loop for one feed."""

    def __init__(
        self,
        client: Client,
        namespaces: Iterable[str],
        stop: threading.Event,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`namespaces` are the only ones to watch; none watches all. `changed` is called when the snapshot changes."""
        self._client = client
        self._changed = changed
        self._stop = stop
        self._lock = threading.Lock()
        self._feeds = [_Feed(kind, scope, {}) for kind in KINDS for scope in (tuple(namespaces) or ("",))]
        self._snapshot = WorkloadSnapshot()
        self._stale = True
        self._moved = threading.Condition(self._lock)

    def loops(self) -> list[tuple[str, Callable[[], None]]]:
        """The loops to run, each in a thread of its own, with their names."""
        return [
            (f"watch-{feed.resource.plural}-{feed.namespace or 'all'}", _bound(self._run, feed)) for feed in self._feeds
        ]

    def ready(self) -> bool:
        """Whether every kind has been listed once, or is known not to be readable."""
        return not self.snapshot().not_ready

    def snapshot(self) -> WorkloadSnapshot:
        """All workloads as of now, ordered by id."""
        now = time.time()
        with self._lock:
            if self._stale:
                workloads = [workload for feed in self._feeds for workload in feed.workloads.values()]
                self._snapshot = WorkloadSnapshot(tuple(sorted(workloads, key=lambda workload: str(workload.id))))
                self._stale = False
            as_of = min((now if feed.live else feed.as_of for feed in self._feeds), default=now)
            notices = tuple(sorted({feed.error for feed in self._feeds if feed.error}))
            views = tuple(map(_view, self._feeds))
            return WorkloadSnapshot(self._snapshot.workloads, as_of, notices, views, _why_not_ready(self._feeds))

    def _run(self, feed: _Feed) -> None:
        pause = _PAUSES[0]
        while not self._stop.is_set():
            try:
                version = self._list(feed)
                pause = _PAUSES[0]
                self._follow(feed, version)
            except StoppedError:
                return
            except ClusterError as error:
                self._down(feed, error)
                if error.status == 410:
                    self._rest(_PAUSES[0])
                    continue
                pause = min(pause * 2, _PAUSES[1])
                self._rest(pause)

    def _rest(self, seconds: float) -> None:
        self._stop.wait(seconds * (0.5 + random.random()))  # noqa: S311 # jitter is no secret

    def _list(self, feed: _Feed) -> str:
        version, items = self._client.list_objects(feed.resource.path(feed.namespace))
        found = {}
        for item in items:
            workload = workload_of(item, feed.resource.kind)
            found[workload.id.namespace, workload.id.name] = workload
        with self._lock:
            feed.workloads, feed.live, feed.as_of, feed.error = found, True, time.time(), ""
            self._advance(feed, version)
        self._changed()
        return version

    def _follow(self, feed: _Feed, version: str) -> None:
        """Follow the watch, opening it again where the server ends it in order."""
        while not self._stop.is_set():
            path, opened = feed.resource.path(feed.namespace), time.monotonic()
            for event in self._client.watch(path, version, seconds=WATCH_SECONDS):
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ClusterError(str(status.get("message", "")), status=int(status.get("code", 0)))
                version = event["object"]["metadata"]["resourceVersion"]
                self._take(feed, event)
                if self._stop.is_set():
                    return
            if time.monotonic() - opened < _PAUSES[0]:
                self._rest(_PAUSES[0])

    def _take(self, feed: _Feed, event: dict[str, Any]) -> None:
        version = event["object"]["metadata"]["resourceVersion"]
        if event["type"] == "BOOKMARK":
            with self._lock:
                feed.version = version
            return
        workload = workload_of(event["object"], feed.resource.kind)
        key = workload.id.namespace, workload.id.name
        with self._lock:
            before = feed.workloads.pop(key, None)
            after = None if event["type"] == "DELETED" else workload
            if after is not None:
                feed.workloads[key] = after
            self._advance(feed, version)
        if before != after:  # most events of a rollout change nothing that is shown
            self._changed()

    def _advance(self, feed: _Feed, version: str) -> None:
        """The feed has changed; the lock is held."""
        feed.version = version
        self._stale = True
        self._moved.notify_all()

    def catch_up(self, newest: Mapping[tuple[str, str], int]) -> None:
        """Wait until the lists show these versions (by group/plural and namespace), but no longer than two seconds.

        resourceVersions are compared as numbers, as Kubernetes allows within one kind since 1.35.
        """
        deadline = time.monotonic() + CATCH_UP
        with self._moved:
            while any(_is_behind(feed, newest) for feed in self._feeds):
                left = deadline - time.monotonic()
                if left <= 0 or self._stop.is_set():
                    return
                self._moved.wait(left)

    def _down(self, feed: _Feed, error: ClusterError) -> None:
        with self._lock:
            if feed.live:
                feed.live, feed.as_of = False, time.time()
            feed.error = f"{feed.resource.plural} cannot be watched: {error}"
            feed.refused = error.status in _REFUSALS
        self._changed()


def _why_not_ready(feeds: Iterable[_Feed]) -> str:
    """Which kinds nobody has seen yet, and what is in the way; one that may not be listed is not waited for."""
    waiting = [feed for feed in feeds if not (feed.as_of or feed.refused)]
    if not waiting:
        return ""
    kinds = ", ".join(sorted({feed.resource.plural for feed in waiting}))
    errors = "; ".join(sorted({feed.error for feed in waiting if feed.error})[:1])
    return f"the workloads have not been listed yet: {errors or kinds}"


def _view(feed: _Feed) -> View:
    resource = feed.resource
    trouble = feed.error or ("" if feed.live else f"{resource.plural} have not been listed yet")
    return View(f"{resource.group}/{resource.plural}", resource.kind.lower(), feed.namespace, feed.version, trouble)


def _is_behind(feed: _Feed, newest: Mapping[tuple[str, str], int]) -> bool:
    return feed.live and _view(feed).misses(newest)


def _bound(method: Callable[[_Feed], None], feed: _Feed) -> Callable[[], None]:
    return lambda: method(feed)


def workload_of(item: Mapping[str, Any], kind: str) -> Workload:
    """One object of the API server as a workload."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    rollout, pod = _rollout(kind, spec, status), _pod_of(spec, kind)
    return Workload(
        id=WorkloadId(metadata.get("namespace", ""), kind.lower(), metadata["name"]),
        containers=_containers(pod),
        status=_status(kind, metadata, status, rollout),
        rollout=rollout,
        labels=labels,
        antecedent=next((annotations[key] for key in _ANTECEDENTS if key in annotations), ""),
        system=is_addon(metadata.get("namespace", ""), labels),
        pull_secrets=tuple(item["name"] for item in pod.get("imagePullSecrets") or () if item.get("name")),
        service_account=pod.get("serviceAccountName") or "default",
    )


def _pod_of(spec: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    if kind == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    pod: Mapping[str, Any] = (spec.get("template") or {}).get("spec") or {}
    return pod


def _containers(pod: Mapping[str, Any]) -> tuple[Container, ...]:
    return tuple(
        Container(entry["name"], entry.get("image", ""), init)
        for field, init in (("containers", False), ("initContainers", True))
        for entry in pod.get(field) or ()
    )


def _rollout(kind: str, spec: Mapping[str, Any], status: Mapping[str, Any]) -> Rollout:
    if kind == "DaemonSet":
        updated = status.get("updatedNumberScheduled", 0)
        return Rollout(
            desired=status.get("desiredNumberScheduled", 0),
            updated=updated,
            ready=status.get("numberReady", 0),
            available=status.get("numberAvailable", 0),
            outdated=status.get("currentNumberScheduled", 0) - updated,
        )
    if kind == "Deployment":
        updated = status.get("updatedReplicas", 0)
        return Rollout(
            desired=spec.get("replicas", 1),
            updated=updated,
            ready=status.get("readyReplicas", 0),
            available=status.get("availableReplicas", 0),
            outdated=status.get("replicas", 0) - updated,
            messages=_complaints(status.get("conditions") or ()),
        )
    if kind == "StatefulSet":
        return _stateful_rollout(spec, status)
    return Rollout()


def _stateful_rollout(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Rollout:
    """A partition keeps the pods below it at the old revision on purpose: they are not waited for."""
    replicas = spec.get("replicas", 1)
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    partition = min(rolling.get("partition") or 0, replicas)
    rolled_out = status.get("currentRevision") == status.get("updateRevision")
    updated = status.get("currentReplicas" if rolled_out else "updatedReplicas", 0)
    if not rolled_out and updated >= replicas - partition:
        updated = replicas
    ready = status.get("readyReplicas", 0)
    # A StatefulSet reports no available pods before Kubernetes 1.22: as v1, ready ones count.
    return Rollout(desired=replicas, updated=updated, ready=ready, available=ready, outdated=max(replicas - updated, 0))


def _complaints(conditions: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """What a Deployment says of a rollout that is stuck."""
    bad = {("Progressing", "False"), ("ReplicaFailure", "True")}
    return tuple(
        str(condition.get("message", ""))
        for condition in conditions
        if (condition.get("type"), condition.get("status")) in bad
    )


def _status(kind: str, metadata: Mapping[str, Any], status: Mapping[str, Any], rollout: Rollout) -> str:
    if kind == "CronJob":
        return "ready"
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        return "started"
    if rollout.messages:
        return "error"
    done = rollout.updated == rollout.desired == rollout.available and not rollout.outdated
    return "ready" if done else "updating"


def is_addon(namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether the cluster's own add-on manager keeps it: nobody's to change through git."""
    return namespace == "kube-system" and (
        labels.get("kubernetes.io/cluster-service") == "true"
        or labels.get("addonmanager.kubernetes.io/mode") in _ADDON_MODES
    )
