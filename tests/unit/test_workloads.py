"""Workloads as the lists show them."""

import queue
import threading
from dataclasses import replace

import pytest

from agent.cluster.workloads import KINDS, WorkloadWatcher, workload_of
from agent.model.errors import ClusterError
from agent.model.workloads import Container, View


def item(kind="Deployment", spec=None, status=None, **metadata):
    return {
        "metadata": {"name": "web", "namespace": "demo", "generation": 2, "resourceVersion": "5", **metadata},
        "spec": spec or {},
        "status": status or {},
    }


def deployment(replicas=2, updated=2, available=2, total=2, observed=2, conditions=()):
    status = {
        "observedGeneration": observed,
        "updatedReplicas": updated,
        "availableReplicas": available,
        "readyReplicas": available,
        "replicas": total,
        "conditions": list(conditions),
    }
    return item(spec={"replicas": replicas}, status=status)


STUCK = {"type": "Progressing", "status": "False", "message": "deadline exceeded"}


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (deployment(), "ready"),
        (deployment(observed=1), "started"),
        (deployment(updated=1), "updating"),
        (deployment(available=1), "updating"),
        (deployment(total=3), "updating"),
        (deployment(conditions=[STUCK]), "error"),
        (deployment(replicas=0, updated=0, available=0, total=0), "ready"),
    ],
)
def test_a_deployments_rollout_is_told_as_v1_told_it(found, status):
    assert workload_of(found, "Deployment").status == status


def test_what_a_stuck_rollout_says_is_kept():
    assert workload_of(deployment(conditions=[STUCK]), "Deployment").rollout.messages == ("deadline exceeded",)


def stateful(replicas=3, partition=0, current="a", update="a", **status):
    spec = {"replicas": replicas, "updateStrategy": {"rollingUpdate": {"partition": partition}}}
    return item(
        spec=spec, status={"observedGeneration": 2, "currentRevision": current, "updateRevision": update, **status}
    )


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (stateful(currentReplicas=3, readyReplicas=3), "ready"),
        (stateful(currentReplicas=3, readyReplicas=2), "updating"),
        (stateful(update="b", updatedReplicas=1, readyReplicas=3), "updating"),
        (stateful(update="b", partition=2, updatedReplicas=1, readyReplicas=3), "ready"),
        (stateful(update="b", partition=2, updatedReplicas=0, readyReplicas=3), "updating"),
    ],
)
def test_a_stateful_set_with_a_partition_is_ready_when_the_rest_is(found, status):
    assert workload_of(found, "StatefulSet").status == status


def test_a_daemon_sets_numbers():
    status = {
        "observedGeneration": 2,
        "desiredNumberScheduled": 3,
        "updatedNumberScheduled": 2,
        "numberAvailable": 3,
        "numberReady": 3,
        "currentNumberScheduled": 3,
    }
    found = workload_of(item(status=status), "DaemonSet")
    assert (found.status, found.rollout.outdated) == ("updating", 1)


def test_containers_come_before_init_containers_and_a_cron_job_has_its_pod_deeper():
    pod = {
        "template": {
            "spec": {"containers": [{"name": "a", "image": "x"}], "initContainers": [{"name": "i", "image": "y"}]}
        }
    }
    expected = (Container("a", "x"), Container("i", "y", init=True))
    assert workload_of(item(spec=pod), "Deployment").containers == expected
    cron = workload_of(item(spec={"jobTemplate": {"spec": pod}}), "CronJob")
    assert (cron.containers, cron.status, str(cron.id)) == (expected, "ready", "demo:cronjob/web")


@pytest.mark.parametrize(
    ("namespace", "labels", "system"),
    [
        ("kube-system", {"kubernetes.io/cluster-service": "true"}, True),
        ("kube-system", {"addonmanager.kubernetes.io/mode": "Reconcile"}, True),
        ("kube-system", {}, False),
        ("demo", {"kubernetes.io/cluster-service": "true"}, False),
    ],
)
def test_add_ons_of_the_cluster_are_system(namespace, labels, system):
    assert workload_of(item(namespace=namespace, labels=labels), "Deployment").system is system


class Client:
    """One Deployment, then the events that the test gives; every other kind is empty and quiet."""

    def __init__(self, stop):
        self.stop = stop
        self.lists = 0
        self.events = []
        self.listed = threading.Event()
        self.shown = queue.SimpleQueue()

    def list_objects(self, path):
        if "deployments" not in path:
            return "1", iter(())
        self.lists += 1
        if self.lists > 1:
            self.listed.set()
        return "5", iter([deployment()])

    def watch(self, path, version, *, seconds):
        if "deployments" in path and self.events:
            yield from self.events.pop(0)
            return
        self.stop.wait(30)


