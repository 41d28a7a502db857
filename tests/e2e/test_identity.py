"""Who calls and what they may, on the real API server: its ServiceAccounts, tokens, roles and reviews."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading

import grpc
import pytest
from agent_status import log_lines, until
from config_repository import ConfigRepository, config_map, deployment
from controlplane.deployed import GRPC_PORT, HTTP_PORT
from controlplane.plane import HOST, PORT

from agent.api.auth import Ages, Guard
from agent.api.tokens import Wanted
from agent.cluster.access import Reviewer
from agent.cluster.client import ApiClient
from agent.cluster.connection import Connection
from agent.model.access import CREATE_SYNCS, LIST_WORKLOADS, Caller, ForbiddenError, Visible
from agent.model.errors import ClusterError
from agent.settings import ClusterSettings
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.rpc.flux.v1.flux_pb2_grpc import FluxStub

pytestmark = pytest.mark.controlplane

ROLES = {"look": ("workloads", "list"), "sync": ("syncs", "create")}
SLOW = ("--git-poll-interval=1h", "--sync-interval=1h")


class Accounts:
    """ServiceAccounts of one namespace, their rights and their tokens for one agent."""

    def __init__(self, plane, namespace, audience):
        self.plane, self.namespace, self.audience = plane, namespace, audience

    def make(self, name):
        self.plane.kubectl("create", "serviceaccount", name, "-n", self.namespace)
        return name

    def grant(self, name, *roles, namespace=""):
        """Bind the roles, in one namespace or everywhere; what `kubectl delete` takes to undo it."""
        bound = []
        for role in roles:
            kind, where = ("rolebinding", ["-n", namespace]) if namespace else ("clusterrolebinding", [])
            words = [f"{self.namespace}-{name}-{role}", *where]
            account = f"--serviceaccount={self.namespace}:{name}"
            self.plane.kubectl("create", kind, *words, f"--clusterrole={self.namespace}-{role}", account)
            bound.append([kind, *words])
        return bound

    def token(self, name, audience=None):
        return self.plane.token(self.namespace, name, audience=self.audience if audience is None else audience)


@pytest.fixture(scope="module")
def spaces(new_namespace):
    return new_namespace("a"), new_namespace("b")


@pytest.fixture(scope="module")
def repository(tmp_path_factory, spaces):
    """One Deployment in each of the namespaces, and in the second an object that is refused."""
    repository, (ours, theirs) = ConfigRepository(tmp_path_factory.mktemp("git")), spaces
    repository.commit(
        a=deployment(ours), b=deployment(theirs), bad=config_map(theirs, "bad name!"), old=config_map(theirs, "old")
    )
    return repository


@pytest.fixture(scope="module")
def agent(start_agent, repository):
    return start_agent(f"--git-url={repository.url}", *SLOW)


@pytest.fixture(scope="module")
def accounts(plane, agent, new_namespace):
    made = Accounts(plane, new_namespace("people"), f"flux:{agent.namespace}/flux")
    for name, (resource, verb) in ROLES.items():
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"{made.namespace}-{name}"},
            "rules": [{"apiGroups": ["flux.fluxcd.io"], "resources": [resource], "verbs": [verb]}],
        }
        plane.api("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
    yield made
    for name in ROLES:
        plane.kubectl("delete", "clusterrole", f"{made.namespace}-{name}")


@pytest.fixture(scope="module")
def people(accounts, spaces):
    """Tokens by name: who may look, who may sync as well, who may do both in the first namespace, and who nothing."""
    for name, *grant in [
        ("viewer", "look"),
        ("operator", "look", "sync"),
        ("team", "look", "sync"),
        ("nobody",),
    ]:
        accounts.make(name)
        accounts.grant(name, *grant, namespace=spaces[0] if name == "team" else "")
    return {name: accounts.token(name) for name in ("viewer", "operator", "team", "nobody")}


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


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


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
    assert f"team may not list workloads.flux.fluxcd.io in namespace {spaces[1]}" in told
    assert f"kubectl create rolebinding flux-viewer-team -n {spaces[1]} --clusterrole=flux-viewer" in told


def test_who_has_a_right_nowhere_learns_which_and_how_to_get_it(ask, people, accounts):
    for method, right in (
        ("ListWorkloads", "list workloads"),
        ("GetStatus", "list workloads"),
        ("Sync", "create syncs"),
    ):
        code, told = ask(people["nobody"], method, getattr(pb, f"{method}Request")())
        assert code == "permission_denied"
        account = f"system:serviceaccount:{accounts.namespace}:nobody"
        assert told.startswith(f"{account} may not {right}.flux.fluxcd.io in any namespace (grant it with: kubectl ")


def test_the_status_leaves_out_what_belongs_to_others(ask, people, spaces, synced):
    whole, part = (ask(people[name], "GetStatus", pb.GetStatusRequest())[1] for name in ("viewer", "team"))
    assert [failure.object for failure in whole.failures] == [f"{spaces[1]}:configmap/bad name!"]
    assert (list(part.failures), part.restricted, whole.restricted) == ([], True, False)
    assert part.last_sync.failed == whole.last_sync.failed == 1
    assert part.revision_applied == whole.revision_applied == synced


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
    for _ in range(20):
        call["direct"](people["viewer"], "Version", pb.VersionRequest())
    body = agent.http("/metrics")[1].decode()
    assert re.search(r'flux_api_request_duration_seconds_count\{code="OK",method="Version"\} \d', body)
    asked, remembered = (
        float(re.search(rf'flux_api_reviews_total\{{kind="token",source="{source}"\}} (\S+)', body)[1])
        for source in ("asked", "remembered")
    )
    assert remembered >= 19 > asked / 20


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
    assert f"team may not create syncs.flux.fluxcd.io in namespace {theirs} (" in refused["message"]
    unknown = sync_as("team", allow_deletions="0123456789ab")
    assert "in the cluster as a whole" in unknown["message"]
    accounts.grant("team", "sync", namespace=theirs)
    until(
        lambda: getattr(sync_as("team", allow_deletions=held.deletions_hash), "state", 0) == pb.JOB_STATE_SUCCEEDED,
        "the new right",
    )
    assert not plane.kubectl("get", "configmap", "left", "-n", ours, "--ignore-not-found")
    assert not plane.kubectl("get", "configmap", "left", "-n", theirs, "--ignore-not-found")


# --- the reviews themselves, in this process -------------------------------------------------------------------------


@pytest.fixture
def reviewer(plane, tmp_path):
    """A function that makes a Reviewer with the rights of a token's owner."""
    with contextlib.ExitStack() as closing:

        def make(token):
            config = plane.kubeconfig_for(token, tmp_path / "reviewer.kubeconfig", server=plane.outside_url())
            connection = Connection(ClusterSettings(kubeconfig=str(config)))
            closing.callback(connection.close)
            return Reviewer(ApiClient(connection, threading.Event()))

        yield make


