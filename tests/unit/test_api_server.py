"""Both fronts, served on loopback and called over the wire."""

import contextlib
import gzip
import http.client
import json
import socket
import threading
import time
from dataclasses import replace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from served_api import Served, as_get, many_workloads, with_settings

from agent.api.http import Health
from agent.api.tokens import Wanted, check
from agent.model.errors import UsageError
from agent.model.status import Status, SyncProgress
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb


@pytest.fixture
def served():
    api = Served()
    yield api
    api.close()


@pytest.fixture
def stub(served):
    with served.channel() as channel:
        yield served.stub(channel)


# --- one service, two fronts ---------------------------------------------------------------------------------------


def test_both_fronts_give_the_same_answers(served, stub):
    served.reads.snapshot = many_workloads(3)
    for method, request in (
        ("Version", pb.VersionRequest()),
        ("GetStatus", pb.GetStatusRequest()),
        ("GetRepository", pb.GetRepositoryRequest()),
        ("ListWorkloads", pb.ListWorkloadsRequest(namespace="team-1")),
    ):
        native = getattr(stub, method)(request, timeout=60)
        status, headers, body = served.post(method, request.SerializeToString(), "application/proto")
        assert (status, headers["Content-Type"]) == (200, "application/proto")
        assert type(native).FromString(body) == native


def test_a_read_is_a_plain_get_in_json(served):
    served.reads.snapshot = many_workloads(1)
    path = "/flux.v1.Flux/ListWorkloads?connect=v1&encoding=json&message=%7B%7D"
    status, body = served.get(path)
    assert status == 200
    (item,) = json.loads(body)["workloads"]
    assert (item["id"], item["readOnly"]) == ("team-0:deployment/app-00000", "NotInRepo")


def test_a_read_is_a_plain_get_in_binary(served):
    served.reads.snapshot = many_workloads(3)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", served.server.http_port, timeout=60)) as link:
        link.request("GET", as_get("ListWorkloads", pb.ListWorkloadsRequest(namespace="team-2")))
        answer = pb.ListWorkloadsResponse.FromString(link.getresponse().read())
    assert [item.id for item in answer.workloads] == ["team-2:deployment/app-00002"]


def test_a_change_is_never_a_get(served):
    assert served.get("/flux.v1.Flux/Sync?connect=v1&encoding=json&message=%7B%7D")[0] == 405
    assert served.tickets == []


