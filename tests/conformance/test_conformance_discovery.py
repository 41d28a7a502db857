"""What is served, told in both forms; custom kinds come and go; health and version."""

from __future__ import annotations

import copy

import pytest
from conformance_api import WIDGETS, established

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def _aggregated(api, path):
    answer = api.call("GET", path, headers={"Accept": f"{AGGREGATED},application/json"})
    assert answer.headers["Content-Type"] == AGGREGATED
    document = answer.json()
    assert (document["kind"], document["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    return {
        (group["metadata"].get("name", ""), version["version"], resource["resource"]): resource
        for group in document["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }


KINDS = [
    ("", "v1", "namespaces"),
    ("", "v1", "configmaps"),
    ("", "v1", "secrets"),
    ("", "v1", "serviceaccounts"),
    ("", "v1", "persistentvolumes"),
    ("", "v1", "persistentvolumeclaims"),
    ("", "v1", "resourcequotas"),
    ("", "v1", "limitranges"),
    ("", "v1", "events"),
    ("apps", "v1", "deployments"),
    ("apps", "v1", "daemonsets"),
    ("apps", "v1", "statefulsets"),
    ("apps", "v1", "replicasets"),
    ("batch", "v1", "jobs"),
    ("batch", "v1", "cronjobs"),
    ("networking.k8s.io", "v1", "ingresses"),
    ("networking.k8s.io", "v1", "ingressclasses"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("rbac.authorization.k8s.io", "v1", "roles"),
    ("rbac.authorization.k8s.io", "v1", "rolebindings"),
    ("rbac.authorization.k8s.io", "v1", "clusterroles"),
    ("rbac.authorization.k8s.io", "v1", "clusterrolebindings"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("storage.k8s.io", "v1", "storageclasses"),
    ("scheduling.k8s.io", "v1", "priorityclasses"),
    ("coordination.k8s.io", "v1", "leases"),
    ("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
]

REVIEWS = [
    ("authentication.k8s.io", "SelfSubjectReview", "Cluster"),
    ("authentication.k8s.io", "TokenReview", "Cluster"),
    ("authorization.k8s.io", "LocalSubjectAccessReview", "Namespaced"),
    ("authorization.k8s.io", "SelfSubjectAccessReview", "Cluster"),
    ("authorization.k8s.io", "SubjectAccessReview", "Cluster"),
]


class TestAggregated:
    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[2])
    def test_a_built_in_kind_is_told_with_its_names_and_verbs(self, api, kind):
        found = dict(_aggregated(api, "/apis" if kind[0] else "/api")[kind])
        found.pop("categories", None)
        subresources = [one for one in found.pop("subresources", ()) if one["subresource"] in _SUBRESOURCES]
        assert (found, subresources) == _expected(kind)

    def test_services_have_a_proxy(self, api):
        service = _aggregated(api, "/api")["", "v1", "services"]
        assert {"proxy", "status"} <= {one["subresource"] for one in service["subresources"]}

    def test_accounts_have_tokens(self, api):
        (token,) = _aggregated(api, "/api")["", "v1", "serviceaccounts"]["subresources"]
        answer = {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}
        assert token == {"subresource": "token", "responseKind": answer, "verbs": ["create"]}

    @pytest.mark.parametrize("review", REVIEWS)
    def test_reviews_can_only_be_created(self, api, review):
        group, kind, scope = review
        assert _aggregated(api, "/apis")[group, "v1", f"{kind.lower()}s"] == {
            "resource": f"{kind.lower()}s",
            "responseKind": {"group": "", "version": "", "kind": kind},
            "scope": scope,
            "singularResource": kind.lower(),
            "verbs": ["create"],
        }

    def test_a_custom_kind_is_told_with_its_group(self, api, widgets):
        found = _aggregated(api, "/apis")["suite.example", "v1", "widgets"]
        assert found == {
            "resource": "widgets",
            "responseKind": {"group": "suite.example", "version": "v1", "kind": "Widget"},
            "scope": "Namespaced",
            "singularResource": "widget",
            "verbs": found["verbs"],
            "shortNames": ["wd"],
            "subresources": [
                {
                    "subresource": "status",
                    "responseKind": {"group": "suite.example", "version": "v1", "kind": "Widget"},
                    "verbs": ["get", "patch", "update"],
                }
            ],
        }
        assert sorted(found["verbs"]) == sorted(
            ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        )


def _expected(kind):
    _, _, plural = kind
    name, scope, short, subresources = _KNOWN[plural]
    document = {
        "resource": plural,
        "responseKind": {"group": "", "version": "", "kind": name},
        "scope": scope,
        "singularResource": name.lower(),
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    }
    if plural == "namespaces":
        document["verbs"].remove("deletecollection")
    if short:
        document["shortNames"] = short.split(",")
    return document, [_subresource(name, one) for one in subresources.split(",") if one]


def _subresource(kind, name):
    answer = {"group": "", "version": "", "kind": kind}
    if name == "scale":
        answer = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    return {"subresource": name, "responseKind": answer, "verbs": ["get", "patch", "update"]}


_SUBRESOURCES = ("scale", "status")
_N, _C = "Namespaced", "Cluster"
_KNOWN = {
    "namespaces": ("Namespace", _C, "ns", "status"),
    "configmaps": ("ConfigMap", _N, "cm", ""),
    "secrets": ("Secret", _N, "", ""),
    "serviceaccounts": ("ServiceAccount", _N, "sa", ""),
    "persistentvolumes": ("PersistentVolume", _C, "pv", "status"),
    "persistentvolumeclaims": ("PersistentVolumeClaim", _N, "pvc", "status"),
    "resourcequotas": ("ResourceQuota", _N, "quota", "status"),
    "limitranges": ("LimitRange", _N, "limits", ""),
    "events": ("Event", _N, "ev", ""),
    "deployments": ("Deployment", _N, "deploy", "scale,status"),
    "daemonsets": ("DaemonSet", _N, "ds", "status"),
    "statefulsets": ("StatefulSet", _N, "sts", "scale,status"),
    "replicasets": ("ReplicaSet", _N, "rs", "scale,status"),
    "jobs": ("Job", _N, "", "status"),
    "cronjobs": ("CronJob", _N, "cj", "status"),
    "ingresses": ("Ingress", _N, "ing", "status"),
    "ingressclasses": ("IngressClass", _C, "", ""),
    "networkpolicies": ("NetworkPolicy", _N, "netpol", ""),
    "roles": ("Role", _N, "", ""),
    "rolebindings": ("RoleBinding", _N, "", ""),
    "clusterroles": ("ClusterRole", _C, "", ""),
    "clusterrolebindings": ("ClusterRoleBinding", _C, "", ""),
    "horizontalpodautoscalers": ("HorizontalPodAutoscaler", _N, "hpa", "status"),
    "poddisruptionbudgets": ("PodDisruptionBudget", _N, "pdb", "status"),
    "storageclasses": ("StorageClass", _C, "sc", ""),
    "priorityclasses": ("PriorityClass", _C, "pc", ""),
    "leases": ("Lease", _N, "", ""),
    "mutatingwebhookconfigurations": ("MutatingWebhookConfiguration", _C, "", ""),
    "validatingwebhookconfigurations": ("ValidatingWebhookConfiguration", _C, "", ""),
    "customresourcedefinitions": ("CustomResourceDefinition", _C, "crd,crds", "status"),
}


class TestLegacy:
    def test_the_core_versions(self, api):
        document = api.get("/api")
        assert (document["kind"], document["versions"]) == ("APIVersions", ["v1"])

    def test_groups_name_their_versions(self, api):
        groups = {group["name"]: group for group in api.get("/apis")["groups"]}
        version = {"groupVersion": "apps/v1", "version": "v1"}
        assert groups["apps"] == {"name": "apps", "versions": [version], "preferredVersion": version}
        assert api.get("/apis/apps") == {"kind": "APIGroup", "apiVersion": "v1", **groups["apps"]}

    def test_resources_of_a_group(self, api):
        document = api.get("/apis/apps/v1")
        assert (document["kind"], document["groupVersion"]) == ("APIResourceList", "apps/v1")
        found = {one["name"]: one for one in document["resources"]}
        deployments = dict(found["deployments"])
        deployments.pop("storageVersionHash", None)
        assert deployments == {
            "name": "deployments",
            "singularName": "deployment",
            "namespaced": True,
            "kind": "Deployment",
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            "shortNames": ["deploy"],
            "categories": ["all"],
        }
        assert found["deployments/scale"] == {
            "name": "deployments/scale",
            "singularName": "",
            "namespaced": True,
            "group": "autoscaling",
            "version": "v1",
            "kind": "Scale",
            "verbs": ["get", "patch", "update"],
        }

    def test_resources_of_the_core_group(self, api):
        document = api.get("/api/v1")
        assert document["groupVersion"] == "v1"
        found = {one["name"]: one for one in document["resources"]}
        assert {"namespaces", "services", "services/proxy", "configmaps"} <= found.keys()
        assert found["serviceaccounts/token"] == {
            "name": "serviceaccounts/token",
            "singularName": "",
            "namespaced": True,
            "group": "authentication.k8s.io",
            "version": "v1",
            "kind": "TokenRequest",
            "verbs": ["create"],
        }

    def test_resources_of_reviews(self, api):
        assert api.get("/apis/authentication.k8s.io/v1")["resources"] == [
            {
                "name": f"{kind.lower()}s",
                "singularName": kind.lower(),
                "namespaced": False,
                "kind": kind,
                "verbs": ["create"],
            }
            for kind in ("SelfSubjectReview", "TokenReview")
        ]


class TestWhatIsNotServed:
    def test_unknown_kinds_are_not_found(self, api):
        status = api.refused(404, "GET", "/api/v1/nonsenses")
        assert (status["reason"], status["message"], status["details"]) == (
            "NotFound",
            "the server could not find the requested resource",
            {},
        )

    @pytest.mark.parametrize("path", ["/apis/nonsense.example/v1", "/nonsense", "/apis/nonsense.example"])
    def test_unknown_paths_are_plain_text(self, api, path):
        answer = api.call("GET", path)
        assert (answer.status_code, answer.text) == (404, "404 page not found\n")


def test_health_and_version(api):
    assert [api.call("GET", path).text for path in ("/healthz", "/readyz", "/livez")] == ["ok"] * 3
    version = api.get("/version")
    assert (version["major"], version["minor"]) == ("1", "36")
    assert version["gitVersion"].startswith("v1.36.")


def test_a_custom_kind_is_served_once_established_and_gone_with_its_definition(api, namespace):
    definition = copy.deepcopy(WIDGETS)
    definition["metadata"]["name"] = "gadgets.suite.example"
    definition["spec"]["names"] = {"kind": "Gadget", "plural": "gadgets"}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    gadgets = f"/apis/suite.example/v1/namespaces/{namespace}/gadgets"
    assert api.call("GET", gadgets).status_code == 404
    made = api.create(path, definition)
    names = {"kind": "Gadget", "plural": "gadgets", "singular": "gadget", "listKind": "GadgetList"}
    assert (made["spec"]["names"], made["spec"]["conversion"]) == (names, {"strategy": "None"})
    live = api.until(f"{path}/gadgets.suite.example", established)
    assert (live["status"]["acceptedNames"], live["status"]["storedVersions"]) == (names, ["v1"])
    body = {"apiVersion": "suite.example/v1", "kind": "Gadget", "metadata": {"name": "g"}}
    api.until(gadgets, lambda listed: listed["kind"] == "GadgetList")
    assert api.create(gadgets, body)["metadata"]["generation"] == 1
    assert api.call("DELETE", f"{path}/gadgets.suite.example").status_code == 200
    api.gone(f"{path}/gadgets.suite.example")
    api.gone(gadgets)
