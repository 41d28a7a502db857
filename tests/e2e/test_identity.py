"""Who calls and what they may, on the real API server: its ServiceAccounts, tokens, roles and reviews."""

from __future__ import annotations

import base64
import json
import re

import callers
import grpc
import pytest
from agent_status import log_lines, until
from callers import SLOW, claims
from config_repository import ConfigRepository, config_map
from controlplane.deployed import GRPC_PORT, HTTP_PORT
from controlplane.plane import HOST, PORT

from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.rpc.flux.v1.flux_pb2_grpc import FluxStub

pytestmark = pytest.mark.controlplane


spaces, repository, agent = callers.spaces, callers.repository, callers.agent
accounts, people = callers.accounts, callers.people


@pytest.fixture(scope="module")
def call(plane, agent):
    """Functions that call a method with a token, by the way the call takes: the code and the message or error text."""
    port = plane.door.forward(agent.node.ip, GRPC_PORT)

    def over_http(address, token, method, request):
        host, port, path, *authorization = address
        headers = {"Content-Type": "application/proto", **dict(authorization)}
        headers |= {} if token is None else {"X-Flux-Token": token}
        body = request.SerializeToString()
        status, answer = plane.http(host, port, path + method, method="POST", body=body, headers=headers)
        if status != 200:
            told = json.loads(answer)
            return told["code"], told["message"]
        return "ok", getattr(pb, f"{method}Response").FromString(answer)

    def direct(token, method, request):
        return over_http((agent.node.ip, HTTP_PORT, "/flux.v1.Flux/"), token, method, request)

    def proxied(token, method, request):
        address = (HOST, PORT, agent.proxy_path("flux.v1.Flux/"), ("Authorization", "Bearer admin-token"))
        return over_http(address, token, method, request)

    def native(token, method, request):
        metadata = [] if token is None else [("x-flux-token", token)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", (("grpc.use_local_subchannel_pool", 1),)) as channel:
            try:
                return "ok", getattr(FluxStub(channel), method)(request, timeout=30, metadata=metadata)
            except grpc.RpcError as error:
                return error.code().name.lower(), error.details()

    return {"direct": direct, "proxied": proxied, "native": native}


@pytest.fixture(params=["direct", "proxied", "native"])
def ask(request, call):
    """One way to call, each in turn."""
    return call[request.param]


@pytest.fixture(scope="module")
def synced(call, people):
    """The first sync is over."""

    def done():
        return call["direct"](people["operator"], "GetStatus", pb.GetStatusRequest())[1].revision_applied

    return until(done, "the first sync")


def listed(answer, spaces):
    """The namespaces of this module that a list shows."""
    code, reply = answer
    assert code == "ok", reply
    return {item.id.partition(":")[0] for item in reply.workloads} & set(spaces)


def with_claims(token, **changes):
    """The token with other claims; its signature is wrong then."""
    head, _, tail = token.split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims(token) | changes).encode()).decode().rstrip("=")
    return f"{head}.{body}.{tail}"


# --- who may do what -------------------------------------------------------------------------------------------------


def test_everybody_sees_and_does_what_they_are_granted(ask, people, spaces, synced):
    seen = {
        name: listed(ask(people[name], "ListWorkloads", pb.ListWorkloadsRequest()), spaces)
        for name in ("viewer", "operator", "team")
    }
    assert seen == {"viewer": set(spaces), "operator": set(spaces), "team": {spaces[0]}}
    codes = {name: ask(token, "Sync", pb.SyncRequest())[0] for name, token in people.items()}
    assert codes == {"viewer": "permission_denied", "operator": "ok", "team": "ok", "nobody": "permission_denied"}
    assert {ask(token, "Version", pb.VersionRequest())[0] for token in people.values()} == {"ok"}


def test_a_list_says_whether_it_is_all(ask, people, spaces, synced):
    everything, part = (ask(people[name], "ListWorkloads", pb.ListWorkloadsRequest())[1] for name in ("viewer", "team"))
    assert (everything.restricted, part.restricted) == (False, True)
    own = ask(people["team"], "ListWorkloads", pb.ListWorkloadsRequest(namespace=spaces[0]))[1]
    assert (len(own.workloads), own.restricted) == (1, False)
    code, told = ask(people["team"], "ListWorkloads", pb.ListWorkloadsRequest(namespace=spaces[1]))
    assert code == "permission_denied"
    assert f"team may not list workloads in namespace {spaces[1]} (verb list on workloads.flux.fluxcd.io; " in told
    assert f"kubectl create rolebinding flux-viewer-team -n {spaces[1]} --clusterrole=flux-viewer" in told


