"""Who owns which field: objects made and edited with kubectl, and fields that leave git."""

from __future__ import annotations

import json

import pytest
from agent_status import log_lines
from config_repository import ConfigRepository, as_yaml, config_map, deployment

pytestmark = pytest.mark.controlplane


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = ConfigRepository(tmp_path_factory.mktemp("git"))
    repository.commit("first")
    return repository


@pytest.fixture(scope="module")
def agent(start_agent, repository):
    return start_agent(f"--git-url={repository.url}", "--auth=none", "--git-poll-interval=1h", "--sync-interval=1h")


@pytest.fixture
def sync(agent, repository, namespace):
    """Write `app.yaml` of this test's namespace and sync it."""

    def write(*objects):
        repository.commit_files({f"{namespace}/app.yaml": list(objects)})
        agent.kubectl_flux("sync")

    return write


@pytest.fixture
def read(plane, namespace):
    return lambda what: json.loads(plane.kubectl("get", "-n", namespace, what, "-o", "json", "--show-managed-fields"))


def managers(found):
    return sorted(
        f"{entry['manager']}/{entry['operation']}"
        for entry in found["metadata"]["managedFields"]
        if "subresource" not in entry
    )


def test_an_object_of_kubectl_apply_is_adopted_and_loses_what_git_does_not_have(plane, sync, read, namespace):
    plane.kubectl("apply", "-f", "-", input=as_yaml(config_map(namespace, a="1", gone="x")))
    sync(config_map(namespace, a="1", b="2"))
    found = read("cm/settings")
    assert found["data"] == {"a": "1", "b": "2"}
    assert managers(found) == ["flux/Apply"]
    assert "kubectl.kubernetes.io/last-applied-configuration" not in found["metadata"]["annotations"]
    sync(config_map(namespace, a="1"))
    assert read("cm/settings")["data"] == {"a": "1"}


def test_an_object_of_kubectl_create_is_adopted_too(plane, sync, read, namespace):
    plane.kubectl("create", "-n", namespace, "deployment", "web", "--image=acme/other:2")
    sync(deployment(namespace))
    found = read("deploy/web")
    assert [container["name"] for container in found["spec"]["template"]["spec"]["containers"]] == ["web"]
    assert managers(found) == ["flux/Apply"]


def test_a_field_that_was_edited_by_hand_then_committed_then_removed_goes(plane, sync, read, namespace):
    sync(config_map(namespace, a="1"))
    plane.kubectl("patch", "-n", namespace, "cm", "settings", "--type=merge", "-p", '{"data": {"extra": "x"}}')
    sync(config_map(namespace, a="1", extra="x"))
    assert read("cm/settings")["data"] == {"a": "1", "extra": "x"}
    sync(config_map(namespace, a="1"))
    assert read("cm/settings")["data"] == {"a": "1"}


def test_a_field_that_was_edited_and_edited_back_still_goes_with_git(plane, sync, agent, read, namespace):
    sync(config_map(namespace, a="1", b="2"))
    for value in ("9", "2"):
        plane.kubectl(
            "patch", "-n", namespace, "cm", "settings", "--type=merge", "-p", f'{{"data": {{"b": "{value}"}}}}'
        )
    agent.kubectl_flux("sync")
    assert managers(read("cm/settings")) == ["flux/Apply"]
    sync(config_map(namespace, a="1"))
    assert read("cm/settings")["data"] == {"a": "1"}


def test_a_container_that_was_edited_by_hand_is_put_back(plane, sync, agent, read, namespace):
    sync(deployment(namespace))
    plane.kubectl("set", "-n", namespace, "image", "deploy/web", "web=acme/web:hacked")
    agent.kubectl_flux("sync")
    [container] = read("deploy/web")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "acme/web:1.0.0"


def test_a_restart_by_kubectl_is_not_undone_by_the_next_change(plane, sync, read, namespace):
    sync(deployment(namespace))
    plane.kubectl("rollout", "restart", "-n", namespace, "deploy/web")
    sync(deployment(namespace, image="acme/web:1.0.1"))
    annotations = read("deploy/web")["spec"]["template"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in annotations


def test_an_object_that_was_deleted_by_hand_comes_back(plane, sync, agent, read, namespace):
    sync(config_map(namespace, a="1"))
    plane.kubectl("delete", "-n", namespace, "cm", "settings")
    agent.kubectl_flux("sync")
    assert read("cm/settings")["data"] == {"a": "1"}


def autoscaler(namespace):
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 3,
            "maxReplicas": 5,
        },
    }


def test_replicas_that_git_leaves_to_an_autoscaler_are_never_reset(plane, sync, read, namespace):
    sync(deployment(namespace, replicas=2))
    plane.kubectl("scale", "-n", namespace, "deploy/web", "--replicas=4")
    sync(deployment(namespace, replicas=None), autoscaler(namespace))
    assert read("deploy/web")["spec"]["replicas"] == 4
    sync(deployment(namespace, replicas=None, image="acme/web:1.0.1"), autoscaler(namespace))
    assert read("deploy/web")["spec"]["replicas"] == 4


def test_replicas_of_an_adopted_deployment_are_left_to_the_autoscaler(plane, sync, read, namespace):
    plane.kubectl("apply", "-f", "-", input=as_yaml(deployment(namespace, replicas=4)))
    sync(deployment(namespace, replicas=None))
    assert read("deploy/web")["spec"]["replicas"] == 4


def test_replicas_that_only_we_owned_stay_in_the_commit_that_removes_them(sync, read, namespace):
    sync(deployment(namespace, replicas=3))
    sync(deployment(namespace, replicas=None))
    assert read("deploy/web")["spec"]["replicas"] == 3


def test_what_the_api_server_normalises_is_sent_once(plane, sync, agent, read, namespace):
    heavy = deployment(namespace)
    [container] = heavy["spec"]["template"]["spec"]["containers"]
    container |= {
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
        "env": [{"name": "EMPTY", "value": ""}, {"name": "MODE", "value": "prod"}],
        "ports": [{"containerPort": 80}],
    }
    heavy["spec"]["template"]["spec"]["nodeSelector"] = {}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "namespace": namespace},
        "stringData": {"k": "v"},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}, {"port": 81, "name": "b", "protocol": "UDP"}]},
    }
    del service["spec"]["ports"][0]
    sync(heavy, secret, service)
    names = ("deploy/web", "secret/key", "svc/web")
    written = [write_times(read(name)) for name in names]
    agent.kubectl_flux("sync")
    assert [write_times(read(name)) for name in names] == written
    assert " applied=0 " in log_lines(agent, "msg=synced")[-1]


def write_times(found):
    return [entry["time"] for entry in found["metadata"]["managedFields"] if "subresource" not in entry]
