"""The real kubectl against both servers: what people type, and what they see."""

from __future__ import annotations

import json

import pytest
import yaml
from conformance_api import config_map, deployment, managed, until


@pytest.fixture
def kubectl(api, namespace):
    """A function that runs kubectl in this test's namespace and gives its stdout; it must succeed."""
    if api.run is None:
        pytest.skip("kubectl is not installed")

    def run(*arguments, input=None):  # noqa: A002  # subprocess.run's own name
        done = api.run(["kubectl", "--namespace", namespace, *arguments], input=input)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _yaml(*objects):
    return yaml.safe_dump_all(objects)


def test_applying_by_the_server_twice(kubectl, namespace):
    text = _yaml(deployment("one", replicas=2), config_map("cm", {"a": "1"}))
    told = kubectl("apply", "--server-side", "-f", "-", input=text)
    assert told == "deployment.apps/one serverside-applied\nconfigmap/cm serverside-applied\n"
    assert kubectl("apply", "--server-side", "-f", "-", input=text) == told
    assert kubectl("rollout", "status", "deployment/one", "--timeout=60s").endswith("successfully rolled out\n")
    assert kubectl("wait", "deployment/one", "--for=condition=Available", "--timeout=60s")
    table = kubectl("get", "deploy", "one", "--no-headers").split()
    assert table[:4] == ["one", "2/2", "2", "2"]


