"""What callers may: their rights, the reviews behind these, and what the agent itself lacks."""

import contextlib
import json
import threading

import pytest
from access_standins import VIEWER, Reviews

from agent.api.access import Grants, Rights, Unobserved, refusal
from agent.api.selfcheck import SelfCheck
from agent.cluster.access import LOCAL_AGE, Reviewer
from agent.cluster.client import Request
from agent.model.access import CREATE_SYNCS, GET_MANIFESTS, LIST_WORKLOADS, Caller, ForbiddenError, Visible
from agent.model.errors import ClusterError, StoppedError


@pytest.fixture
def grants():
    """A function that makes a caller's access over a stand-in."""
    with contextlib.ExitStack() as closing:

        def make(reviews, caller=VIEWER):
            rights = Rights(reviews.is_allowed, 60.0, 5.0, Unobserved())
            closing.callback(rights.close)
            return Grants(caller, rights)

        yield make


# --- rights --------------------------------------------------------------------------------------------------------


def test_who_may_everywhere_is_asked_about_once(grants):
    reviews = Reviews((LIST_WORKLOADS, ""))
    access = grants(reviews)
    for _ in range(3):
        assert access.visible(LIST_WORKLOADS, ["demo", "shop"]) == Visible()
        access.require(LIST_WORKLOADS, ["demo", ""])
    assert reviews.questions == [(LIST_WORKLOADS, "")]


def test_others_are_asked_about_namespace_by_namespace_their_own_too(grants):
    reviews = Reviews(*((LIST_WORKLOADS, f"n{number}") for number in range(0, 300, 3)), (LIST_WORKLOADS, "flux"))
    access = grants(reviews)
    names = [f"n{number}" for number in range(300)]
    expected = Visible(everything=False, namespaces=frozenset(["flux", *names[::3]]))
    assert access.visible(LIST_WORKLOADS, [*names, *names, "", "No/Name", "<cluster>"]) == expected
    assert sorted(reviews.questions) == sorted((LIST_WORKLOADS, name) for name in ("", "flux", *names))
    assert access.visible(LIST_WORKLOADS, names[:2]).namespaces == {"flux", "n0"}
    assert len(reviews.questions) == 302


def test_rights_are_told_apart(grants):
    access = grants(Reviews((LIST_WORKLOADS, ""), (GET_MANIFESTS, "demo")))
    assert access.visible(LIST_WORKLOADS, []) == Visible()
    assert access.visible(GET_MANIFESTS, ["demo"]).namespaces == {"demo"}
    with pytest.raises(ForbiddenError):
        access.visible(CREATE_SYNCS, ["demo"])


@pytest.mark.parametrize(
    ("caller", "right", "namespaces", "message", "hint"),
    [
        (
            VIEWER,
            CREATE_SYNCS,
            ["demo", "shop", "zoo"],
            "flux:flux-viewer may not ask for syncs or approve deletions in the namespaces shop, zoo",
            "verb create on syncs.flux.fluxcd.io; grant it with: kubectl create rolebinding flux-operator-flux-viewer ",
        ),
        (
            VIEWER,
            CREATE_SYNCS,
            ["demo", ""],
            "may not ask for syncs or approve deletions in the cluster as a whole",
            "create clusterrolebinding flux-operator-flux-viewer --clusterrole=flux-operator --serviceaccount=flux:",
        ),
        (
            Caller("a person"),
            LIST_WORKLOADS,
            ["shop"],
            "a person may not list workloads in namespace shop",
            "kubectl create rolebinding flux-viewer -n shop --clusterrole=flux-viewer --user='a person'",
        ),
        (VIEWER, CREATE_SYNCS, [f"n{number}" for number in range(9)], "n0, n1, n2, n3, n4 and 4 more", "-n n0 "),
        (VIEWER, CREATE_SYNCS, ["x" * 5_000], "may not ask", "kubectl"),
    ],
)
def test_a_missing_right_names_the_places_and_the_command_that_grants_it(
    grants, caller, right, namespaces, message, hint
):
    with pytest.raises(ForbiddenError) as caught:
        grants(Reviews((CREATE_SYNCS, "demo")), caller).require(right, namespaces)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert len(str(caught.value)) < 600


def test_who_has_a_right_nowhere_learns_so(grants):
    with pytest.raises(ForbiddenError, match="may not list workloads in any namespace") as caught:
        grants(Reviews()).visible(LIST_WORKLOADS, ["demo"])
    assert "-n NAMESPACE --clusterrole=flux-viewer --serviceaccount=flux:flux-viewer" in caught.value.hint


def test_the_roles_of_an_agent_elsewhere_carry_its_namespace():
    error = refusal(VIEWER, CREATE_SYNCS, ["demo"], "team-flux")
    assert "--clusterrole=flux-operator:team-flux --serviceaccount=flux:flux-viewer, or the role as" in error.hint


def test_nothing_required_is_granted_and_nothing_is_asked(grants):
    reviews = Reviews()
    grants(reviews).require(CREATE_SYNCS, [])
    assert reviews.questions == []


