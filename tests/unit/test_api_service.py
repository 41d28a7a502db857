"""The service alone: messages in, messages out, without any front."""

import platform
import threading

import pytest
from served_api import absent_handlers

from agent.api import service as service_module
from agent.api.auth import admit_everybody
from agent.api.call import Call, Slots
from agent.api.errors import CODES, BusyError, NotFoundError, UnauthenticatedError, UnavailableError, outcome
from agent.api.jobs import Jobs
from agent.api.methods import METHODS
from agent.api.service import Service
from agent.changes import Changes
from agent.model.access import CREATE_SYNCS, LIST_WORKLOADS, ForbiddenError, Visible
from agent.model.errors import ClusterError, GitError, NotReadyError, StoppedError, UsageError
from agent.model.ids import WorkloadId
from agent.model.status import RepositoryStatus, Status, SyncProgress
from agent.model.workloads import Workload, WorkloadSnapshot
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb


class Reads:
    def __init__(self):
        self.state = Status(repository=RepositoryStatus(url="ssh://git@h/a", branch="master"))
        self.snapshot = WorkloadSnapshot((Workload(WorkloadId("demo", "deployment", "shop"), ()),), 7.0)
        self.changes = Changes()

    def status(self):
        return self.state

    def workloads(self):
        return self.snapshot

    def version(self):
        return self.changes.version

    def wait(self, after, timeout, over):
        return self.changes.wait(after, timeout, over)


class Agent:
    """A service with what stands behind it, and a caller."""

    def __init__(self):
        self.reads, self.tickets, self.stop = Reads(), [], threading.Event()
        self.jobs = Jobs(self.tickets.append)
        self.service = Service(self.reads, self.jobs, absent_handlers(), "1.2.3")
        self.active, self.left = True, None
        self.slots = Slots(1)
        self.call = Call(self.slots, self.stop, lambda: self.active, lambda: self.left, lambda name: "")

    def submit(self):
        return self.service.sync(pb.SyncRequest(), self.call).job_id

    def get_job(self, job_id, after_version=0, wait=0):
        request = pb.GetJobRequest(job_id=job_id, after_version=after_version)
        request.wait.seconds = wait
        return self.service.get_job(request, self.call).job


@pytest.fixture
def agent():
    return Agent()


def test_every_method_of_the_contract_is_there():
    assert [method.name for method in METHODS] == [
        "Version",
        "GetStatus",
        "GetRepository",
        "ListWorkloads",
        "GetRevision",
        "WaitForRevision",
        "Diff",
        "Export",
        "ListImages",
        "Explain",
        "GetPublicKey",
        "Sync",
        "Release",
        "UpdatePolicies",
        "GetJob",
        "WatchJob",
    ]
    assert all(callable(getattr(Agent().service, method.attribute)) for method in METHODS)
    assert {method.name for method in METHODS if not method.reads} == {"Sync", "Release", "UpdatePolicies"}
    assert {method.name for method in METHODS if method.streams} == {"WatchJob", "WaitForRevision"}


def test_the_version_tells_what_runs(agent):
    answer = agent.service.version(pb.VersionRequest(), agent.call)
    assert (answer.version, answer.python_version) == ("1.2.3", platform.python_version())


def test_the_reads_show_what_stands_behind_them(agent):
    status = agent.service.get_status(pb.GetStatusRequest(), agent.call)
    assert (status.repository.branch, status.workloads_as_of.seconds) == ("master", 7)
    repository = agent.service.get_repository(pb.GetRepositoryRequest(), agent.call).repository
    assert repository == status.repository
    listed = agent.service.list_workloads(pb.ListWorkloadsRequest(), agent.call)
    assert [(item.id, item.read_only) for item in listed.workloads] == [("demo:deployment/shop", "NotReady")]


def test_a_sync_becomes_a_job(agent):
    job_id = agent.submit()
    assert agent.get_job(job_id).state == pb.JOB_STATE_QUEUED
    agent.tickets[0].succeeded(SyncProgress(revision="24e9eae"))
    assert agent.get_job(job_id).sync.revision == "24e9eae"


def test_without_a_repository_there_is_nothing_to_sync(agent):
    agent.reads.state = Status()
    with pytest.raises(NotReadyError, match="no git repository is configured"):
        agent.submit()
    assert agent.tickets == []


def test_an_agent_that_stops_takes_no_more_work(agent):
    agent.stop.set()
    with pytest.raises(StoppedError):
        agent.submit()


def test_a_poll_without_news_to_wait_for_answers_at_once(agent):
    job_id = agent.submit()
    with agent.slots.hold():  # no room to wait: whoever waits would be refused
        assert agent.get_job(job_id, 0, 25).version == 1
        assert agent.get_job(job_id, 1, 0).version == 1
        agent.tickets[0].succeeded(SyncProgress())
        assert agent.get_job(job_id, 2, 25).version == 2


def test_a_long_poll_answers_when_the_job_moves(agent):
    job_id = agent.submit()
    threading.Timer(0.05, agent.tickets[0].running, [SyncProgress()]).start()
    assert agent.get_job(job_id, 1, 25).state == pb.JOB_STATE_RUNNING


