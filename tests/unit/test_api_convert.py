"""Model values as messages of the contract."""

import pytest
from google.protobuf.json_format import MessageToDict

from agent.api import convert
from agent.api.views import Row
from agent.api.visibility import Details
from agent.model.ids import WorkloadId
from agent.model.resources import Failure, Origin
from agent.model.status import Job, JobState, PendingDeletion, RepositoryStatus, Status, SyncProgress, SyncReport
from agent.model.workloads import Container, Rollout, Workload, WorkloadSnapshot
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

REPORT = SyncReport(
    revision="24e9eae",
    started_at=1_700_000_000.25,
    duration=1.5,
    objects=9,
    applied=1,
    unchanged=2,
    ignored=3,
    deleted=4,
    remaining=5,
    failures=(
        Failure("demo:service/web", "the port is taken", Origin("apps/web.yaml", 7), None, "c0ffee", "Ann <a@b>"),
    ),
    pending_deletions=(PendingDeletion("demo:configmap/old", "too many", "uid"),),
    deletions_hash="abc",
    notices=("one document without kind",),
    error="it took too long",
)
SUMMARY = {
    "revision": "24e9eae",
    "started_at": "2023-11-14T22:13:20.250Z",
    "duration": "1.500s",
    "objects": 9,
    "applied": 1,
    "unchanged": 2,
    "ignored": 3,
    "deleted": 4,
    "failed": 1,
    "remaining": 5,
    "error": "it took too long",
}
FAILURES = [
    {
        "object": "demo:service/web",
        "path": "apps/web.yaml",
        "line": 7,
        "reason": "the port is taken",
        "commit": "c0ffee",
        "author": "Ann <a@b>",
    }
]
SHOWN = Details(
    REPORT.failures, REPORT.pending_deletions, "abc", ("one document without kind", "no CRD"), restricted=True
)
PENDING = [{"object": "demo:configmap/old", "reason": "too many"}]


def told(message):
    return MessageToDict(message, preserving_proto_field_name=True)


def test_a_workload_carries_everything():
    item = Workload(
        WorkloadId("demo", "deployment", "shop"),
        (Container("web", "acme/shop:1.1"), Container("init", "acme/tool:1.0", init=True)),
        status="updating",
        rollout=Rollout(3, 2, 1, 1, 1, ("waiting",)),
        labels={"app": "shop"},
        antecedent="demo:helmrelease/shop",
    )
    row = Row(item, {"automated": "true", "locked": "true", "ignore": "true"}, "", "the port is taken")
    assert told(convert.workload(row)) == {
        "id": "demo:deployment/shop",
        "containers": [
            {"name": "web", "image": "acme/shop:1.1"},
            {"name": "init", "image": "acme/tool:1.0", "init": True},
        ],
        "status": "updating",
        "rollout": {"desired": 3, "updated": 2, "ready": 1, "available": 1, "outdated": 1, "messages": ["waiting"]},
        "sync_error": "the port is taken",
        "antecedent": "demo:helmrelease/shop",
        "labels": {"app": "shop"},
        "automated": True,
        "locked": True,
        "ignore": True,
        "policies": {"automated": "true", "locked": "true", "ignore": "true"},
    }


def test_the_status_joins_git_and_the_cluster():
    status = Status(
        repository=RepositoryStatus("ssh://git@h/a", "main", ("apps", "infra"), True, True, "slow", "flux-sync"),
        revision_seen="bbb",
        seen_at=1_700_000_000.0,
        revision_applied="aaa",
        revision_marked="000",
        marker_error="protected tag",
        last_sync=REPORT,
        notices=("no rights",),
    )
    snapshot = WorkloadSnapshot(as_of=1_700_000_001.0, not_ready="jobs have not been listed yet")
    assert told(convert.status(status, snapshot, SHOWN)) == {
        "repository": {
            "url": "ssh://git@h/a",
            "branch": "main",
            "paths": ["apps", "infra"],
            "read_only": True,
            "ready": True,
            "error": "slow",
            "sync_tag": "flux-sync",
        },
        "revision_seen": "bbb",
        "seen_at": "2023-11-14T22:13:20Z",
        "revision_applied": "aaa",
        "revision_marked": "000",
        "marker_error": "protected tag",
        "last_sync": SUMMARY,
        "failures": FAILURES,
        "pending_deletions": PENDING,
        "deletions_hash": "abc",
        "notices": ["one document without kind", "no CRD"],
        "workloads_as_of": "2023-11-14T22:13:21Z",
        "automation": {},
        "scanning": {},
        "restricted": True,
        "not_ready": "jobs have not been listed yet",
    }


def test_the_first_status_is_empty():
    assert told(convert.status(Status(), WorkloadSnapshot(), Details())) == {
        "repository": {},
        "automation": {},
        "scanning": {},
    }


def test_a_job_carries_its_sync():
    progress = SyncProgress("ssh://git@h/a", "main", "24e9eae", REPORT, "protected tag")
    job = Job("id-1", 1_700_000_000.0, 3, JobState.FAILED, "2 objects failed", "look at them", progress)
    assert told(convert.job(job, SHOWN)) == {
        "id": "id-1",
        "version": "3",
        "state": "JOB_STATE_FAILED",
        "created_at": "2023-11-14T22:13:20Z",
        "error": "2 objects failed",
        "hint": "look at them",
        "sync": {
            "url": "ssh://git@h/a",
            "branch": "main",
            "revision": "24e9eae",
            "summary": SUMMARY,
            "failures": FAILURES,
            "pending_deletions": PENDING,
            "deletions_hash": "abc",
            "marker_error": "protected tag",
            "notices": ["one document without kind", "no CRD"],
        },
    }


@pytest.mark.parametrize("state", JobState)
def test_every_state_of_a_job_has_its_name_in_the_contract(state):
    message = convert.job(Job("x", 1.0, state=state), Details())
    assert pb.JobState.Name(message.state) == f"JOB_STATE_{state.name}"
    assert not message.HasField("sync")


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(1.0, 0), (1.999_999_9, 0), (0.000_001, 1_000), (1_700_000_000.999_999, 999_999_000)],
)
def test_a_moment_stays_within_its_second(seconds, nanos):
    stamp = convert.timestamp(seconds)
    assert stamp.nanos == nanos
    assert abs(stamp.seconds + stamp.nanos / 1e9 - seconds) < 1e-6


def test_a_clock_set_back_gives_no_negative_duration():
    assert told(convert.duration(-3.0)) == "0s"
