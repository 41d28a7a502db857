"""What a revision may hold: each object is attempted, and what cannot be applied fails alone, in the server's words."""

from __future__ import annotations

import base64

import pytest
from agent_status import log_lines, status_of, told_of, until
from config_repository import (
    as_yaml,
    config_map,
    custom,
    definition,
    deployment,
    job,
    namespace_of,
    secret,
    service,
)
from controlplane.plane import PlaneError

pytestmark = pytest.mark.controlplane


def labelled(namespace, name):
    made = config_map(namespace, name)
    made["metadata"]["labels"] = {"tier": "forbidden"}
    return made


def test_a_definition_and_its_objects_come_in_one_commit(plane, sync, repository, namespace, read, prefix):
    group = f"{prefix}.example.com"
    sync({"a": custom(group, "Shop", namespace, "first"), "b": definition(group, "Shop", "shops")})
    assert read("shops/first", f"/apis/{group}/v1")
    assert repository.tag() == repository.head


def test_a_namespace_and_its_contents_come_in_one_commit(plane, sync, prefix):
    space = f"{prefix}-together"
    sync({"a": [config_map(space, a="1"), namespace_of(space)]})
    assert plane.api("GET", f"/api/v1/namespaces/{space}/configmaps/settings")["data"] == {"a": "1"}


def test_a_custom_kind_may_be_called_like_one_of_the_core(sync, namespace, read, prefix):
    group = f"serving-{prefix}.example.com"
    sync(
        {
            "core": service(namespace, "web"),
            "custom": custom(group, "Service", namespace, "web"),
            "definition": definition(group, "Service", "services"),
        }
    )
    assert read("services/web")
    assert read("services/web", f"/apis/{group}/v1")
    sync({"core": service(namespace, "web"), "definition": definition(group, "Service", "services")})
    assert read("services/web")
    assert read("services/web", f"/apis/{group}/v1") is None


def test_lists_several_documents_and_comments_are_read(sync, namespace, read):
    listed = {"apiVersion": "v1", "kind": "List", "items": [config_map(namespace, "l1"), config_map(namespace, "l2")]}
    typed = {"apiVersion": "v1", "kind": "ConfigMapList", "items": [config_map(namespace, "l3")]}
    several = f"# about this file\n---\n{as_yaml(config_map(namespace, 'd1'))}---\n# only a comment\n---\n"
    several += as_yaml(config_map(namespace, "d2"))
    sync({"listed": listed, "typed": typed, "several": several, "comments": "# nothing yet\n"})
    names = ("l1", "l2", "l3", "d1", "d2")
    assert [bool(read(f"configmaps/{name}")) for name in names] == [True] * 5


def test_a_field_that_may_not_change_fails_alone_and_the_tag_moves(sync, repository, namespace, read):
    def files(number, **labels):
        web = deployment(namespace)
        web["spec"]["selector"]["matchLabels"] |= labels
        web["spec"]["template"]["metadata"]["labels"] |= labels
        return {
            "web": web,
            "front": service(namespace, "front", clusterIP=f"10.96.200.{number}"),
            "once": job(namespace, "once", f"acme/once:{number}"),
            "settings": config_map(namespace, a=str(number)),
        }

    sync(files(1))
    said = sync(files(2, tier="front"), fails=True)
    assert "field is immutable" in told_of(said, f"{namespace}:deployment/web (web.yaml:1)")
    assert "may not change once set" in told_of(said, f"{namespace}:service/front (front.yaml:1)")
    assert "field is immutable" in told_of(said, f"{namespace}:job/once (once.yaml:1)")
    assert read("configmaps/settings")["data"] == {"a": "2"}
    assert repository.tag() == repository.head


WORDS = "nobody may have the forbidden tier"
POLICY = f"""
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: NAME}}
spec:
  matchConstraints:
    resourceRules:
    - {{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}}
  validations:
  - expression: object.metadata.?labels.?tier.orValue('') != 'forbidden'
    message: {WORDS}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: NAME}}
spec:
  policyName: NAME
  validationActions: [Deny]
  matchResources:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: NAMESPACE}}}}
"""


