"""How far a commit has come: the judgement, and the long polls and streams that tell of it."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from served_api import Reads

from agent.api.call import Call, Slots
from agent.api.errors import BusyError
from agent.api.progress import Pending, Place, Stage, progress
from agent.api.revisions import Revisions
from agent.model.access import Visible
from agent.model.errors import StoppedError
from agent.model.ids import WorkloadId
from agent.model.resources import Failure
from agent.model.status import RepositoryStatus, Status, SyncReport
from agent.model.workloads import Rollout, View, Workload, WorkloadSnapshot
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

A, B, C = "a" * 40, "b" * 40, "c" * 40
WEB, API = WorkloadId("shop", "deployment", "web"), WorkloadId("team", "deployment", "api")
VIEW = View("apps/deployments", "deployment", version="10")
APPLIED = Place(B, seen=True, attempted=True, applied=True)
READY = Rollout(1, 1, 1, 1)


def status(**changes):
    repository = RepositoryStatus("ssh://git@h/a", "master", ready=True)
    report = SyncReport(B, 1.0)
    first = Status(repository, revision_seen=B, revision_applied=B, last_sync=report, policies={WEB: {}, API: {}})
    return replace(first, **changes)


def snapshot(*workloads, view=VIEW):
    return WorkloadSnapshot(workloads, views=(view,))


def running(id_, state="ready", rollout=READY):
    return Workload(id_, (), state, rollout)


ALL_READY = snapshot(running(WEB), running(API))


def failed(*objects):
    return SyncReport(B, 1.0, failures=tuple(Failure(object_id, "refused") for object_id in objects))


@pytest.mark.parametrize(
    ("place", "changes", "cluster", "stage", "error"),
    [
        (APPLIED, {}, ALL_READY, Stage.READY, ""),
        (APPLIED, {}, snapshot(running(WEB), running(API, "")), Stage.READY, ""),
        (APPLIED, {"last_sync": failed("shop:configmap/a")}, ALL_READY, Stage.APPLIED, ""),
        (APPLIED, {"written": {("apps/deployments", "shop"): 10}}, ALL_READY, Stage.READY, ""),
        (APPLIED, {"written": {("apps/deployments", "shop"): 11}}, ALL_READY, Stage.APPLIED, "do not show yet"),
        (APPLIED, {"policies": {}}, snapshot(running(WEB, "error")), Stage.READY, ""),
        (APPLIED, {"policies": {WEB: {"ignore": "true"}}}, snapshot(), Stage.READY, ""),
        (Place(B, seen=True), {}, ALL_READY, Stage.SEEN, ""),
        (
            Place(B, seen=True, attempted=True),
            {"last_sync": SyncReport(B, 1.0, remaining=3)},
            ALL_READY,
            Stage.SEEN,
            "3 objects were not reached",
        ),
        (
            Place(B, seen=True, attempted=True),
            {"last_sync": SyncReport(B, 1.0, error="no cluster")},
            ALL_READY,
            Stage.SEEN,
            "no cluster",
        ),
        (Place(B, seen=True), {"last_sync": SyncReport(A, 1.0, error="of another")}, ALL_READY, Stage.SEEN, ""),
        (Place(C), {}, ALL_READY, Stage.UNKNOWN, "it is not on branch master"),
        (Place(), {}, ALL_READY, Stage.UNKNOWN, ""),
        (Place(), {"revision_seen": ""}, ALL_READY, Stage.UNKNOWN, "has not been fetched yet"),
        (Place(), {"repository": RepositoryStatus(error="key refused")}, ALL_READY, Stage.UNKNOWN, "key refused"),
    ],
)
def test_how_far_a_commit_has_come(place, changes, cluster, stage, error):
    found = progress(place, status(**changes), cluster, Visible())
    assert found.stage is stage
    assert error in found.error
    assert bool(error) == bool(found.error)


def test_what_is_waited_for_is_told_with_its_reason():
    stuck = Rollout(2, 1, 1, 1, messages=("no room",))
    found = progress(APPLIED, status(), snapshot(running(WEB, "error", stuck)), Visible())
    assert found.pending == (Pending(WEB, "error", stuck), Pending(API, "missing"))
    assert (found.stage, found.workloads, found.ended) == (Stage.APPLIED, 2, False)


def test_a_kind_that_cannot_be_seen_is_unknown_whatever_it_was():
    found = progress(APPLIED, status(), snapshot(running(WEB), view=replace(VIEW, trouble="forbidden")), Visible())
    assert [(item.status, item.rollout.messages) for item in found.pending] == [("unknown", ("forbidden",))] * 2


def test_what_the_agent_does_not_watch_is_not_waited_for():
    found = progress(APPLIED, status(), snapshot(running(WEB), view=replace(VIEW, namespace="shop")), Visible())
    assert (found.stage, found.workloads) == (Stage.READY, 1)


def test_what_may_not_be_seen_is_left_out_and_does_not_count():
    team = Visible(everything=False, namespaces=frozenset({"team"}))
    hidden = status(last_sync=failed("shop:configmap/a", "<cluster>:clusterrole/b"))
    found = progress(APPLIED, hidden, snapshot(running(API)), team)
    assert (found.stage, found.failures, found.pending, found.workloads) == (Stage.READY, (), (), 1)
    assert found.restricted
    own = progress(APPLIED, status(last_sync=failed("team:configmap/a", "")), snapshot(running(API)), team)
    assert [failure.object_id for failure in own.failures] == ["team:configmap/a", ""]
    assert (own.stage, own.ended) == (Stage.APPLIED, True)


class History:
    """Commits a, b and c in a line; counts what it is asked."""

    def __init__(self):
        self.asked = 0

    def resolve(self, ref):
        self.asked += 1
        return {"old": A, "master": B}.get(ref, ref if ref in (A, B, C) else "")

    def contains(self, revision, commit):
        self.asked += 1
        return commit <= revision


class Agent:
    def __init__(self):
        self.reads, self.history, self.stop = Reads(), History(), threading.Event()
        self.reads.state, self.reads.snapshot = status(), ALL_READY
        self.revisions = Revisions(self.reads, self.history)
        self.slots, self.gone = Slots(1), False
        self.call = Call(self.slots, self.stop, lambda: not self.gone, lambda: None, lambda name: "")

    def get(self, ref="", after=0, wait=0):
        request = pb.GetRevisionRequest(ref=ref, after_version=after)
        request.wait.seconds = wait
        return self.revisions.get(request, self.call).progress

    def publish(self, **changes):
        self.reads.state = replace(self.reads.state, **changes)
        self.reads.changes.touch()

    def show(self, cluster):
        self.reads.snapshot = cluster
        self.reads.changes.touch()


@pytest.fixture
def agent():
    return Agent()


def test_an_older_commit_counts_as_what_came_of_the_later_one(agent):
    assert [agent.get(ref).revision for ref in ("", "old", A)] == [B, A, A]
    assert agent.get("old").stage == pb.REVISION_STAGE_READY
    assert (agent.get(C).stage, agent.get("none").stage) == (pb.REVISION_STAGE_UNKNOWN, pb.REVISION_STAGE_UNKNOWN)
    assert agent.get("none").revision == ""


def test_a_commit_that_is_fetched_and_applied_later_is_followed_to_its_end(agent):
    first = agent.get(C)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(agent.get(C, first.version, 20)))
    waiting.start()
    agent.publish(revision_seen=C)
    waiting.join(20)
    assert (answers[0].stage, answers[0].version > first.version) == (pb.REVISION_STAGE_SEEN, True)
    agent.publish(revision_applied=C, last_sync=SyncReport(C, 2.0))
    assert agent.get(C, answers[0].version, 20).stage == pb.REVISION_STAGE_READY


def test_a_change_that_says_nothing_new_wakes_nobody_and_costs_no_git(agent):
    agent.show(snapshot(running(WEB, "updating"), running(API)))
    first = agent.get("old")
    asked = agent.history.asked
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(agent.get("old", first.version, 20)))
    waiting.start()
    for number in range(50):
        agent.publish(seen_at=float(number))
    agent.show(snapshot(running(WEB), running(API)))
    waiting.join(20)
    assert answers[0].stage == pb.REVISION_STAGE_READY
    assert agent.history.asked == asked


def test_a_version_of_an_earlier_run_is_answered_at_once(agent):
    assert agent.get(after=agent.get().version + 1000, wait=25).stage == pb.REVISION_STAGE_READY


def test_who_waits_takes_a_slot_and_who_only_asks_does_not(agent):
    with agent.slots.hold():
        version = agent.get().version
        with pytest.raises(BusyError):
            agent.get(after=version, wait=25)


def test_a_stopping_agent_tells_who_waits(agent):
    version = agent.get().version
    agent.stop.set()
    with pytest.raises(StoppedError):
        agent.get(after=version, wait=25)


def test_the_stream_tells_each_change_until_it_is_rolled_out(agent):
    stream = agent.revisions.wait(pb.WaitForRevisionRequest(ref=C), agent.call)
    stages = [next(stream).progress.stage]
    agent.publish(revision_seen=C)
    stages.append(next(stream).progress.stage)
    agent.publish(revision_applied=C, last_sync=SyncReport(C, 2.0))
    stages += [message.progress.stage for message in stream]
    assert stages == [pb.REVISION_STAGE_UNKNOWN, pb.REVISION_STAGE_SEEN, pb.REVISION_STAGE_READY]


def test_the_stream_ends_where_something_failed(agent):
    agent.publish(last_sync=failed("shop:configmap/a"))
    (message,) = agent.revisions.wait(pb.WaitForRevisionRequest(), agent.call)
    assert message.progress.failures[0].object == "shop:configmap/a"