def test_who_has_a_right_nowhere_learns_which_and_how_to_get_it(ask, people, accounts):
    looking = ("list workloads", "list on workloads")
    for method, (deed, right) in (
        ("ListWorkloads", looking),
        ("GetStatus", looking),
        ("Sync", ("ask for syncs or approve deletions", "create on syncs")),
    ):
        code, told = ask(people["nobody"], method, getattr(pb, f"{method}Request")())
        assert code == "permission_denied"
        account = f"system:serviceaccount:{accounts.namespace}:nobody"
        grant = f"(verb {right}.flux.fluxcd.io; grant it with: kubectl create rolebinding "
        assert told.startswith(f"{account} may not {deed} in any namespace {grant}")


def test_the_status_leaves_out_what_belongs_to_others(ask, people, spaces, synced):
    whole, part = (ask(people[name], "GetStatus", pb.GetStatusRequest())[1] for name in ("viewer", "team"))
    assert [failure.object for failure in whole.failures] == [f"{spaces[1]}:configmap/bad name!"]
    assert (list(part.failures), part.restricted, whole.restricted) == ([], True, False)
    assert part.last_sync.failed == whole.last_sync.failed == 1
    assert part.revision_applied == whole.revision_applied == synced


def test_no_read_names_what_belongs_to_others(ask, people, spaces, synced):
    reads = ("GetStatus", "GetRepository", "ListWorkloads", "GetRevision", "ListImages", "GetPublicKey")
    for method in reads:
        code, told = ask(people["team"], method, getattr(pb, f"{method}Request")())
        assert (code, spaces[1] in str(told)) == ("ok", False), method
    for method in ("Diff", "Export"):
        code, told = ask(people["team"], method, getattr(pb, f"{method}Request")())
        assert (code, spaces[1] in told) == ("permission_denied", False), method
        assert "may not see whole manifests in any namespace (verb get on manifests.flux.fluxcd.io; " in told
    code, told = ask(people["team"], "Release", pb.ReleaseRequest(all=True, dry_run=True))
    assert (code, spaces[1] in told) == ("permission_denied", False)


def test_a_job_is_shown_to_each_as_far_as_they_may_look(ask, people, spaces, synced):
    job_id = ask(people["team"], "Sync", pb.SyncRequest())[1].job_id

    def job_as(name):
        request = pb.GetJobRequest(job_id=job_id)
        return ask(people[name], "GetJob", request)[1].job

    until(lambda: job_as("team").state == pb.JOB_STATE_FAILED, "the job's end")
    assert list(job_as("team").sync.failures) == []
    assert [failure.object for failure in job_as("viewer").sync.failures] == [f"{spaces[1]}:configmap/bad name!"]
    assert ask(people["nobody"], "GetJob", pb.GetJobRequest(job_id=job_id))[0] == "permission_denied"


def test_a_stream_asks_who_watches(plane, agent, people, synced):
    port = plane.door.forward(agent.node.ip, GRPC_PORT)
    with grpc.insecure_channel(f"127.0.0.1:{port}", (("grpc.use_local_subchannel_pool", 1),)) as channel:
        stub = FluxStub(channel)
        job_id = stub.Sync(pb.SyncRequest(), timeout=30, metadata=[("x-flux-token", people["team"])]).job_id
        request = pb.WatchJobRequest(job_id=job_id)
        for token, code in ((people["nobody"], "PERMISSION_DENIED"), ("x", "UNAUTHENTICATED")):
            with pytest.raises(grpc.RpcError) as caught:
                list(stub.WatchJob(request, timeout=30, metadata=[("x-flux-token", token)]))
            assert caught.value.code().name == code
        *_, last = stub.WatchJob(request, timeout=60, metadata=[("x-flux-token", people["viewer"])])
        assert last.job.state == pb.JOB_STATE_FAILED


# --- bad tokens ------------------------------------------------------------------------------------------------------


def test_what_proves_nothing_is_refused_on_every_way(ask, plane, people, accounts):
    gone = accounts.make("gone")
    left = accounts.token(gone)
    plane.kubectl("delete", "serviceaccount", gone, "-n", accounts.namespace)
    good = people["operator"]
    head, body, tail = good.split(".")
    refusals = {
        None: "came without a token",
        "": "came without a token",
        "alice-token": "is no ServiceAccount's token",
        f"{head}.{body}": "is no ServiceAccount's token",
        f"{head}.{body}.{tail[::-1]}": "does not accept the token",
        with_claims(good, exp=claims(good)["iat"] - 1): "the token has expired",
        with_claims(good, exp=claims(good)["exp"] + 3600): "does not accept the token",
        left: "does not accept the token",
        accounts.token("operator", "flux:elsewhere/flux"): f"audience must be {accounts.audience}",
        accounts.token("operator", ""): f"audience must be {accounts.audience}",
        with_claims(accounts.token("operator", ""), aud=[accounts.audience]): "does not accept the token",
    }
    for token, reason in refusals.items():
        for method in ("Version", "ListWorkloads", "Sync"):
            code, told = ask(token, method, getattr(pb, f"{method}Request")())
            assert (code, reason in told) == ("unauthenticated", True), (reason, told)
            assert f"--audience={accounts.audience}" in told
            assert not token or token not in told


