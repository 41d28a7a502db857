"""What the sync leaves alone: what is no manifest, what git or the cluster says to ignore, and what is another's."""

from __future__ import annotations

import json

import pytest
from agent_status import log_lines, status_of, told_of
from config_repository import as_yaml, config_map

pytestmark = pytest.mark.controlplane


def test_what_is_no_manifest_is_left_out_and_holds_nothing(agent, sync, repository, namespace, read):
    chart = {"Chart.yaml": "name: shop\n", "values.yaml": "a: 1\n", "templates/cm.yaml": "a: {{ .Values.a }}\n"}
    sync(
        {
            "good": config_map(namespace, "good"),
            "values/prices.yaml": "currency: EUR\nprices: [1, 2]\n",
            "json/settings.json": json.dumps(config_map(namespace, "json")),
            **{f"charts/shop/{name}": content for name, content in chart.items()},
        }
    )
    assert read("configmaps/good")
    assert read("configmaps/json") is None
    assert repository.tag() == repository.head
    notices = status_of(agent)["notices"]
    assert [notice for notice in notices if "charts/" in notice or "json" in notice] == []
    assert len([notice for notice in notices if "values/prices.yaml" in notice]) == 1
    agent.kubectl_flux("sync")
    assert len(log_lines(agent, "values/prices.yaml")) == 1


@pytest.mark.parametrize("value", ['"true"', "true"])
def test_what_git_says_to_ignore_is_neither_made_nor_changed(sync, repository, namespace, read, value):
    text = as_yaml(config_map(namespace, a="1"))
    ignored = text.replace("metadata:\n", f"metadata:\n  annotations:\n    fluxcd.io/ignore: {value}\n")
    sync({"settings": ignored})
    assert read("configmaps/settings") is None
    sync({"settings": text})
    assert read("configmaps/settings")["data"] == {"a": "1"}
    sync({"settings": ignored.replace("'1'", "'2'")})
    assert read("configmaps/settings")["data"] == {"a": "1"}
    assert repository.tag() == repository.head


def test_what_the_cluster_says_to_ignore_is_neither_changed_nor_collected(plane, sync, namespace, read):
    sync({"settings": config_map(namespace, a="1")})
    plane.kubectl("annotate", "-n", namespace, "cm/settings", "fluxcd.io/ignore=true")
    sync({"settings": config_map(namespace, a="2")})
    assert read("configmaps/settings")["data"] == {"a": "1"}
    sync({})
    assert read("configmaps/settings")
    plane.kubectl("delete", "-n", namespace, "cm/settings")


@pytest.mark.parametrize("place", ["git", "cluster"])
def test_what_is_to_be_synced_only_follows_git_and_is_not_collected(plane, sync, namespace, read, place):
    in_git = {"fluxcd.io/ignore": "sync_only"} if place == "git" else None
    sync({"settings": config_map(namespace, annotations=in_git, a="1")})
    if place == "cluster":
        plane.kubectl("annotate", "-n", namespace, "cm/settings", "fluxcd.io/ignore=sync_only")
    sync({"settings": config_map(namespace, annotations=in_git, a="2")})
    assert (read("configmaps/settings") or {}).get("data") == {"a": "2"}
    sync({})
    assert read("configmaps/settings")
    plane.kubectl("delete", "-n", namespace, "cm/settings")


OWNERS = {
    "the Helm release shop/web": {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"},
    },
    "the source team-b/default": {"annotations": {"fluxcd.io/sync-source": "team-b/default@0123abcd"}},
}


@pytest.mark.parametrize("owner", OWNERS)
def test_an_object_that_belongs_to_another_is_refused_and_told(plane, sync, repository, namespace, read, owner):
    made = config_map(namespace, a="theirs")
    made["metadata"] |= OWNERS[owner]
    plane.api("POST", f"/api/v1/namespaces/{namespace}/configmaps", made)
    said = sync({"settings": config_map(namespace, a="ours"), "good": config_map(namespace, "good")}, fails=True)
    assert f"belongs to {owner}" in told_of(said, f"{namespace}:configmap/settings (settings.yaml:1)")
    assert read("configmaps/settings")["data"] == {"a": "theirs"}
    assert read("configmaps/good")
    assert repository.tag() == repository.head