@pytest.fixture
def policy(plane, namespace, prefix):
    """An admission policy that refuses ConfigMaps labelled `tier: forbidden` in the test's namespace; its words."""
    probe = labelled(namespace, "probe")
    both = POLICY.replace("NAMESPACE", namespace).replace("NAME", f"{prefix}-policy")
    plane.kubectl("apply", "-f", "-", input=both)

    def refuses():
        try:
            plane.api("POST", f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All", probe)
        except PlaneError as error:
            return WORDS in str(error)
        return False

    until(refuses, "the admission policy")
    yield WORDS
    plane.kubectl("delete", "-f", "-", input=both)


def test_a_denied_admission_is_told_in_its_own_words(sync, repository, namespace, read, policy):
    said = sync({"bad": labelled(namespace, "bad"), "good": config_map(namespace, "good")}, fails=True)
    assert policy in told_of(said, f"{namespace}:configmap/bad (bad.yaml:1)")
    assert read("configmaps/good")
    assert repository.tag() == repository.head


def test_an_exceeded_quota_is_told_in_the_api_servers_words(plane, sync, repository, namespace, read):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": namespace},
        "spec": {"hard": {"count/secrets": "1"}},
    }
    sync({"quota": quota})
    until(lambda: read("resourcequotas/few").get("status", {}).get("used"), "the quota to be counted")
    files = {name: secret(namespace, name, data={}) for name in ("one", "two")}
    said = sync({"quota": quota, "settings": config_map(namespace), **files}, fails=True)
    assert "exceeded quota: few" in told_of(said, f"{namespace}:secret/")
    assert read("configmaps/settings")
    assert [bool(read(f"secrets/{name}")) for name in ("one", "two")].count(True) == 1
    assert repository.tag() == repository.head


def test_what_does_not_fit_its_kind_fails_clearly(sync, repository, namespace, read):
    odd = deployment(namespace, "odd")
    odd["spec"]["replicsa"] = 3
    twice = deployment(namespace, "twice")
    twice["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}, {"name": "A"}]
    said = sync({"odd": odd, "twice": twice, "good": config_map(namespace)}, fails=True)
    assert "does not fit the schema of its kind" in told_of(said, f"{namespace}:deployment/odd (odd.yaml:1)")
    assert ".spec.replicsa: field not declared in schema" in said
    assert "does not fit the schema of its kind" in told_of(said, f"{namespace}:deployment/twice (twice.yaml:1)")
    assert read("configmaps/settings")
    assert repository.tag() == repository.head


def test_an_unknown_kind_and_a_missing_namespace_fail_alone_with_the_next_thing_to_try(
    sync, repository, namespace, read
):
    lost = custom("nowhere.example.com", "Shop", namespace, "lost")
    files = {"lost": lost, "astray": config_map(f"{namespace}-not", "astray"), "good": config_map(namespace)}
    said = sync(files, fails=True)
    assert "is its CustomResourceDefinition missing?" in told_of(said, f"{namespace}:shop/lost (lost.yaml:1)")
    assert "not found" in told_of(said, f"{namespace}-not:configmap/astray (astray.yaml:1)")
    assert read("configmaps/settings")
    assert repository.tag() == repository.head


@pytest.fixture
def broken(plane, prefix):
    """A group of kinds whose own API server does not answer."""
    group = f"broken-{prefix}.example.com"
    spec = {"group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100}
    spec |= {"insecureSkipTLSVerify": True, "service": {"name": "nobody", "namespace": "default"}}
    registration = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"v1.{group}"},
        "spec": spec,
    }
    plane.kubectl("apply", "-f", "-", input=as_yaml(registration))
    plane.kubectl("wait", "--for=condition=Available=false", f"apiservice/v1.{group}", "--timeout=30s")
    yield group
    plane.kubectl("delete", f"apiservice/v1.{group}")


def test_a_group_whose_own_server_is_away_fails_alone_and_is_not_called_undefined(
    sync, repository, namespace, read, broken
):
    said = sync({"shop": custom(broken, "Shop", namespace, "first"), "good": config_map(namespace)}, fails=True)
    assert "CustomResourceDefinition" not in told_of(said, f"{namespace}:shop/first (shop.yaml:1)")
    assert read("configmaps/settings")
    assert repository.tag() == repository.head


def test_a_field_that_another_applier_owns_becomes_gits(plane, sync, namespace, read):
    other = config_map(namespace, mine="other", theirs="1")
    plane.kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", input=as_yaml(other))
    sync({"settings": config_map(namespace, mine="git")})
    assert read("configmaps/settings")["data"] == {"mine": "git", "theirs": "1"}


