"""Identities and policies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.errors import ClusterError, FluxError, UsageError
from agent.model.ids import ObjectKey, WorkloadId, group_of
from agent.model.policies import ignores_collection, ignores_sync, is_on, policies_of
from agent.model.resources import Resource


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("demo:deployment/shop", ("demo", "deployment", "shop")),
        ("demo:Deployment/shop", ("demo", "deployment", "shop")),
        ("deployment/shop", ("default", "deployment", "shop")),
        ("<cluster>:namespace/demo", ("<cluster>", "namespace", "demo")),
        ("demo:clusterrole/system:admin", ("demo", "clusterrole", "system:admin")),
    ],
)
def test_a_workload_id_is_read_as_v1_wrote_it(text, expected):
    assert WorkloadId.parse(text) == expected


@pytest.mark.parametrize("text", ["nonsense", "", "a:b", "a:b/", "a/b/c", "demo:deployment/a b", ":x/y"])
def test_what_is_no_workload_id_is_refused_in_v1s_words(text):
    with pytest.raises(UsageError, match="invalid service ID"):
        WorkloadId.parse(text)


_NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(_NAMES, st.sampled_from(["Deployment", "CronJob"]), _NAMES)
def test_a_workload_id_survives_being_written_and_read(namespace, kind, name):
    identity = ObjectKey("apps", kind, namespace, name).workload_id
    assert WorkloadId.parse(str(identity)) == identity


def test_two_kinds_of_one_name_share_the_id_but_not_the_key():
    core, knative = (ObjectKey(group, "Service", "demo", "web") for group in ("", "serving.knative.dev"))
    assert str(core) == str(knative) == "demo:service/web"
    assert core != knative


@pytest.mark.parametrize(("api_version", "group"), [("v1", ""), ("apps/v1", "apps"), ("a.b/v1beta1", "a.b")])
def test_the_group_of_an_api_version(api_version, group):
    assert group_of(api_version) == group


def test_policies_are_read_under_every_prefix_and_the_newer_wins():
    policies = policies_of(
        {
            "flux.weave.works/automated": "false",
            "fluxcd.io/automated": "true",
            "fluxcd.io/tag.web": "semver:~1",
            "filter.fluxcd.io/side": "glob:*",
            "filter.fluxcd.io/web": "glob:no",
            "fluxcd.io/sync-checksum": "x",
            "fluxcd.io/locked_msg": "why",
            "example.com/automated": "no",
        }
    )
    assert dict(policies) == {"automated": "true", "tag.web": "semver:~1", "tag.side": "glob:*", "locked_msg": "why"}


@pytest.mark.parametrize(("value", "on"), [("true", True), ("True", False), ("1", False), ("", False), (None, False)])
def test_a_boolean_policy_counts_only_as_true(value, on):
    assert is_on({} if value is None else {"automated": value}, "automated") is on


@pytest.mark.parametrize(
    ("value", "left_alone", "kept"), [("true", True, True), ("sync_only", False, True), ("false", False, False)]
)
def test_what_is_to_be_synced_only_is_synced_and_kept(value, left_alone, kept):
    assert ignores_sync({"ignore": value}) is left_alone
    assert ignores_collection({"ignore": value}) is kept


def test_an_error_is_a_sentence_with_its_hint():
    assert str(FluxError("it broke", hint="mend it")) == "it broke (mend it)"
    assert ClusterError("no", status=429).temporary and not ClusterError("no", status=403).temporary


@pytest.mark.parametrize(
    ("name", "segment"),
    [("system:node", "system:node"), ("a/status", "a%2Fstatus"), ("a?b=c#d", "a%3Fb%3Dc%23d"), ("a%2fb", "a%252fb")],
)
def test_a_name_is_one_segment_of_its_path(name, segment):
    resource = Resource("apps", "v1", "Deployment", "deployments", namespaced=True, verbs=frozenset())
    assert resource.path(name, name) == f"/apis/apps/v1/namespaces/{segment}/deployments/{segment}"
