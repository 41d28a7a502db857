"""The sandbox's RBAC as a table, the end of its tokens' time, and who calls it."""

import json

import pytest
import requests

from agent.sandbox.answers import Refusal
from agent.sandbox.callers import action_of
from agent.sandbox.cluster import SandboxCluster
from agent.sandbox.kinds import Kind
from agent.sandbox.messages import from_protobuf
from agent.sandbox.rbac import GROUP, Action, User, decide
from agent.sandbox.store import Store
from agent.sandbox.tokens import TokenError, Tokens

RULE = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}


def _put(store, plural, obj, name="x", namespace=""):
    place = {"namespace": namespace} if namespace else {}
    store.put((GROUP, plural), {**obj, "metadata": {"name": name, **place}})


def _granted(rule, subject=None):
    """A store in which a ClusterRole of one rule is bound to a subject, the user joe where none is said."""
    store = Store()
    _put(store, "clusterroles", {"rules": [rule]})
    subjects = [subject or {"kind": "User", "name": "joe"}]
    _put(store, "clusterrolebindings", {"roleRef": {"kind": "ClusterRole", "name": "x"}, "subjects": subjects})
    return store


class TestRules:
    @pytest.mark.parametrize(
        ("allowed", "rule", "action"),
        [
            (True, {}, Action("get", resource="pods")),
            (True, {}, Action("get", resource="pods", name="a", namespace="n")),
            (False, {}, Action("list", resource="pods")),
            (False, {}, Action("get", resource="pods", subresource="log")),
            (False, {}, Action("get", "apps", "pods")),
            (False, {}, Action("get", path="/pods")),
            (True, {"verbs": ["list", "get"]}, Action("get", resource="pods")),
            (True, {"verbs": ["*"]}, Action("release", resource="pods")),
            (False, {"verbs": []}, Action("get", resource="pods")),
            (True, {"apiGroups": ["*"]}, Action("get", "flux.fluxcd.io", "pods")),
            (False, {"apiGroups": None}, Action("get", resource="pods")),
            (True, {"resources": ["*"]}, Action("get", resource="pods", subresource="log")),
            (True, {"resources": ["pods/log"]}, Action("get", resource="pods", subresource="log")),
            (False, {"resources": ["pods/log"]}, Action("get", resource="pods")),
            (True, {"resources": ["*/log"]}, Action("get", resource="pods", subresource="log")),
            (False, {"resources": ["*/log"]}, Action("get", resource="pods", subresource="status")),
            (False, {"resources": ["*/log"]}, Action("get", resource="pods")),
            (False, {"resources": ["pods/*"]}, Action("get", resource="pods", subresource="log")),
            (False, {"resources": []}, Action("get", resource="")),
            (True, {"resourceNames": ["a", "b"]}, Action("get", resource="pods", name="b")),
            (False, {"resourceNames": ["a"]}, Action("get", resource="pods", name="b")),
            (False, {"resourceNames": ["a"]}, Action("get", resource="pods")),
            (True, {"nonResourceURLs": ["/a"]}, Action("get", path="/a")),
            (False, {"nonResourceURLs": ["/a"]}, Action("get", path="/a/b")),
            (True, {"nonResourceURLs": ["/a/*"]}, Action("get", path="/a/b/c")),
            (False, {"nonResourceURLs": ["/a/*"]}, Action("get", path="/a")),
            (True, {"nonResourceURLs": ["*"]}, Action("get", path="")),
            (False, {"nonResourceURLs": ["/*/b"]}, Action("get", path="/a/b")),
            (False, {"nonResourceURLs": ["/a"]}, Action("post", path="/a")),
            (False, {"resources": ["*"]}, Action("get", path="")),
        ],
    )
    def test_one_rule(self, allowed, rule, action):
        assert decide(_granted({**RULE, **rule}), User("joe"), action).allowed == allowed

    @pytest.mark.parametrize(
        ("allowed", "subject", "user"),
        [
            (False, {"kind": "User", "name": "joe"}, User("ann", groups=("joe",))),
            (True, {"kind": "Group", "name": "g"}, User("ann", groups=("f", "g"))),
            (False, {"kind": "Group", "name": "ann"}, User("ann")),
            (True, {"kind": "ServiceAccount", "name": "a", "namespace": "n"}, User("system:serviceaccount:n:a")),
            (False, {"kind": "ServiceAccount", "name": "a", "namespace": "m"}, User("system:serviceaccount:n:a")),
            (False, {"kind": "User", "name": "a", "namespace": "n"}, User("system:serviceaccount:n:a")),
            (True, {"kind": "User", "name": "nobody"}, User("ann", groups=("system:masters",))),
        ],
    )
    def test_one_subject(self, allowed, subject, user):
        assert decide(_granted(RULE, subject), user, Action("get", resource="pods")).allowed == allowed