def test_what_a_namespace_that_is_ending_refuses_fails_alone(plane, sync, repository, namespace, read, prefix):
    ending = f"{prefix}-ending"
    plane.kubectl("create", "namespace", ending)
    held = config_map(ending, "held")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    plane.api("POST", f"/api/v1/namespaces/{ending}/configmaps", held)
    plane.kubectl("delete", "namespace", "--wait=false", ending)
    try:
        said = sync({"late": config_map(ending, "late"), "good": config_map(namespace)}, fails=True)
    finally:
        plane.kubectl("patch", "-n", ending, "cm/held", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    assert "is being terminated" in told_of(said, f"{ending}:configmap/late (late.yaml:1)")
    assert read("configmaps/settings")
    assert repository.tag() == repository.head


def test_a_config_map_of_almost_a_mebibyte_applies(sync, namespace, read):
    sync({"large": config_map(namespace, large="x" * 1_040_000)})
    assert len(read("configmaps/settings")["data"]["large"]) == 1_040_000


HIDDEN = "hidden7392"
PIN = 48151623
REFUSED = {
    "not-base64": {"data": {"key": f"!{HIDDEN}!"}},
    "a-mapping": {"data": {"key": {"inner": HIDDEN}}},
    "a-list": {"data": {"key": [HIDDEN]}},
    "a-number": {"data": {"key": PIN}},
    "no-mapping": {"data": HIDDEN},
    "another-type": {"type": "kubernetes.io/tls", "stringData": {"tls.crt": HIDDEN}},
    "a-strange-type": {"type": {"of": HIDDEN}, "data": {}},
}
UNREADABLE = {
    "an-alias": f"stringData:\n  key: *{HIDDEN}\n",
    "a-large-number": f"data:\n  key: {PIN}e999\n",
    "a-colon": f"stringData:\n  key: {HIDDEN}: x\n",
}


def test_the_values_of_a_refused_secret_are_never_told(agent, sync, namespace):
    files = {name: secret(namespace, name, **content) for name, content in REFUSED.items()}
    files |= {name: as_yaml(secret(namespace, name)) + content for name, content in UNREADABLE.items()}
    said = sync(files, fails=True)
    assert [name for name in files if f"{name}.yaml" not in said] == []
    reasons = [failure["reason"] for failure in status_of(agent)["failures"]]
    heard = [*said.splitlines(), *reasons, *log_lines(agent)]
    assert [line for line in heard if is_told(line)] == []


def is_told(text):
    coded = base64.b64encode(HIDDEN.encode()).decode().rstrip("=")[:12]
    return any(value in text for value in (HIDDEN, coded, str(PIN), base64.b64encode(str(PIN).encode()).decode()))


def test_plain_values_that_are_no_words_are_refused_as_by_kubectl(sync, namespace, read):
    contents = {"a-truth": {"key": True}, "a-number": {"key": 7}, "a-part": {"key": 1.5}, "no-mapping": "word"}
    said = sync({name: secret(namespace, name, stringData=content) for name, content in contents.items()}, fails=True)
    assert [name for name in contents if f"{namespace}:secret/{name} ({name}.yaml:1)" not in said] == []
    assert [name for name in contents if read(f"secrets/{name}")] == []


def test_an_object_that_is_defined_twice_holds_the_tag_and_the_deletions(sync, repository, namespace, read):
    sync({"settings": config_map(namespace, a="1"), "gone": config_map(namespace, "gone")})
    held = repository.tag()
    files = {
        "settings": config_map(namespace, a="2"),
        "apps/again": [config_map(namespace, "other"), config_map(namespace, a="3")],
    }
    said = sync(files, fails=True)
    line = told_of(said, f"{namespace}:configmap/settings (")
    assert "apps/again.yaml:" in line and "settings.yaml:1" in line
    assert [bool(read(f"configmaps/{name}")) for name in ("other", "gone")] == [True, True]
    assert read("configmaps/settings")["data"] == {"a": "1"}
    assert repository.tag() == held
    sync({"settings": config_map(namespace, a="2")})
    assert read("configmaps/gone") is None
    assert repository.tag() == repository.head


def test_objects_of_the_cluster_itself_come_and_go(plane, sync, namespace, prefix):
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"{prefix}-role", "namespace": namespace},
        "rules": [],
    }
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles?fieldSelector=metadata.name={prefix}-role"
    sync({"role": role, "settings": config_map(namespace)})
    assert len(plane.api("GET", path)["items"]) == 1
    sync({"settings": config_map(namespace)})
    assert plane.api("GET", path)["items"] == []