def test_a_refusal_is_asked_again_before_a_grant():
    reviews = Reviews()
    rights = Rights(reviews.is_allowed, 60.0, 0.0, Unobserved())
    with contextlib.closing(rights):
        access = Grants(VIEWER, rights)
        with pytest.raises(ForbiddenError):
            access.require(CREATE_SYNCS, ["demo"])
        reviews.allowed.add((CREATE_SYNCS, "demo"))
        access.require(CREATE_SYNCS, ["demo"])
        reviews.allowed.clear()
        access.require(CREATE_SYNCS, ["demo"])  # remembered


def test_what_is_closed_asks_nobody(grants):
    access = grants(Reviews())
    access._rights.close()
    with pytest.raises(StoppedError):
        access.visible(LIST_WORKLOADS, ["demo", "shop"])


# --- the reviews ---------------------------------------------------------------------------------------------------


class Server:
    """Answers reviews: each kind with a status, or with an error."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def send(self, request):
        body = json.loads(request.body)
        self.asked.append((body["kind"], request.path, body["spec"]))
        answer = self.answers[body["kind"]]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"status": answer}


USER = {
    "username": VIEWER.name,
    "uid": "u-1",
    "groups": ["system:serviceaccounts"],
    "extra": {"authentication.kubernetes.io/credential-id": ["JTI=1"], "more": ["a", "b"]},
}
FORBIDDEN = ClusterError("not allowed", status=403, reason="Forbidden")


def test_a_review_tells_everything_of_a_caller_and_passes_it_on():
    server = Server(
        TokenReview={"authenticated": True, "audiences": ["flux:flux/flux"], "user": USER},
        SubjectAccessReview={"allowed": True},
    )
    reviewer = Reviewer(server)
    caller = reviewer.review_token("t", ["flux:flux/flux"])
    assert (caller.name, caller.credential_id, caller.uid, caller.namespace) == (VIEWER.name, "JTI=1", "u-1", "flux")
    assert reviewer.is_allowed(caller, CREATE_SYNCS, "demo")
    assert "Zm9v" not in repr(Request("POST", path="/reviews", body=b"Zm9v"))
    (_, path, asked), (_, _, spec) = server.asked
    assert (path, asked) == (
        "/apis/authentication.k8s.io/v1/tokenreviews",
        {"token": "t", "audiences": ["flux:flux/flux"]},
    )
    assert spec == {
        "user": VIEWER.name,
        "uid": "u-1",
        "groups": USER["groups"],
        "extra": USER["extra"],
        "resourceAttributes": {
            "group": "flux.fluxcd.io",
            "resource": "syncs",
            "verb": "create",
            "namespace": "demo",
        },
    }


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False, "user": USER, "audiences": ["flux:flux/flux"]},
        {"authenticated": True, "user": USER},
        {"authenticated": True, "user": USER, "audiences": ["https://kubernetes.default.svc"]},
    ],
)
def test_only_a_token_accepted_for_our_audience_is_taken(status):
    assert Reviewer(Server(TokenReview=status)).review_token("t", ["flux:flux/flux"]) is None


def test_an_agent_that_may_not_review_tokens_says_what_it_needs():
    with pytest.raises(ClusterError, match="cannot check who is calling") as caught:
        Reviewer(Server(TokenReview=FORBIDDEN)).review_token("t", ["a"])
    assert "ClusterRole system:auth-delegator" in caught.value.hint
    assert not caught.value.temporary


def test_without_the_right_to_ask_about_the_cluster_namespaces_are_asked_about_for_a_while():
    now = [0.0]
    server = Server(SubjectAccessReview=FORBIDDEN, LocalSubjectAccessReview={"allowed": True})
    reviewer = Reviewer(server, lambda: now[0])
    assert [reviewer.is_allowed(VIEWER, LIST_WORKLOADS, name) for name in ("", "demo", "shop")] == [False, True, True]
    assert [path.rpartition("/v1/")[2] for _, path, _ in server.asked] == [
        "subjectaccessreviews",
        "namespaces/demo/localsubjectaccessreviews",
        "namespaces/shop/localsubjectaccessreviews",
    ]
    server.answers["LocalSubjectAccessReview"] = FORBIDDEN
    assert not reviewer.is_allowed(VIEWER, LIST_WORKLOADS, "demo")
    now[0] = LOCAL_AGE
    server.answers["SubjectAccessReview"] = {"allowed": True}
    assert reviewer.is_allowed(VIEWER, LIST_WORKLOADS, "")


def test_a_dropped_connection_is_tried_once_more_and_other_errors_are_not():
    dropped = ClusterError("the API server cannot be reached")
    server = Server(SubjectAccessReview=[dropped, {"allowed": True}, ClusterError("broken", status=500)])
    reviewer = Reviewer(server)
    assert reviewer.is_allowed(VIEWER, LIST_WORKLOADS, "")
    with pytest.raises(ClusterError, match="broken"):
        reviewer.is_allowed(VIEWER, LIST_WORKLOADS, "")
    assert len(server.asked) == 3


def test_what_the_agent_lacks_is_told_once_and_again_when_it_changes(capsys):
    answers = [("no tokenreviews",), ("no tokenreviews",), ClusterError("down"), (), ("no tokenreviews",)]
    published = []

    def missing():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    look = SelfCheck(missing, published.append, threading.Event()).look
    assert [look() for _ in range(5)] == [False, False, False, True, False]
    assert published == [("no tokenreviews",), (), ("no tokenreviews",)]
    assert capsys.readouterr().out.count("no tokenreviews") == 2