def test_the_tokens_of_the_agent_are_good_for_nothing_else(plane, people):
    headers = {"Authorization": f"Bearer {people['operator']}"}
    assert plane.http(HOST, PORT, "/api/v1/namespaces", headers=headers)[0] == 401


def test_the_api_server_lets_through_only_whom_it_knows_and_allows(plane, agent, people):
    path = agent.proxy_path("flux.v1.Flux/Version?connect=v1&encoding=json&message=%7B%7D")
    codes = {}
    for name, headers in {"anonymous": {}, "carol": {"Authorization": "Bearer carol-token"}}.items():
        codes[name] = plane.http(HOST, PORT, path, headers=headers | {"X-Flux-Token": people["operator"]})[0]
    assert codes == {"anonymous": 403, "carol": 403}


# --- what is written down --------------------------------------------------------------------------------------------


def test_a_change_is_logged_once_with_who_asked_and_no_token_anywhere(call, agent, people, accounts, synced):
    job_id = call["proxied"](people["operator"], "Sync", pb.SyncRequest())[1].job_id
    (line,) = log_lines(agent, "a change was asked for", job_id)
    assert f"caller=system:serviceaccount:{accounts.namespace}:operator" in line
    assert f"credential_id=JTI={claims(people['operator'])['jti']}" in line.replace('"', "")
    assert "component=api" in line and "method=Sync" in line
    log = agent.log.read_text()
    assert not [name for name, token in people.items() if token in log or token.rpartition(".")[2] in log]


def test_calls_are_measured_and_most_reviews_remembered(call, agent, people, synced):
    def reviews(source):
        return float(re.search(rf'flux_api_reviews_total\{{kind="token",source="{source}"\}} (\S+)', metrics())[1])

    def metrics():
        return agent.http("/metrics")[1].decode()

    call["direct"](people["viewer"], "Version", pb.VersionRequest())
    asked, remembered = reviews("asked"), reviews("remembered")
    for _ in range(20):
        call["direct"](people["viewer"], "Version", pb.VersionRequest())
    assert re.search(r'flux_api_request_duration_seconds_count\{code="OK",method="Version"\} \d', metrics())
    more_asked, more_remembered = reviews("asked") - asked, reviews("remembered") - remembered
    assert (more_asked + more_remembered, more_asked < more_remembered) == (20, True)


# --- deletions -------------------------------------------------------------------------------------------------------


def test_deletions_are_approved_only_by_who_may_everywhere_they_are(
    plane, start_agent, accounts, people, spaces, tmp_path
):
    ours, theirs = spaces
    repository = ConfigRepository(tmp_path)
    repository.commit(a=config_map(ours, "left"), b=config_map(theirs, "left"), c=config_map(ours, "stays"))
    audience = f"--auth-audience={accounts.audience}"
    agent = start_agent(
        f"--git-url={repository.url}", audience, *SLOW, "--sync-garbage-collection",
        "--sync-garbage-collection-hold-kinds=ConfigMap",
    )  # fmt: skip

    def ask(name, method, **fields):
        path = f"/flux.v1.Flux/{method}"
        body = getattr(pb, f"{method}Request")(**fields).SerializeToString()
        headers = {"Content-Type": "application/proto", "X-Flux-Token": people[name]}
        status, answer = plane.http(agent.node.ip, HTTP_PORT, path, method="POST", body=body, headers=headers)
        return getattr(pb, f"{method}Response").FromString(answer) if status == 200 else json.loads(answer)

    def sync_as(name, **fields):
        answer = ask(name, "Sync", **fields)
        if isinstance(answer, dict):
            return answer
        job_id = answer.job_id

        def ended():
            job = ask("operator", "GetJob", job_id=job_id).job
            return job.state in (pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED) and job

        return until(ended, "the job's end")

    sync_as("operator")
    repository.commit(a=None, b=None)
    held = sync_as("operator").sync
    assert {item.object for item in held.pending_deletions} == {f"{name}:configmap/left" for name in spaces}
    part = ask("team", "GetStatus")
    assert [item.object for item in part.pending_deletions] == [f"{ours}:configmap/left"]
    assert (part.deletions_hash, ask("viewer", "GetStatus").deletions_hash) == ("", held.deletions_hash)
    refused = sync_as("team", allow_deletions=held.deletions_hash)
    assert refused["code"] == "permission_denied"
    assert f"team may not ask for syncs or approve deletions in namespace {theirs} (" in refused["message"]
    unknown = sync_as("team", allow_deletions="0123456789ab")
    assert "in the cluster as a whole" in unknown["message"]
    accounts.grant("team", "sync", namespace=theirs)
    until(
        lambda: getattr(sync_as("team", allow_deletions=held.deletions_hash), "state", 0) == pb.JOB_STATE_SUCCEEDED,
        "the new right",
    )
    assert not plane.kubectl("get", "configmap", "left", "-n", ours, "--ignore-not-found")
    assert not plane.kubectl("get", "configmap", "left", "-n", theirs, "--ignore-not-found")
