"""More watchers than there is room for: half of each front's threads may wait, the rest keeps answering."""

import http.client
import json
import threading
import time
from dataclasses import replace

import grpc
import pytest
from served_api import Served

from agent.api import native
from agent.api.server import HTTP_THREADS
from agent.model.access import OpenAccess
from agent.model.status import RepositoryStatus, SyncProgress
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

WATCHERS = 200
PROBES = ("/healthz", "/readyz", "/metrics")
HTTP_ROOM = HTTP_THREADS // 2
GRPC_ROOM = native.THREADS // 2


@pytest.fixture
def served():
    api = Served()
    yield api
    api.close()


@pytest.fixture
def stub(served):
    with served.channel() as channel:
        yield served.stub(channel)


def first_of(call):
    """The first message of a gRPC stream, or the code it was refused with."""
    try:
        return next(call).job
    except grpc.RpcError as error:
        return error.code()


def long_poll(served, job_id):
    """A GetJob that waits, sent and not read."""
    return sent(served, "GetJob", {"jobId": job_id, "afterVersion": 1, "wait": "25s"})


def sent(served, method, request):
    link = http.client.HTTPConnection("127.0.0.1", served.server.http_port, timeout=30)
    link.request("POST", f"/flux.v1.Flux/{method}", json.dumps(request), {"Content-Type": "application/json"})
    return link


def until_admitted(served, job_id):
    """Ask for a stream until there is room; calls that were given up free theirs within a second."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        watch = served.watch(job_id)
        if not isinstance(watch.next(), dict):
            return watch
        watch.close()
        time.sleep(0.02)
    pytest.fail("no watcher was admitted within 60 s")


def everything_answers(served, stub):
    assert [served.get(path)[0] for path in PROBES] == [200] * 3
    assert served.post("Version")[0] == 200
    assert stub.Version(pb.VersionRequest(), timeout=60).version == "1.2.3"


def test_two_hundred_watchers_on_each_front_leave_room_for_everything_else(served, stub):
    job_id = served.jobs.submit_sync().id
    over_http = [served.watch(job_id) for _ in range(WATCHERS)]
    over_grpc = [stub.WatchJob(pb.WatchJobRequest(job_id=job_id), timeout=60) for _ in range(WATCHERS)]

    admitted = [watch for watch in over_http if not isinstance(answer := watch.next(), dict) or refused(answer)]
    assert len(admitted) == HTTP_ROOM
    codes = [first_of(call) for call in over_grpc]
    listening = [call for call, code in zip(over_grpc, codes, strict=True) if isinstance(code, pb.Job)]
    assert len(listening) == GRPC_ROOM
    assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == WATCHERS - GRPC_ROOM
    everything_answers(served, stub)

    served.tickets[0].running(SyncProgress())
    assert {watch.next().version for watch in admitted} == {2}
    assert {next(call).job.version for call in listening} == {2}
    served.tickets[0].succeeded(SyncProgress())
    assert {watch.next().version for watch in admitted} == {3}
    assert all([message.job.version for message in call] == [3] for call in listening)
    for watch in over_http:
        watch.close()
    until_admitted(served, served.jobs.submit_sync().id).close()


def refused(answer):
    """Whether the end of a stream says that there is no room; anything else fails the test."""
    assert answer["error"]["code"] == "resource_exhausted", answer
    return False


def test_two_hundred_long_polls_leave_room_for_everything_else(served, stub):
    job_id = served.jobs.submit_sync().id
    request = pb.GetJobRequest(job_id=job_id, after_version=1)
    request.wait.seconds = 25
    links = [long_poll(served, job_id) for _ in range(WATCHERS)]
    calls = [stub.GetJob.future(request, timeout=60) for _ in range(WATCHERS)]
    everything_answers(served, stub)
    served.tickets[0].succeeded(SyncProgress())
    those_admitted_are_answered(links, calls)


def those_admitted_are_answered(links, calls):
    statuses = []
    for link in links:
        statuses.append(link.getresponse().status)
        link.close()
    codes = [call.code() for call in calls]
    assert set(statuses) <= {200, 429}
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert statuses.count(200) >= HTTP_ROOM
    assert codes.count(grpc.StatusCode.OK) >= GRPC_ROOM


def test_two_hundred_who_wait_for_a_revision_or_a_list_leave_room_for_everything_else(served, stub):
    progress, version = stub.GetRevision(pb.GetRevisionRequest()).progress, served.reads.version()
    revision = {"afterVersion": progress.version, "wait": "25s"}
    links = [sent(served, "GetRevision", revision) for _ in range(WATCHERS)]
    request = pb.ListWorkloadsRequest(after_version=version)
    request.wait.seconds = 25
    calls = [stub.ListWorkloads.future(request, timeout=60) for _ in range(WATCHERS)]
    everything_answers(served, stub)
    served.reads.state = replace(served.reads.state, repository=RepositoryStatus("ssh://git@h/a", error="key refused"))
    served.reads.changes.touch()
    those_admitted_are_answered(links, calls)


def test_the_probes_answer_though_the_api_server_tells_nobody_who_calls():
    told, waiting = threading.Event(), threading.Semaphore(0)

    def stuck(_token):
        waiting.release()
        assert told.wait(30)
        return OpenAccess()

    served = Served(admit=stuck)
    try:
        links = [sent(served, "Version", {}) for _ in range(HTTP_THREADS + 8)]
        assert all(waiting.acquire(timeout=60) for _ in range(HTTP_THREADS))
        assert [served.get(path)[0] for path in PROBES] == [200] * 3
        told.set()
        for link in links:
            assert link.getresponse().status == 200
            link.close()
    finally:
        told.set()
        served.close()


def test_who_hangs_up_makes_room(served):
    job_id = served.jobs.submit_sync().id
    streams = [served.watch(job_id) for _ in range(HTTP_ROOM // 2)]
    for stream in streams:
        stream.next()
    polls = [long_poll(served, job_id) for _ in range(HTTP_ROOM)]
    for link in (*streams, *polls):
        link.close()
    again = [until_admitted(served, job_id) for _ in range(HTTP_ROOM)]
    for stream in again:
        stream.close()


def test_who_cancels_a_grpc_stream_makes_room(served, stub):
    request = pb.WatchJobRequest(job_id=served.jobs.submit_sync().id)
    for _ in range(2):
        deadline, held = time.monotonic() + 60, []
        while len(held) < GRPC_ROOM:
            assert time.monotonic() < deadline, f"only {len(held)} were admitted within 60 s"
            call = stub.WatchJob(request, timeout=60)
            if first_of(call) is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                held.append(call)
        assert first_of(stub.WatchJob(request, timeout=60)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        for call in held:
            call.cancel()
