"""What goes out as a manifest: nothing of the cluster's own, and YAML that Kubernetes reads back as the same object."""

import copy
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.manifests.clean import belongs_elsewhere, manifest_of
from agent.manifests.yaml_reader import documents
from agent.manifests.yaml_writer import yaml_document

TEMPLATE = {
    "metadata": {"creationTimestamp": None, "labels": {"app": "shop"}},
    "spec": {
        "containers": [
            {"name": "web", "image": "acme/shop:1", "resources": {}, "env": [{"name": "A", "value": ""}]},
            {"name": "side", "image": "acme/side:v2", "resources": {"limits": {"cpu": "1"}}},
        ],
        "securityContext": {},
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}
CLEAN_TEMPLATE = {
    "metadata": {"labels": {"app": "shop"}},
    "spec": {
        "containers": [
            {"name": "web", "image": "acme/shop:1", "env": [{"name": "A", "value": ""}]},
            {"name": "side", "image": "acme/side:v2", "resources": {"limits": {"cpu": "1"}}},
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}
SHOP = {
    "metadata": {
        "name": "shop",
        "namespace": "demo",
        "uid": "1",
        "resourceVersion": "2",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "selfLink": "/x",
        "managedFields": [{"manager": "flux", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
        "labels": {"app": "shop", "fluxcd.io/sync-gc-mark": "sha256.x"},
        "annotations": {
            "fluxcd.io/automated": "true",
            "fluxcd.io/sync-checksum": "x",
            "fluxcd.io/sync-source": "flux/default@12345678",
            "flux.weave.works/sync-checksum": "x",
            "deployment.kubernetes.io/revision": "4",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "kubernetes.io/change-cause": "mine",
        },
    },
    "spec": {"replicas": 2, "selector": {}, "template": TEMPLATE},
    "status": {"replicas": 2},
}


def test_what_the_cluster_and_the_agent_added_is_left_out_and_nothing_else():
    before = copy.deepcopy(SHOP)
    assert manifest_of(SHOP, "apps/v1", "Deployment") == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "shop",
            "namespace": "demo",
            "labels": {"app": "shop"},
            "annotations": {"fluxcd.io/automated": "true", "kubernetes.io/change-cause": "mine"},
        },
        "spec": {"replicas": 2, "selector": {}, "template": CLEAN_TEMPLATE},
    }
    assert before == SHOP


def test_a_namespace_is_its_name_and_what_people_gave_it():
    item = {
        "metadata": {"name": "demo", "labels": {"kubernetes.io/metadata.name": "demo", "team": "a"}, "annotations": {}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    metadata = {"name": "demo", "labels": {"team": "a"}}
    assert manifest_of(item, "v1", "Namespace") == {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def test_templates_inside_a_cron_job_and_claims_of_a_stateful_set_are_cleaned_too():
    job = {"metadata": {"creationTimestamp": None}, "spec": {"backoffLimit": 2, "template": TEMPLATE}}
    cron = {"metadata": {"name": "c", "namespace": "d"}, "spec": {"schedule": "* * * * *", "jobTemplate": job}}
    spec = manifest_of(cron, "batch/v1", "CronJob")["spec"]
    assert spec["jobTemplate"] == {"spec": {"backoffLimit": 2, "template": CLEAN_TEMPLATE}}
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "creationTimestamp": None},
        "spec": {"a": {}},
    }
    stateful = {
        "metadata": {"name": "s"},
        "spec": {"volumeClaimTemplates": [{**claim, "status": {"phase": "Pending"}}]},
    }
    (kept,) = manifest_of(stateful, "apps/v1", "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert kept == {"kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {"a": {}}}


@pytest.mark.parametrize(
    ("manager", "subresource", "kept"),
    [
        ("kube-controller-manager", "scale", False),  # a HorizontalPodAutoscaler
        ("kubectl", "scale", True),  # somebody's `kubectl scale`
        ("kube-controller-manager", "status", True),
        ("flux", None, True),
    ],
)
def test_replicas_that_an_autoscaler_decides_are_not_gits(manager, subresource, kept):
    entry = {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    managed = [entry | ({"subresource": subresource} if subresource else {})]
    item = {"metadata": {"name": "a", "managedFields": managed}, "spec": {"replicas": 3, "paused": False}}
    assert ("replicas" in manifest_of(item, "apps/v1", "Deployment")["spec"]) is kept


@pytest.mark.parametrize(
    ("metadata", "elsewhere"),
    [
        ({}, False),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, True),
        ({"ownerReferences": [{"kind": "App", "controller": True}]}, True),
        ({"ownerReferences": [{"kind": "App"}]}, False),
        (
            {
                "annotations": {"meta.helm.sh/release-name": "x"},
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
            },
            True,
        ),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, False),
    ],
)
def test_what_somebody_else_keeps_is_not_exported(metadata, elsewhere):
    assert belongs_elsewhere(metadata) is elsewhere


def read_back(text):
    (document,) = documents(text.encode())
    return document.value


WORDS = r"1e3 0777 0x1F 12:30 2020-01-01 y No true null ~ .5 1_000 = << .inf - # %x @a 'a \"b {} [] *a &a !a"
BLANKS = ("", " ", "x ", "a: b", "a #b", "\n", "\n\n", "a\n", "a\nb", " a\n b\n", "\n a", "a\n\n", "a\t\nb", "\ttab")
SIGNS = ("a\r\nb", "é\u2028", "\x07", "---\n", "...\n")


@pytest.mark.parametrize("text", [*WORDS.split(), *BLANKS, *SIGNS])
def test_text_stays_text(text):
    value = {"args": [text], text: text}
    assert read_back(yaml_document(value)) == value


def test_scripts_are_blocks_and_lists_stand_as_flux_v1_wrote_them():
    value = {"b": [{"y": 1, "args": ["set -e\nexec true\n"]}], "a": {"on": "on", "n": 1}, "word": "plain"}
    assert yaml_document(value) == (
        'a:\n  "n": 1\n  "on": "on"\nb:\n- args:\n  - |\n    set -e\n    exec true\n  "y": 1\nword: plain\n'
    )


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), json_like, min_size=1))
def test_whatever_is_written_reads_back_as_the_same(value):
    assert read_back(yaml_document(value)) == json.loads(json.dumps(value))


def test_a_block_that_would_not_read_back_is_quoted():
    shared = {"x": "y"}
    text = yaml_document({"a": shared, "b": shared, "text": "\x85\nx"})
    assert "&" not in text
    assert yaml.safe_load(text)["text"] == "\x85\nx"
