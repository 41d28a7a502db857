"""Who may do what: RBAC, access reviews, refusals and impersonation."""

from __future__ import annotations

import contextlib

import pytest
from conformance_api import ALICE, bearer, config_map, fresh, until

AUTHENTICATION = "authentication.k8s.io"
TOKEN_REVIEWS = f"/apis/{AUTHENTICATION}/v1/tokenreviews"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
REVIEWS = f"{AUTHORIZATION}/subjectaccessreviews"
SELF_ACCESS = f"{AUTHORIZATION}/selfsubjectaccessreviews"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
RBAC_GROUP = "rbac.authorization.k8s.io"


def _decision(api, user="", groups=(), path=REVIEWS, headers=None, **asked):
    """The status of an access review."""
    kind = "nonResourceAttributes" if "path" in asked.get("what", {}) else "resourceAttributes"
    spec = {kind: asked["what"], **({"user": user} if user else {}), **({"groups": groups} if groups else {})}
    answer = api.call("POST", path, {"spec": spec}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["status"]


RULES = [
    {"apiGroups": ["flux.fluxcd.io"], "resources": ["workloads"], "verbs": ["list", "release"]},
    {"apiGroups": [""], "resources": ["services/proxy"], "resourceNames": ["flux:http"], "verbs": ["get"]},
    {"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["*"]},
    {"apiGroups": ["batch"], "resources": ["*"], "verbs": ["get"]},
]


@pytest.fixture
def bind(api, namespace):
    """A function that grants rules, or a ClusterRole, to subjects in the namespace or, with `wide`, everywhere."""
    with contextlib.ExitStack() as stack:

        def grant(subjects, rules=RULES, *, role="", wide=False):
            name = fresh(f"{namespace}-access")
            kind = "ClusterRole" if role or wide else "Role"
            where = RBAC if wide else f"{RBAC}/namespaces/{namespace}"
            if not role:
                roles = f"{RBAC}/clusterroles" if wide else f"{where}/roles"
                api.create(roles, {"metadata": {"name": name}, "rules": rules})
                stack.callback(api.call, "DELETE", f"{roles}/{name}")
            bindings = f"{where}/clusterrolebindings" if wide else f"{where}/rolebindings"
            reference = {"apiGroup": RBAC_GROUP, "kind": kind, "name": role or name}
            body = {"metadata": {"name": name}, "roleRef": reference, "subjects": subjects}
            api.create(bindings, body)
            stack.callback(api.call, "DELETE", f"{bindings}/{name}")
            return name

        yield grant


def _user(name):
    return {"kind": "User", "apiGroup": RBAC_GROUP, "name": name}


def _list(namespace="", **more):
    place = {"namespace": namespace} if namespace else {}
    return {"verb": "list", "group": "flux.fluxcd.io", "resource": "workloads", **place, **more}


class TestAccessReviews:
    @pytest.mark.parametrize(
        ("allowed", "what"),
        [
            (True, _list()),
            (True, _list(name="any")),
            (True, _list(verb="release")),
            (False, _list(verb="get")),
            (False, _list(subresource="status")),
            (False, _list(group="")),
            (False, _list(group="*")),
            (False, _list(resource="*")),
            (True, {"verb": "get", "resource": "services", "subresource": "proxy", "name": "flux:http"}),
            (False, {"verb": "get", "resource": "services", "subresource": "proxy", "name": "flux"}),
            (False, {"verb": "get", "resource": "services", "subresource": "proxy"}),
            (False, {"verb": "get", "resource": "services", "name": "flux:http"}),
            (True, {"verb": "patch", "group": "apps", "resource": "deployments", "subresource": "scale"}),
            (False, {"verb": "patch", "group": "apps", "resource": "deployments"}),
            (True, {"verb": "get", "group": "batch", "resource": "jobs", "subresource": "status"}),
        ],
    )
    def test_a_role_grants_what_its_rules_say_in_its_namespace(self, api, namespace, bind, allowed, what):
        name = bind([_user("joe")])
        until(lambda: _decision(api, "joe", what=_list(namespace))["allowed"])
        status = _decision(api, "joe", what={**what, "namespace": namespace})
        reason = f'RBAC: allowed by RoleBinding "{name}/{namespace}" of Role "{name}" to User "joe"'
        assert status == ({"allowed": True, "reason": reason} if allowed else {"allowed": False})
        assert _decision(api, "joe", what={**what, "namespace": "default"}) == {"allowed": False}
        assert _decision(api, "joe", what=what) == {"allowed": False}

    @pytest.mark.parametrize("kind", ["User", "Group", "ServiceAccount"])
    def test_a_cluster_role_grants_everywhere_to_every_kind_of_subject(self, api, namespace, bind, kind):
        place = {"namespace": namespace} if kind == "ServiceAccount" else {"apiGroup": RBAC_GROUP}
        subject = {"kind": kind, "name": fresh("who"), **place}
        account = f"system:serviceaccount:{namespace}:{subject['name']}"
        user = {"User": subject["name"], "ServiceAccount": account}.get(kind, "joe")
        groups = [subject["name"]] if kind == "Group" else []
        name = bind([subject], wide=True)
        status = until(lambda: (s := _decision(api, user, groups, what=_list()))["allowed"] and s)
        shown = f"{subject['name']}/{namespace}" if kind == "ServiceAccount" else subject["name"]
        bound = f'ClusterRoleBinding "{name}" of ClusterRole "{name}"'
        assert status["reason"] == f'RBAC: allowed by {bound} to {kind} "{shown}"'
        assert _decision(api, user, groups, what=_list("elsewhere"))["allowed"]
        assert not _decision(api, "somebody", ["g"], what=_list())["allowed"]

    def test_a_cluster_role_may_be_bound_in_a_namespace(self, api, namespace, bind):
        bind([_user("joe")], role="cluster-admin")
        until(lambda: _decision(api, "joe", what=_list(namespace))["allowed"])
        assert not _decision(api, "joe", what=_list())["allowed"]
        assert not _decision(api, "joe", what={"path": "/metrics", "verb": "get"})["allowed"]

    def test_a_role_that_is_missing_is_told(self, api, namespace, bind):
        bind([_user("joe")], role="no-such-role")
        words = f'RBAC: clusterrole.{RBAC_GROUP} "no-such-role" not found'
        until(lambda: _decision(api, "joe", what=_list(namespace)) == {"allowed": False, "reason": words})

    def test_what_is_bound_no_longer_is_not_allowed(self, api, namespace, bind):
        name = bind([_user("joe")])
        until(lambda: _decision(api, "joe", what=_list(namespace))["allowed"])
        api.call("DELETE", f"{RBAC}/namespaces/{namespace}/rolebindings/{name}")
        until(lambda: not _decision(api, "joe", what=_list(namespace))["allowed"])

    def test_masters_may_everything(self, api):
        assert _decision(api, "joe", ["system:masters"], what=_list()) == {"allowed": True}

    @pytest.mark.parametrize(
        ("allowed", "groups", "path"),
        [
            (True, ["system:authenticated"], "/apis/apps/v1"),
            (True, ["system:authenticated"], "/api"),
            (False, ["system:authenticated"], "/metrics"),
            (False, ["system:authenticated"], "/apisx"),
            (True, ["system:unauthenticated"], "/version"),
            (False, ["system:unauthenticated"], "/api"),
            (False, ["other"], "/version"),
        ],
    )
    def test_paths_that_are_no_resources(self, api, allowed, groups, path):
        assert _decision(api, groups=groups, what={"path": path, "verb": "get"})["allowed"] == allowed

    def test_of_oneself(self, api, namespace, bind):
        bind([{"kind": "Group", "apiGroup": RBAC_GROUP, "name": "team-a"}])
        until(lambda: _decision(api, path=SELF_ACCESS, headers=ALICE, what=_list(namespace))["allowed"])
        assert _decision(api, path=SELF_ACCESS, headers=ALICE, what=_list()) == {"allowed": False}
        assert _decision(api, path=SELF_ACCESS, what=_list()) == {"allowed": True}

    def test_in_one_namespace(self, api, namespace, bind):
        bind([_user("joe")])
        path = f"{AUTHORIZATION}/namespaces/{namespace}/localsubjectaccessreviews"
        until(lambda: _decision(api, "joe", path=path, what=_list(namespace))["allowed"])
        body = {"spec": {"user": "joe", "resourceAttributes": _list("other")}}
        assert "must match metadata.namespace" in api.refused(422, "POST", path, body)["message"]

    @pytest.mark.parametrize(
        ("code", "spec", "message"),
        [
            (422, {"user": "a"}, "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
            (422, {"resourceAttributes": {}}, "at least one of user or group must be specified"),
            (
                422,
                {"user": "a", "resourceAttributes": {}, "nonResourceAttributes": {}},
                "cannot be specified in combination with resourceAttributes",
            ),
            (400, {"user": 5, "resourceAttributes": {}}, "SubjectAccessReviewSpec.spec.user of type string"),
            (400, {"user": "a", "resourceAttributes": 5}, "spec.resourceAttributes of type v1.ResourceAttributes"),
            (400, {"user": "a", "extra": {"a": "b"}, "resourceAttributes": {}}, "SubjectAccessReviewSpec.spec.extra"),
        ],
    )
    def test_what_asks_nothing_or_too_much_is_refused(self, api, code, spec, message):
        assert message in api.refused(code, "POST", REVIEWS, {"spec": spec})["message"]


class TestRequests:
    @pytest.mark.parametrize("path", ["/api/v1/namespaces", "/healthz", "/nonsense"])
    def test_an_unknown_token_opens_nothing(self, api, path):
        status = api.refused(401, "GET", path, headers=bearer("nonsense"))
        assert (status["message"], status["reason"], "details" in status) == ("Unauthorized", "Unauthorized", False)

    def test_a_token_for_others_is_unknown_to_the_api_server(self, api, bot):
        assert api.refused(401, "GET", "/version", headers=bearer(api.token(bot, audiences=["flux:x/flux"])))

    @pytest.mark.parametrize(
        ("method", "path", "message"),
        [
            ("GET", "{ns}/configmaps/a", 'configmaps "a" … get resource "configmaps" in API group ""'),
            ("GET", "{ns}/configmaps", 'configmaps … list resource "configmaps" in API group ""'),
            ("GET", "{ns}/configmaps?watch=1", 'configmaps … watch resource "configmaps" in API group ""'),
            (
                "GET",
                "{ns}/configmaps?fieldSelector=metadata.name%3Da",
                'configmaps "a" … list resource "configmaps" in API group ""',
            ),
            ("POST", "{ns}/configmaps", 'configmaps … create resource "configmaps" in API group ""'),
            ("PUT", "{ns}/configmaps/a", 'configmaps "a" … update resource "configmaps" in API group ""'),
            ("PATCH", "{ns}/configmaps/a", 'configmaps "a" … patch resource "configmaps" in API group ""'),
            ("DELETE", "{ns}/configmaps/a", 'configmaps "a" … delete resource "configmaps" in API group ""'),
            ("DELETE", "{ns}/configmaps", 'configmaps … deletecollection resource "configmaps" in API group ""'),
            ("GET", "{ns}/services/a:b/proxy/x", 'services "a:b" … get resource "services/proxy" in API group ""'),
            ("POST", "{ns}/services/a:b/proxy/x", 'services "a:b" … create resource "services/proxy" in API group ""'),
            (
                "POST",
                "{ns}/serviceaccounts/a/token",
                'serviceaccounts "a" … create resource "serviceaccounts/token" in API group ""',
            ),
            ("GET", "{ns}/nonsense/a", 'nonsense "a" … get resource "nonsense" in API group ""'),
            ("GET", "{ns}", 'namespaces "{name}" … get resource "namespaces" in API group ""'),
            ("GET", "/api/v1/namespaces", 'namespaces … list resource "namespaces" in API group ""'),
            ("POST", "/api/v1/namespaces", 'namespaces … create resource "namespaces" in API group ""'),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/{name}/deployments/d/scale",
                'deployments.apps "d" … patch resource "deployments/scale" in API group "apps"',
            ),
            ("GET", "/apis/apps/v1/deployments", 'deployments.apps … list resource "deployments" in API group "apps"'),
            (
                "POST",
                TOKEN_REVIEWS,
                f'tokenreviews.{AUTHENTICATION} … create resource "tokenreviews" in API group "{AUTHENTICATION}"',
            ),
        ],
    )
    def test_what_is_not_granted_is_forbidden(self, api, namespace, method, path, message):
        root = f"/api/v1/namespaces/{namespace}"
        path, message = path.format(ns=root, name=namespace), message.replace("{name}", namespace)
        status = api.refused(403, method, path, None if method == "GET" else {}, headers=ALICE)
        what, _, how = message.partition(" … ")
        where = f'in the namespace "{namespace}"' if namespace in path else "at the cluster scope"
        assert status["message"] == f'{what} is forbidden: User "alice" cannot {how} {where}'
        name = what.partition('"')[2].rstrip('"')
        resource, _, group = what.partition(" ")[0].partition(".")
        details = {"name": name, "group": group, "kind": resource}
        assert (status["reason"], status["details"]) == ("Forbidden", {k: v for k, v in details.items() if v})

    def test_a_path_that_is_not_granted_is_forbidden(self, api):
        status = api.refused(403, "GET", "/metrics", headers=ALICE)
        assert (status["message"], status["details"]) == (
            'forbidden: User "alice" cannot get path "/metrics"',
            {},
        )

    @pytest.mark.parametrize("path", ["/api", "/apis", "/apis/apps/v1", "/version", "/healthz", "/openapi/v3"])
    def test_everybody_may_see_what_is_served(self, api, path):
        assert api.call("GET", path, headers=ALICE).status_code == 200

    def test_an_account_does_what_it_was_granted(self, api, namespace, maps, bot, bind):
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create"]}]
        subject = {"kind": "ServiceAccount", "name": "bot", "namespace": namespace}
        bind([subject], rules)
        headers = bearer(api.token(bot))
        until(lambda: api.call("GET", f"{maps}/a", headers=headers).status_code == 404)
        assert api.call("POST", maps, config_map("a"), headers=headers).status_code == 201
        assert api.refused(403, "DELETE", f"{maps}/a", headers=headers)

    def test_the_proxy_may_be_granted_for_looking_only(self, api, namespace, bind):
        bind([_user("alice")])
        services = f"/api/v1/namespaces/{namespace}/services"
        path = f"{services}/flux:http/proxy/x"
        until(lambda: api.call("GET", path, headers=ALICE).status_code != 403)
        assert api.call("GET", path, headers=ALICE).status_code in (404, 503)  # there is no such Service
        assert api.refused(403, "POST", path, {}, headers=ALICE)
        assert api.refused(403, "GET", f"{services}/other:http/proxy/x", headers=ALICE)


class TestImpersonation:
    def test_rights_are_those_of_the_other(self, api, maps):
        headers = {"Impersonate-User": "joe"}
        assert 'User "joe" cannot list' in api.refused(403, "GET", maps, headers=headers)["message"]
        headers["Impersonate-Group"] = "system:masters"
        assert api.call("GET", maps, headers=headers).status_code == 200

    def test_it_must_be_granted(self, api, namespace, bind):
        assert api.refused(403, "GET", "/version", headers={**ALICE, "Impersonate-User": "joe"})
        bind([_user("alice")], [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}], wide=True)
        until(lambda: api.call("GET", "/version", headers={**ALICE, "Impersonate-User": "joe"}).status_code == 200)
        both = {**ALICE, "Impersonate-User": "joe", "Impersonate-Group": "g"}
        assert api.refused(403, "GET", "/version", headers=both)["message"] == (
            'groups "g" is forbidden: User "alice" cannot impersonate resource "groups" in API group "" '
            "at the cluster scope"
        )

    def test_a_group_needs_a_user(self, api):
        assert api.refused(400, "GET", "/version", headers={"Impersonate-Group": "g"})


def test_the_roles_that_are_there_from_the_start(api):
    for name in ("cluster-admin", "system:auth-delegator", "system:basic-user", "system:discovery"):
        role = api.get(f"{RBAC}/clusterroles/{name}")
        assert role["rules"] == BOOTSTRAP[name]
    assert [s["name"] for s in api.get(f"{RBAC}/clusterrolebindings/system:discovery")["subjects"]] == [
        "system:authenticated"
    ]


_REVIEW = {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"]}
_ACCESS = {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"]}
BOOTSTRAP = {
    "cluster-admin": [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ],
    "system:auth-delegator": [
        {**_REVIEW, "resources": ["tokenreviews"]},
        {**_ACCESS, "resources": ["subjectaccessreviews"]},
    ],
    "system:basic-user": [
        {**_ACCESS, "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]},
        {**_REVIEW, "resources": ["selfsubjectreviews"]},
    ],
    "system:discovery": [
        {
            "verbs": ["get"],
            "nonResourceURLs": [
                *("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*"),
                *("/readyz", "/version", "/version/"),
            ],
        }
    ],
}