def test_a_grant_and_its_end_take_effect_when_the_answers_are_old(plane, reviewer, accounts, spaces):
    guard = Guard(reviewer("admin-token"), Wanted((accounts.audience,), "flux"), Ages(right=0, refusal=0))
    with contextlib.closing(guard):
        access = guard.admit(accounts.token(accounts.make("changing")))
        with pytest.raises(ForbiddenError, match="in any namespace"):
            access.visible(LIST_WORKLOADS, spaces)
        (bound,) = accounts.grant("changing", "look", namespace=spaces[1])

        def visible():
            with contextlib.suppress(ForbiddenError):
                return access.visible(LIST_WORKLOADS, spaces)
            return None

        assert until(visible, "the grant") == Visible(everything=False, namespaces=frozenset({spaces[1]}))
        plane.kubectl("delete", *bound)
        until(lambda: visible() is None, "the end of the grant")


def test_an_agent_of_single_namespaces_asks_in_them(plane, reviewer, accounts, people, spaces):
    ours, theirs = spaces
    account = accounts.make("agent-of-one")
    create = ["--verb=create", "--resource=localsubjectaccessreviews.authorization.k8s.io"]
    plane.kubectl("create", "role", "reviews", "-n", ours, *create)
    plane.kubectl("create", "rolebinding", "reviews", "-n", ours, "--role=reviews",
                  f"--serviceaccount={accounts.namespace}:{account}")  # fmt: skip
    asking = reviewer(accounts.token(account, ""))
    team = Caller(f"system:serviceaccount:{accounts.namespace}:team")
    viewer = Caller(f"system:serviceaccount:{accounts.namespace}:viewer")
    until(lambda: asking.is_allowed(team, LIST_WORKLOADS, ours), "the agent's own right")
    answers = {
        (caller.name.rpartition(":")[2], place): asking.is_allowed(caller, LIST_WORKLOADS, place)
        for caller in (team, viewer)
        for place in ("", ours, theirs)
    }
    assert answers == {
        ("team", ""): False, ("team", ours): True, ("team", theirs): False,
        ("viewer", ""): False, ("viewer", ours): True, ("viewer", theirs): False,
    }  # fmt: skip
    with pytest.raises(ClusterError, match=r"cannot check who is calling: .*forbidden.*system:auth-delegator"):
        asking.review_token(people["team"], [accounts.audience])
    assert len(asking.missing_rights([ours])) == 1
    tokens, rights = asking.missing_rights([ours, theirs])
    assert "may not create tokenreviews" in tokens
    assert f"may not ask what callers may in {theirs}" in rights


def test_an_agent_that_may_not_review_says_so_and_runs(plane, start_agent, accounts):
    account = accounts.make("blind-agent")
    plane.kubectl("create", "clusterrolebinding", f"{accounts.namespace}-blind", "--clusterrole=view",
                  f"--serviceaccount={accounts.namespace}:{account}")  # fmt: skip
    config = accounts.plane.kubeconfig_for(accounts.token(account, ""), plane.folder / "blind.kubeconfig")
    agent = start_agent(f"--kubeconfig={config}", f"--auth-audience={accounts.audience}")
    warning = "the agent may not create tokenreviews"
    until(lambda: log_lines(agent, "level=warning", warning), "the warning")
    status, body = plane.http(
        agent.node.ip, HTTP_PORT, "/flux.v1.Flux/Version", method="POST", body=b"{}",
        headers={"Content-Type": "application/json", "X-Flux-Token": accounts.token("nobody")},
    )  # fmt: skip
    assert (status, json.loads(body)["code"]) == (400, "failed_precondition")
    assert "the agent cannot check who is calling" in json.loads(body)["message"]
    assert len(log_lines(agent, warning)) == 1
    assert agent.http("/readyz")[0] == 200
    plane.kubectl("delete", "clusterrolebinding", f"{accounts.namespace}-blind")


def test_the_rights_that_deploy_grants_are_enough_for_the_agent(plane, agent, reviewer, accounts, people):
    asking = reviewer(plane.token(agent.namespace, "flux"))
    assert asking.missing_rights(()) == ()
    caller = asking.review_token(people["operator"], [accounts.audience])
    assert caller is not None and caller.credential_id == f"JTI={claims(people['operator'])['jti']}"
    assert asking.is_allowed(caller, CREATE_SYNCS, "")
    assert asking.review_token("admin-token", [accounts.audience]) is None