class TestBindings:
    def test_a_role_counts_in_its_own_namespace_and_an_account_may_leave_its_namespace_out(self):
        store = Store()
        subjects = [{"kind": "ServiceAccount", "name": "a"}]
        for namespace in ("n", "m"):
            _put(store, "roles", {"rules": [RULE] if namespace == "n" else []}, namespace=namespace)
            reference = {"kind": "Role", "name": "x"}
            _put(store, "rolebindings", {"roleRef": reference, "subjects": subjects}, namespace=namespace)
        user = User("system:serviceaccount:n:a")
        found = {
            where: decide(store, user, Action("get", resource="pods", namespace=where)) for where in ("n", "m", "")
        }
        assert [decision.allowed for decision in found.values()] == [True, False, False]
        assert found["n"].reason == 'RBAC: allowed by RoleBinding "x/n" of Role "x" to ServiceAccount "a/n"'

    def test_each_missing_role_is_told_once(self):
        store = Store()
        subjects = [{"kind": "User", "name": "joe"}]
        for plural, kind, place in (("clusterrolebindings", "ClusterRole", ""), ("rolebindings", "Role", "n")):
            for name in ("b", "c"):
                binding = {"roleRef": {"kind": kind, "name": "gone"}, "subjects": subjects}
                _put(store, plural, binding, name, place)
        words = [f'{kind}.{GROUP} "gone" not found' for kind in ("clusterrole", "role")]
        asked = Action("get", resource="pods", namespace="n")
        assert decide(store, User("joe"), asked).reason == f"RBAC: [{words[0]}, {words[1]}]"
        assert decide(store, User("ann"), asked).reason == ""


@pytest.mark.parametrize(
    ("request_", "action"),
    [
        ("GET /api/v1/namespaces/n/pods/a", Action("get", resource="pods", name="a", namespace="n")),
        ("HEAD /api/v1/pods", Action("list", resource="pods")),
        ("GET /api/v1/pods?watch=true", Action("watch", resource="pods")),
        ("DELETE /api/v1/pods", Action("deletecollection", resource="pods")),
        ("OPTIONS /api/v1/pods", Action("", resource="pods")),
        ("GET /api/v1/namespaces/n", Action("get", resource="namespaces", name="n", namespace="n")),
        ("PUT /api/v1/namespaces/n/finalize", Action("update", "", "namespaces", "finalize", "n", "n")),
        ("POST /api/v1/namespaces/n/services/a%3Ab/proxy/x/y", Action("create", "", "services", "proxy", "a:b", "n")),
        ("PATCH /apis/apps/v1/namespaces/n/deployments/d", Action("patch", "apps", "deployments", "", "d", "n")),
        ("GET /apis/apps/v1", Action("get", path="/apis/apps/v1")),
        ("POST /api", Action("post", path="/api")),
        ("GET /", Action("get", path="/")),
    ],
)
def test_a_request_as_an_action(request_, action):
    method, _, target = request_.partition(" ")
    assert action_of(method, *target.partition("?")[::2]) == action


class TestTokens:
    @pytest.fixture
    def account(self):
        return {"metadata": {"name": "a", "namespace": "n", "uid": "u"}}

    def test_a_token_holds_until_its_time_has_come(self, account):
        store, now = Store(), [1000.0]
        store.put(("", "serviceaccounts"), account)
        tokens = Tokens(store, lambda: now[0])
        token, end = tokens.make(account, ["x"], 600)
        now[0] = end
        assert tokens.check(token, ["x"])[0].name == "system:serviceaccount:n:a"
        now[0] = end + 1
        with pytest.raises(TokenError, match="service account token has expired"):
            tokens.check(token, ["x"])

    def test_another_sandboxes_token_is_not_valid(self, account):
        store = Store()
        store.put(("", "serviceaccounts"), account)
        token, _ = Tokens(store).make(account, ["x"], 600)
        with pytest.raises(TokenError, match="cryptographic"):
            Tokens(store).check(token, ["x"])

    def test_a_token_ends_with_what_it_is_bound_to(self, account):
        store = Store()
        store.put(("", "serviceaccounts"), account)
        secret = store.put(("", "secrets"), {"kind": "Secret", "metadata": {**account["metadata"], "name": "s"}})
        tokens = Tokens(store)
        token, _ = tokens.make(account, ["x"], 600, secret)
        tokens.check(token, ["x"])
        store.remove(("", "secrets"), secret)
        with pytest.raises(TokenError, match="invalidated"):
            tokens.check(token, ["x"])


class TestProtobuf:
    @pytest.mark.parametrize(
        ("code", "kind", "body"),
        [
            (415, "ConfigMap", b"k8s\x00"),
            (400, "TokenReview", b"{}"),
            (400, "TokenReview", b"k8s\x00\xff"),
            (400, "TokenReview", b"k8s\x00\x10\x05"),
        ],
    )
    def test_what_cannot_be_read_is_refused(self, code, kind, body):
        with pytest.raises(Refusal) as refused:
            from_protobuf(body, Kind("g", "v1", kind, "x"))
        assert refused.value.code == code


class TestCallers:
    @pytest.fixture
    def cluster(self):
        with SandboxCluster(users={"secret": ("ann", ("team",))}) as running:
            yield running

    @pytest.mark.parametrize(
        ("authorization", "name"),
        [("", "sandbox"), ("Basic c2VjcmV0", "sandbox"), ("Bearer ", "sandbox"), ("bearer secret", "ann")],
    )
    def test_who_shows_no_token_is_the_administrator(self, cluster, authorization, name):
        url = f"{cluster.url}/apis/authentication.k8s.io/v1/selfsubjectreviews"
        headers = {"Authorization": authorization} if authorization else {}
        with requests.Session() as session:
            session.trust_env = False
            user = session.post(url, json={}, headers=headers, timeout=5).json()["status"]["userInfo"]
        assert user["username"] == name

    def test_a_kubeconfig_may_carry_a_token(self, cluster, tmp_path):
        document = json.loads(cluster.kubeconfig(tmp_path / "config", token="secret").read_text())
        assert document["users"][0]["user"] == {"token": "secret"}