def test_gzip_is_spoken_both_ways(served):
    status, headers, body = served.post(
        "Version", gzip.compress(b"{}"), **{"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    )
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert json.loads(gzip.decompress(body))["version"] == "1.2.3"


def test_a_connection_is_kept_for_many_calls(served):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", served.server.http_port, timeout=60)) as link:
        ports = set()
        for _ in range(3):
            link.request("POST", "/flux.v1.Flux/Version", b"{}", {"Content-Type": "application/json"})
            assert link.getresponse().read()
            ports.add(link.sock.getsockname())
        assert len(ports) == 1


def test_a_sync_is_watched_to_its_end_on_both_fronts(served, stub):
    job_id = stub.Sync(pb.SyncRequest(), timeout=60).job_id
    native, connect = stub.WatchJob(pb.WatchJobRequest(job_id=job_id), timeout=30), served.watch(job_id)
    assert next(native).job == connect.next()
    served.tickets[0].running(SyncProgress(revision="24e9eae"))
    assert next(native).job.sync.revision == connect.next().sync.revision == "24e9eae"
    served.tickets[0].failed(None, "2 objects failed", "look at them")
    assert next(native).job.hint == connect.next().hint == "look at them"
    assert list(native) == []
    assert connect.next() == {}
    connect.close()


def test_a_long_poll_is_answered_by_the_change(served, stub):
    job_id = stub.Sync(pb.SyncRequest(), timeout=60).job_id
    threading.Timer(0.1, served.tickets[0].succeeded, [SyncProgress()]).start()
    body = json.dumps({"jobId": job_id, "afterVersion": 1, "wait": "25s"}).encode()
    assert json.loads(served.post("GetJob", body)[2])["job"]["state"] == "JOB_STATE_SUCCEEDED"


# --- errors --------------------------------------------------------------------------------------------------------

ERRORS = [
    ("GetJob", pb.GetJobRequest(job_id="nosuch"), "not_found", 404, "there is no job 'nosuch' (the agent forgets"),
    ("ListWorkloads", pb.ListWorkloadsRequest(page_size=-1), "invalid_argument", 400, "page_size is -1 (say 1 to"),
    ("Sync", pb.SyncRequest(), "failed_precondition", 400, "no git repository is configured (start flux-agent with"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error[2])
def test_an_error_is_a_code_and_a_sentence_with_its_hint(served, stub, error):
    method, request_, code, http_status, message = error
    served.reads.state = Status()
    status, _, body = served.post(method, request_.SerializeToString(), "application/proto")
    told = json.loads(body)
    assert (status, told["code"]) == (http_status, code)
    assert told["message"].startswith(message)
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, method)(request_, timeout=60)
    assert caught.value.code().name.lower() == code
    assert caught.value.details() == told["message"]


def test_an_error_of_a_stream_is_its_end(served, stub):
    connect = served.watch("nosuch")
    assert connect.next()["error"]["code"] == "not_found"
    connect.close()
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.WatchJob(pb.WatchJobRequest(job_id="nosuch"), timeout=60))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_bug_is_internal_and_keeps_its_insides(served, stub, capsys):
    def broken():
        raise KeyError("s3cret")

    served.reads.status = broken
    status, _, body = served.post("GetStatus")
    assert (status, json.loads(body)["code"]) == (500, "internal")
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetStatus(pb.GetStatusRequest(), timeout=60)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "s3cret" not in body.decode() + caught.value.details()
    told = capsys.readouterr()
    assert "s3cret" in told.out + told.err


@pytest.mark.parametrize("body", [b"{", b'{"pageSize": "many"}', b"\xff\xfe", b"[" * 10_000])
def test_nonsense_is_an_invalid_argument(served, body):
    status, _, answer = served.post("ListWorkloads", body)
    assert (status, json.loads(answer)["code"]) == (400, "invalid_argument")


def test_a_request_has_a_bound(served, stub):
    packed = gzip.compress(b'{"namespace": "' + b"x" * (2 * 1024 * 1024) + b'"}')
    status, _, _ = served.post("ListWorkloads", packed, **{"Content-Encoding": "gzip"})
    assert status == 429
    with pytest.raises(grpc.RpcError) as caught:
        stub.ListWorkloads(pb.ListWorkloadsRequest(namespace="x" * (2 * 1024 * 1024)), timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


WANTED = Wanted(("flux:flux/flux",), "flux")

# --- authentication ------------------------------------------------------------------------------------------------


def test_with_tokens_wanted_every_call_is_refused_and_the_probes_answer():
    refused = "--audience=flux:flux/flux"
    served = Served(with_settings(auth="token"), admit=lambda token: check(token, WANTED, 0.0))
    try:
        with served.channel() as channel:
            stub = served.stub(channel)
            for method, request in (("Version", pb.VersionRequest()), ("Sync", pb.SyncRequest())):
                status, _, body = served.post(method)
                assert (status, json.loads(body)["code"]) == (401, "unauthenticated")
                with pytest.raises(grpc.RpcError, match=refused) as caught:
                    getattr(stub, method)(request, timeout=60)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            watch = served.watch("x")
            assert watch.next()["error"]["code"] == "unauthenticated"
            watch.close()
            with pytest.raises(grpc.RpcError) as caught:
                list(stub.WatchJob(pb.WatchJobRequest(), timeout=60))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert served.tickets == []
            assert [served.get(path)[0] for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
    finally:
        served.close()


# --- the plain pages -----------------------------------------------------------------------------------------------


def test_the_probes_tell_how_the_agent_is(served):
    assert served.get("/healthz") == (200, "ok\n")
    assert served.get("/readyz") == (200, "ok\n")
    served.health = Health(ready=False, reason="the workloads are being listed")
    assert served.get("/healthz") == (200, "ok\n")
    assert served.get("/readyz") == (503, "the workloads are being listed\n")
    served.health = Health(live=False, ready=False, reason="the sync loop hangs")
    assert served.get("/healthz") == (503, "the sync loop hangs\n")


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/metrics", 200, "flux_git_ready 1.0"),
        ("HEAD", "/healthz", 200, ""),
        ("POST", "/healthz", 405, "Only GET"),
        ("GET", "/", 404, "nothing here"),
        ("GET", "/healthz/x", 404, "nothing here"),
        ("GET", "/flux.v1.Flux/NoSuchMethod", 404, ""),
        ("GET", "/flux.v1.Other/Version", 404, "nothing here"),
        ("GET", "/api/flux/v10/images", 410, "kubectl flux"),
        ("POST", "/api/flux/v9/update-manifests", 410, "kubectl flux"),
        ("GET", "/api/fluxy", 404, "nothing here"),
    ],
)
def test_every_path_has_its_answer(served, method, path, status, said):
    answer = served.get(path, method=method)
    assert answer[0] == status
    assert said in answer[1]


def test_a_broken_page_is_a_plain_500(served, capsys):
    served.health = None
    assert served.get("/healthz") == (500, "flux-agent ran into a bug; its log holds the trace.\n")
    told = capsys.readouterr()
    assert "AttributeError" in told.out + told.err


def test_native_grpc_is_sent_to_its_own_port(served):
    status, _, body = served.post("Version", b"", "application/grpc+proto")
    assert status == 415
    assert b"--listen-grpc" in body


def test_metrics_may_have_a_port_of_their_own():
    served = Served(with_settings(listen_metrics="127.0.0.1:0"))
    try:
        port = served.server.metrics_port
        assert served.get("/metrics", port) == (200, "flux_git_ready 1.0\n")
        assert served.get("/healthz", port)[0] == 404
        assert served.get("/metrics")[0] == 404
    finally:
        served.close()


# --- gRPC's own services -------------------------------------------------------------------------------------------


def test_grpc_health_follows_readiness(served):
    states = health_pb2.HealthCheckResponse
    with served.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "flux.v1.Flux"):
            assert stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=60).status == states.SERVING
        served.health = replace(served.health, ready=False)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=60).status == states.NOT_SERVING