def event(kind, name="web", version="6"):
    found = deployment()
    found["metadata"] |= {"name": name, "resourceVersion": version}
    return {"type": kind, "object": found}


@pytest.fixture
def watching(monkeypatch):
    monkeypatch.setattr("agent.cluster.workloads.CATCH_UP", 60.0)
    stop = threading.Event()
    client = Client(stop)
    watcher = WorkloadWatcher(client, (), stop, lambda: client.shown.put(1))
    threads = []

    def start(*rounds):
        client.events = list(rounds)
        for _, loop in watcher.loops():
            threads.append(threading.Thread(target=loop))
            threads[-1].start()
        return watcher, client

    yield start
    stop.set()
    for thread in threads:
        thread.join(60)


def names(watcher):
    return [workload.id.name for workload in watcher.snapshot().workloads]


def test_the_snapshot_follows_the_watch(watching):
    gone = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    watcher, _ = watching([event("ADDED", "api", "6"), event("DELETED", "web", "7"), event("ADDED", "zoo", "8"), gone])
    watcher.catch_up({("apps/deployments", "demo"): 8})
    assert names(watcher) == ["api", "zoo"]
    assert watcher.ready()


def test_a_change_that_is_not_shown_wakes_nobody(watching):
    watcher, client = watching([event("MODIFIED", "web", str(version)) for version in range(6, 40)])
    watcher.catch_up({("apps/deployments", "demo"): 39})
    assert client.shown.qsize() <= len(KINDS)
    (view,) = [view for view in watcher.snapshot().views if view.kind == "deployment"]
    assert (view.place, view.version, view.trouble) == ("apps/deployments", "39", "")


def test_a_change_that_is_shown_wakes_those_who_wait(watching):
    watcher, client = watching([event("ADDED", "api", "6"), event("DELETED", "api", "7")])
    watcher.catch_up({("apps/deployments", "demo"): 7})
    for _ in range(len(KINDS) + 2):  # each kind's list, and both changes
        client.shown.get(timeout=60)


@pytest.mark.parametrize(
    ("seen", "misses"), [("", True), ("6", True), ("7", False), ("8", False), ("no number", False)]
)
def test_a_view_is_behind_what_was_written_in_its_place_only(seen, misses):
    view = View("apps/deployments", "deployment", "demo", seen)
    assert view.misses({("apps/deployments", "demo"): 7}) is misses
    assert not view.misses({("apps/deployments", "elsewhere"): 7, ("apps/daemonsets", "demo"): 7})
    assert replace(view, namespace="").misses({("apps/deployments", "elsewhere"): 7}) is misses


def test_an_expired_watch_is_listed_again(watching):
    _, client = watching([{"type": "ERROR", "object": {"code": 410, "message": "too old"}}])
    assert client.listed.wait(60)


def test_catching_up_gives_up_after_a_moment(watching, monkeypatch):
    monkeypatch.setattr("agent.cluster.workloads.CATCH_UP", 0.05)
    watcher, _ = watching([])
    watcher.catch_up({("apps/deployments", "demo"): 99})
    watcher.catch_up({("apps/deployments", "elsewhere"): 0})


def test_what_may_not_be_watched_is_a_notice_and_readiness_does_not_wait_for_it():
    stop = threading.Event()

    class Refusing:
        def list_objects(self, path):
            stop.set()
            raise ClusterError("forbidden", status=403)

    watcher = WorkloadWatcher(Refusing(), ("demo",), stop)
    for _, loop in watcher.loops()[:1]:
        loop()
    assert watcher.snapshot().notices == ("daemonsets cannot be watched: forbidden",)
    assert "daemonsets" not in watcher.snapshot().not_ready


def test_until_every_kind_has_been_listed_it_is_said_what_is_missing_and_why():
    stop = threading.Event()

    class Down:
        def list_objects(self, path):
            stop.set()
            raise ClusterError("the API server cannot be reached", status=0)

    watcher = WorkloadWatcher(Down(), ("demo",), stop)
    unlisted = "the workloads have not been listed yet: "
    assert watcher.snapshot().not_ready == f"{unlisted}cronjobs, daemonsets, deployments, statefulsets"
    watcher.loops()[0][1]()
    assert watcher.snapshot().not_ready == f"{unlisted}daemonsets cannot be watched: the API server cannot be reached"
    assert not watcher.ready()