def test_a_long_poll_ends_after_its_wait(agent, monkeypatch):
    monkeypatch.setattr(service_module, "MAX_WAIT", 0.02)
    job_id = agent.submit()
    assert agent.get_job(job_id, 1, 600).version == 1


def test_a_long_poll_ends_with_the_callers_deadline(agent):
    job_id = agent.submit()
    agent.left = 0.02
    assert agent.get_job(job_id, 1, 25).version == 1


def test_a_long_poll_ends_when_the_caller_hangs_up(agent):
    job_id = agent.submit()
    agent.active = False
    assert agent.get_job(job_id, 1, 25).version == 1
    with agent.slots.hold():
        pass  # the slot is free again


def test_a_long_poll_tells_that_the_agent_stops(agent):
    job_id = agent.submit()
    agent.stop.set()
    with pytest.raises(StoppedError):
        agent.get_job(job_id, 1, 25)


def test_no_more_may_wait_than_there_is_room_for(agent):
    job_id = agent.submit()
    with agent.slots.hold():
        with pytest.raises(BusyError, match="as many as may"):
            agent.get_job(job_id, 1, 25)
        with pytest.raises(BusyError):
            next(agent.service.watch_job(pb.WatchJobRequest(job_id=job_id), agent.call))


def test_a_watch_tells_every_change_to_the_end(agent):
    job_id = agent.submit()
    watch = agent.service.watch_job(pb.WatchJobRequest(job_id=job_id), agent.call)
    assert next(watch).job.state == pb.JOB_STATE_QUEUED
    agent.tickets[0].running(SyncProgress())
    assert next(watch).job.state == pb.JOB_STATE_RUNNING
    agent.tickets[0].failed(None, "no", "try")
    assert next(watch).job.error == "no"
    assert list(watch) == []
    with agent.slots.hold():
        pass


def test_a_watch_of_an_ended_job_tells_its_end(agent):
    job_id = agent.submit()
    agent.tickets[0].succeeded(SyncProgress())
    watch = agent.service.watch_job(pb.WatchJobRequest(job_id=job_id), agent.call)
    assert [message.job.state for message in watch] == [pb.JOB_STATE_SUCCEEDED]


def test_a_watch_says_the_same_again_as_a_heartbeat(agent, monkeypatch):
    monkeypatch.setattr(service_module, "HEARTBEAT", 0.02)
    watch = agent.service.watch_job(pb.WatchJobRequest(job_id=agent.submit()), agent.call)
    assert [next(watch).job.version for _ in range(3)] == [1, 1, 1]
    watch.close()
    with agent.slots.hold():
        pass


def test_a_watch_ends_with_its_caller_and_breaks_off_with_the_agent(agent):
    job_id = agent.submit()
    watch = agent.service.watch_job(pb.WatchJobRequest(job_id=job_id), agent.call)
    next(watch)
    agent.active = False
    assert len(list(watch)) <= 1
    agent.active = True
    watch = agent.service.watch_job(pb.WatchJobRequest(job_id=job_id), agent.call)
    next(watch)
    agent.stop.set()
    with pytest.raises(StoppedError):
        list(watch)


def test_an_unknown_job_gives_its_slot_back(agent):
    for _ in range(3):
        with pytest.raises(NotFoundError):
            next(agent.service.watch_job(pb.WatchJobRequest(job_id="nosuch"), agent.call))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), "INVALID_ARGUMENT"),
        (NotFoundError("x"), "NOT_FOUND"),
        (BusyError("x"), "RESOURCE_EXHAUSTED"),
        (UnauthenticatedError("x"), "UNAUTHENTICATED"),
        (StoppedError("x"), "UNAVAILABLE"),
        (NotReadyError("x"), "FAILED_PRECONDITION"),
        (GitError("x"), "FAILED_PRECONDITION"),
        (UnavailableError("x"), "UNAVAILABLE"),
        (ForbiddenError("x"), "PERMISSION_DENIED"),
        (ClusterError("x", status=503), "UNAVAILABLE"),
        (ClusterError("x", status=403), "FAILED_PRECONDITION"),
    ],
)
def test_every_error_has_its_code(error, code):
    assert outcome(error, "Sync") == (code, "x")


def test_the_message_is_the_sentence_with_its_hint():
    assert outcome(UsageError("it is wrong", hint="do it right"), "Sync")[1] == "it is wrong (do it right)"


def test_a_message_has_a_bound():
    assert len(outcome(UsageError("x" * 100_000), "Sync")[1]) == 2_000


def test_a_bug_is_told_without_its_insides(capsys):
    code, message = outcome(KeyError("s3cret"), "Sync")
    assert (code, message) == ("INTERNAL", "Sync ran into a bug of flux-agent (its log holds the trace)")
    told = capsys.readouterr()
    assert "s3cret" in told.out + told.err


def test_the_codes_are_grpcs():
    grpc = pytest.importorskip("grpc")
    code = pytest.importorskip("connectrpc.code")
    for name in {*CODES.values(), "INTERNAL"}:
        assert grpc.StatusCode[name]
        assert code.Code[name]


def test_without_authentication_everybody_is_let_in():
    assert admit_everybody("").visible(LIST_WORKLOADS, []) == Visible()
    admit_everybody("").require(CREATE_SYNCS, ["demo"])