def test_applying_by_the_client_as_of_old(kubectl, api, deployments):
    first = deployment("one", {"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}]}, replicas=0)
    second = deployment("one", {"name": "c", "image": "i:2"}, replicas=0)
    assert kubectl("apply", "-f", "-", input=_yaml(first)) == "deployment.apps/one created\n"
    assert kubectl("apply", "-f", "-", input=_yaml(first)) == "deployment.apps/one unchanged\n"
    assert kubectl("apply", "-f", "-", input=_yaml(second)) == "deployment.apps/one configured\n"
    live = api.get(f"{deployments}/one")
    container = live["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container.get("env")) == ("i:2", None)
    assert ("kubectl-client-side-apply", "Update", "") in managed(live)


def test_getting(kubectl, api, maps):
    kubectl("create", "-f", "-", input=_yaml(config_map("cm", {"a": "1", "b": "2"})))
    assert kubectl("get", "cm", "cm", "--no-headers").split()[:2] == ["cm", "2"]
    assert kubectl("get", "cm", "cm", "-o", "name") == "configmap/cm\n"
    assert yaml.safe_load(kubectl("get", "cm", "cm", "-o", "yaml"))["data"] == {"a": "1", "b": "2"}
    assert json.loads(kubectl("get", "cm", "cm", "-o", "json"))["kind"] == "ConfigMap"
    assert kubectl("get", "cm", "cm", "-o", "jsonpath={.data.b}") == "2"
    assert json.loads(kubectl("get", "--raw", f"{maps}/cm")) == api.get(f"{maps}/cm")
    assert "configmap/cm" in kubectl("get", "cm", "-o", "name", "--chunk-size=1")
    assert kubectl("get", "cm", "-l", "no=where", "-o", "name") == ""


def test_annotating_labelling_and_patching(kubectl, api, maps):
    kubectl("create", "-f", "-", input=_yaml(config_map("cm", {"a": "1"})))
    assert kubectl("annotate", "cm/cm", "note=x") == "configmap/cm annotated\n"
    assert kubectl("label", "cm/cm", "team=y") == "configmap/cm labeled\n"
    assert kubectl("patch", "cm/cm", "-p", '{"data":{"b":"2"}}') == "configmap/cm patched\n"
    kubectl("patch", "cm/cm", "--type=json", "-p", '[{"op":"remove","path":"/data/a"}]')
    live = api.get(f"{maps}/cm")
    assert (live["data"], live["metadata"]["annotations"], live["metadata"]["labels"]) == (
        {"b": "2"},
        {"note": "x"},
        {"team": "y"},
    )
    assert {name for name, _, _ in managed(live)} == {
        "kubectl-create",
        "kubectl-annotate",
        "kubectl-label",
        "kubectl-patch",
    }


def test_editing(kubectl, api, deployments):
    api.create(deployments, deployment("one", replicas=0))
    kubectl("set", "image", "deployment/one", "c=registry.example/app:2")
    live = api.get(f"{deployments}/one")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/app:2"
    container = managed(live)["kubectl-set", "Update", ""]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert container == {'k:{"name":"c"}': {"f:image": {}}}


def test_scaling(kubectl, api, deployments):
    api.create(deployments, deployment("one", replicas=0))
    assert kubectl("scale", "deployment/one", "--replicas=1") == "deployment.apps/one scaled\n"
    live = api.get(f"{deployments}/one")
    assert live["spec"]["replicas"] == 1
    assert managed(live)["kubectl", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}


def test_deleting(kubectl):
    kubectl("create", "-f", "-", input=_yaml(config_map("cm"), deployment("one", replicas=0)))
    assert kubectl("delete", "cm/cm").startswith('configmap "cm" deleted')
    assert kubectl("delete", "deployment", "one", "--cascade=foreground").startswith('deployment.apps "one" deleted')


def test_what_is_served(kubectl, widgets):
    kinds = kubectl("api-resources", "-o", "name").split()
    assert {"configmaps", "deployments.apps", "widgets.suite.example"} <= set(kinds)
    widget = {"apiVersion": "suite.example/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}}
    told = kubectl("apply", "--server-side", "-f", "-", input=_yaml(widget))
    assert told == "widget.suite.example/w serverside-applied\n"
    assert kubectl("get", "wd", "--no-headers").split()[0] == "w"


def test_creating_a_token(kubectl, api, bot):
    token = kubectl("create", "token", "bot", "--audience=a", "--audience=b", "--duration=20m").strip()
    review = {"spec": {"token": token, "audiences": ["b"]}}
    assert api.create("/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]["audiences"] == ["b"]
    made = json.loads(kubectl("create", "token", "bot", "-o", "json"))
    assert (made["kind"], made["spec"]["expirationSeconds"]) == ("TokenRequest", 3600)


def test_asking_who_one_is(kubectl, namespace, bot):
    rows = [line.split() for line in kubectl("auth", "whoami", "--as=joe", "--as-group=g").splitlines()]
    assert rows == [["ATTRIBUTE", "VALUE"], ["Username", "joe"], ["Groups", "[g", "system:authenticated]"]]
    account = f"system:serviceaccount:{namespace}:bot"
    assert kubectl("auth", "whoami", f"--as={account}", "-o", "jsonpath={.status.userInfo.username}") == account


def test_asking_what_one_may(api, kubectl, namespace, bot):
    assert kubectl("auth", "can-i", "delete", "configmaps") == "yes\n"
    group = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "reader"}}
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}
    subject = {"kind": "ServiceAccount", "name": "bot", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    binding = {**group, "kind": "RoleBinding", "subjects": [subject], "roleRef": reference}
    kubectl("create", "-f", "-", input=_yaml({**group, "kind": "Role", "rules": [rule]}, binding))
    account = f"--as=system:serviceaccount:{namespace}:bot"

    def may(*what):
        done = api.run(["kubectl", "--namespace", namespace, "auth", "can-i", *what, account])
        return done.stdout, done.returncode

    until(lambda: may("list", "configmaps") == ("yes\n", 0))
    assert may("delete", "configmaps") == ("no\n", 1)
    assert may("release", "workloads.flux.fluxcd.io") == ("no\n", 1)
    assert may("get", "/version") == ("yes\n", 0)
    kubectl("get", "configmaps", account)
    refused = api.run(["kubectl", "--namespace", namespace, "delete", "cm", "a", account])
    assert refused.stderr.startswith('Error from server (Forbidden): configmaps "a" is forbidden: User "system:service')


def test_refusals_reach_the_person(api, kubectl, namespace):
    done = api.run(["kubectl", "--namespace", namespace, "get", "cm", "none"])
    assert (done.returncode, done.stderr) == (1, 'Error from server (NotFound): configmaps "none" not found\n')