def test_grpc_reflection_describes_the_service(served):
    with served.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([ask]), timeout=60)
        names = {service.name for service in answer.list_services_response.service}
        assert {"flux.v1.Flux", "grpc.health.v1.Health"} <= names
        ask = reflection_pb2.ServerReflectionRequest(file_containing_symbol="flux.v1.Flux")
        (answer,) = stub.ServerReflectionInfo(iter([ask]), timeout=60)
        assert answer.file_descriptor_response.file_descriptor_proto


# --- starting and stopping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["listen", "listen_grpc", "listen_metrics"])
def test_a_taken_port_stops_everything_and_names_the_flag(flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = with_settings(**{flag: f"127.0.0.1:{taken.getsockname()[1]}"})
        before = threading.active_count()
        with pytest.raises(UsageError, match="cannot listen on") as caught:
            Served(settings)
    assert f"--{flag.replace('_', '-')}" in caught.value.hint
    assert threading.active_count() <= before + 1


def test_nothing_is_left_after_a_stop_with_open_streams(caplog):
    served = Served()
    job_id = served.jobs.submit_sync().id
    watches = [served.watch(job_id) for _ in range(4)]
    with served.channel() as channel:
        native = served.stub(channel).WatchJob(pb.WatchJobRequest(job_id=job_id), timeout=30)
        next(native)
        for watch in watches:
            watch.next()
        started = time.monotonic()
        served.close()
        served.close()  # a second stop changes nothing
        assert time.monotonic() - started < 10  # about one second; the bound only tells a hang from a slow machine
        for watch in watches:
            while not isinstance(end := watch.next(), dict):
                assert end.version == 1
            assert end["error"]["code"] == "unavailable"
            watch.close()
        with pytest.raises(grpc.RpcError) as caught:
            list(native)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    left = [thread for thread in threading.enumerate() if thread.name.startswith(("waitress", "api-"))]
    for thread in left:  # gRPC's pool is told to end and not waited for
        thread.join(60)
    assert not [thread.name for thread in left if thread.is_alive()]
    with pytest.raises(ConnectionRefusedError):
        served.get("/healthz")
    assert caplog.records == []
