"""The reviews behind every call, made in this process, on the real API server: what it answers, and when."""

from __future__ import annotations

import contextlib
import json
import threading

import callers
import pytest
from agent_status import log_lines, until
from callers import claims
from controlplane.deployed import HTTP_PORT

from agent.api.auth import Ages, Guard
from agent.api.tokens import Wanted
from agent.cluster.access import Reviewer
from agent.cluster.client import ApiClient
from agent.cluster.connection import Connection
from agent.model.access import CREATE_SYNCS, LIST_WORKLOADS, Caller, ForbiddenError, Visible
from agent.model.errors import ClusterError
from agent.settings import ClusterSettings

pytestmark = pytest.mark.controlplane

spaces, repository, agent = callers.spaces, callers.repository, callers.agent
accounts, people = callers.accounts, callers.people


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
