"""The pure parts of the sync: marks, coverage, takeover, desired state, plan."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.manifests.load import parse
from agent.model.ids import ObjectKey
from agent.model.policies import SYNC_CHECKSUM, SYNC_MARK
from agent.model.resources import Resource
from agent.sync.coverage import covers
from agent.sync.desired import DesiredBuilder, Scope
from agent.sync.live import Live, Settled, fingerprint, observe
from agent.sync.managers import take_over, without_replicas
from agent.sync.marks import marker, v1_mark, v1_salt
from agent.sync.plan import Verb, plan
from agent.sync.ranks import CONFIGURATION, FOUNDATIONS, NAMESPACES, REST, WEBHOOKS, WORKLOADS, rank_of

VERBS = frozenset({"list", "patch"})
DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", namespaced=True, verbs=VERBS)
NAMESPACE = Resource("", "v1", "Namespace", "namespaces", namespaced=False, verbs=VERBS)
SECRETS = Resource("", "v1", "Secret", "secrets", namespaced=True, verbs=VERBS)
MARKER = marker("flux", "default")


class Kinds:
    preferred = ()

    def find(self, api_version, kind):
        return {("apps/v1", "Deployment"): DEPLOYMENTS, ("v1", "Namespace"): NAMESPACE, ("v1", "Secret"): SECRETS}.get(
            (api_version, kind)
        )


def build(text, **scope):
    return DesiredBuilder(MARKER, Scope(**scope)).build(parse(text.encode()).manifests, Kinds())


def deployment(name="web", namespace="demo", **annotations):
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
            "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x:1"}]}}},
        }
    )


def test_v1s_marks_are_recognised_by_its_formula():
    salt = v1_salt("ssh://git@example.com/acme/cluster", "master", ["apps", "infra"])
    shop, demo = ObjectKey("apps", "Deployment", "demo", "shop"), ObjectKey("", "Namespace", "", "demo")
    assert v1_mark(salt, shop) == "sha256.5GmmmJONCjsToKLjBr39t0Ix1XEYTXwGf4EQ4LXwfLM"
    assert v1_mark(salt, demo) == "sha256.KdUmsPWp9bIhCvQqygkZ7CPywxXqAoOG-DoQWwPH4Q4"
    ours = marker("flux", "default", salt)
    assert ours.is_ours(shop, v1_mark(salt, shop)) and not ours.is_ours(demo, v1_mark(salt, shop))


def test_a_mark_fits_into_a_label_and_names_one_object_of_one_source():
    key = ObjectKey("apps", "Deployment", "demo", "web")
    assert len(MARKER.mark(key)) == 50
    others = {
        marker("flux", "other").mark(key),
        marker("team", "default").mark(key),
        MARKER.mark(key._replace(group="x")),
        MARKER.mark(key._replace(name="b")),
    }
    assert len(others | {MARKER.mark(key)}) == 5


def test_what_is_sent_carries_mark_source_and_checksum_and_no_bookkeeping():
    text = json.loads(deployment())
    text["metadata"] |= {"uid": "1", "resourceVersion": "2", "managedFields": []}
    [item] = build(json.dumps({**text, "status": {"replicas": 1}})).objects
    sent = item.intent()
    assert sent["metadata"]["labels"][SYNC_MARK] == MARKER.mark(item.key)
    assert sent["metadata"]["annotations"][SYNC_CHECKSUM] == item.checksum
    assert sent["metadata"]["annotations"]["fluxcd.io/sync-source"] == "flux/default"
    assert "uid" not in sent["metadata"] and "status" not in sent and "managedFields" not in sent["metadata"]


def test_the_checksum_follows_what_is_sent_not_how_the_file_is_written():
    [one] = build(
        "# a comment\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: default}\n"
    ).objects
    [two] = build("kind: Deployment\napiVersion: apps/v1\nmetadata:\n  name: a\n").objects
    [three] = build("kind: Deployment\napiVersion: apps/v1\nmetadata:\n  name: a\n  labels: {x: y}\n").objects
    assert one.checksum == two.checksum != three.checksum


def test_string_data_is_sent_as_data():
    [item] = build("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: eA==}\nstringData: {b: hi}\n").objects
    assert item.intent()["data"] == {"a": "eA==", "b": "aGk="} and "stringData" not in item.intent()


def test_namespaces_are_filled_in_where_the_kind_has_them_and_dropped_where_not():
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: ns, namespace: odd}\n---\n" + deployment(namespace="")
    keys = {item.key for item in build(text, default_namespace="team").objects}
    assert keys == {ObjectKey("", "Namespace", "", "ns"), ObjectKey("apps", "Deployment", "team", "web")}


def test_an_id_that_is_defined_twice_is_used_neither_time():
    state = build(deployment() + "\n---\n" + deployment(extra="1") + "\n---\n" + deployment("other"))
    assert [item.key.name for item in state.objects] == ["other"]
    assert [str(problem) for problem in state.duplicates] == [
        ":3: demo:deployment/web is defined a second time; the first is :1"
    ]


def test_only_allowed_namespaces_are_touched():
    text = "\n---\n".join(
        [
            deployment(),
            deployment(namespace="b"),
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}",
        ]
    )
    state = build(text, allowed=frozenset({"demo"}))
    assert {str(item.key) for item in state.objects} == {"demo:deployment/web", "<cluster>:namespace/demo"}
    assert {str(key) for key in state.outside} == {"b:deployment/web", "<cluster>:namespace/b"}


def test_a_kind_that_is_not_served_is_set_aside():
    assert [item.kind for item in build("apiVersion: x/v1\nkind: Why\nmetadata: {name: z}").unserved] == ["Why"]


@pytest.mark.parametrize(
    ("group", "kind", "rank"),
    [
        ("", "Namespace", NAMESPACES),
        ("apiextensions.k8s.io", "CustomResourceDefinition", FOUNDATIONS),
        ("", "Service", FOUNDATIONS),
        ("serving.knative.dev", "Service", REST),
        ("", "ConfigMap", CONFIGURATION),
        ("apps", "Deployment", WORKLOADS),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", WEBHOOKS),
    ],
)
def test_kinds_are_ranked_by_group_and_kind(group, kind, rank):
    assert rank_of(group, kind) == rank


INTENT = {
    "apiVersion": "v1",
    "kind": "X",
    "metadata": {"name": "a", "namespace": "b", "labels": {"l": "1"}},
    "spec": {"replicas": 2, "ports": [{"containerPort": 80}], "args": ["x"], "set": ["f"], "sel": {"m": {"a": "b"}}},
}
OWNED = {
    "f:metadata": {"f:labels": {"f:l": {}}},
    "f:spec": {
        "f:replicas": {},
        "f:args": {},
        "f:sel": {"f:m": {}},
        "f:set": {'v:"f"': {}},
        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
    },
}


def test_fields_that_hold_every_leaf_cover_the_intent():
    assert covers(OWNED, INTENT)


@pytest.mark.parametrize(
    "path",
    [
        ("f:metadata",),
        ("f:metadata", "f:labels"),
        ("f:metadata", "f:labels", "f:l"),
        ("f:spec",),
        ("f:spec", "f:replicas"),
        ("f:spec", "f:args"),
        ("f:spec", "f:sel"),
        ("f:spec", "f:set", 'v:"f"'),
        ("f:spec", "f:ports"),
        ("f:spec", "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}'),
        ("f:spec", "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}', "f:containerPort"),
    ],
)
def test_any_missing_leaf_uncovers_it(path):
    fields = json.loads(json.dumps(OWNED))
    node = fields
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
    if not node:
        node["f:something-else"] = {}
    assert not covers(fields, INTENT)


def test_list_elements_are_found_by_their_keys_not_by_their_place():
    owned = {"f:c": {'k:{"name":"a"}': {"f:name": {}, "f:image": {}}, 'k:{"name":"b"}': {"f:name": {}}}}
    assert covers(owned, {"c": [{"name": "b"}, {"name": "a", "image": "x"}]})
    assert not covers(owned, {"c": [{"name": "b", "image": "x"}]})


def entry(manager, fields, operation="Update", **more):
    return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}


def test_what_kubectl_apply_created_becomes_ours_as_a_whole():
    ours = entry("flux", {"f:spec": {"f:a": {}}}, "Apply")
    found = take_over(
        [
            ours,
            entry("kubectl-client-side-apply", {"f:spec": {"f:a": {}, "f:gone": {}}}),
            entry("kube-controller-manager", {"f:status": {}}, subresource="status"),
        ],
        has_replicas=False,
    )
    assert found.apply_again
    assert [item["manager"] for item in found.managed_fields] == ["flux", "kube-controller-manager"]
    assert found.managed_fields[0]["fieldsV1"] == {"f:spec": {"f:a": {}, "f:gone": {}}}


def test_a_hand_edit_gives_up_what_git_has_and_keeps_the_rest():
    ours = entry("flux", {"f:spec": {"f:a": {}, "f:c": {'k:{"name":"x"}': {".": {}, "f:image": {}}}}}, "Apply")
    edit = entry("kubectl-edit", {"f:spec": {"f:a": {}, "f:own": {}, "f:c": {'k:{"name":"x"}': {"f:image": {}}}}})
    found = take_over([ours, edit], has_replicas=False)
    assert not found.apply_again
    assert found.managed_fields == [ours, entry("kubectl-edit", {"f:spec": {"f:own": {}}})]


def test_a_hand_edit_of_nothing_but_gits_fields_vanishes():
    ours = entry("flux", {"f:spec": {"f:a": {}}}, "Apply")
    assert take_over([ours, entry("kubectl-patch", {"f:spec": {"f:a": {}}})], has_replicas=False).managed_fields == [
        ours
    ]


@pytest.mark.parametrize(
    "other",
    [
        entry("kubectl-edit", {"f:spec": {"f:own": {}}}),
        entry("kubectl-client-side-apply", {"f:status": {}}, subresource="status"),
        entry("kubectl", {"f:spec": {"f:a": {}}}, "Apply"),
        entry("kube-controller-manager", {"f:spec": {"f:a": {}}}),
    ],
)
def test_clean_objects_need_no_takeover(other):
    assert take_over([entry("flux", {"f:spec": {"f:a": {}}}, "Apply"), other], has_replicas=False) is None


def test_replicas_that_git_leaves_out_are_owned_by_nobody_after_a_takeover():
    ours = entry("flux", {"f:spec": {"f:a": {}}}, "Apply")
    created = entry("kubectl-client-side-apply", {"f:spec": {"f:replicas": {}}})
    assert take_over([ours, created], has_replicas=False).managed_fields == [ours]
    grown = take_over([ours, created], has_replicas=True).managed_fields[0]["fieldsV1"]
    assert grown == {"f:spec": {"f:a": {}, "f:replicas": {}}}


def test_replicas_are_given_up_from_our_own_entry_alone():
    other = entry("hpa", {"f:spec": {"f:replicas": {}}})
    assert without_replicas([entry("flux", {"f:spec": {"f:replicas": {}, "f:a": {}}}, "Apply"), other]) == [
        entry("flux", {"f:spec": {"f:a": {}}}, "Apply"),
        other,
    ]


_FIELDS = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", "f:c", 'k:{"n":1}']), inner, max_size=3),
    max_leaves=12,
)


@given(_FIELDS, _FIELDS)
def test_a_takeover_never_loses_a_field_of_ours(ours, theirs):
    found = take_over([entry("flux", ours, "Apply"), entry("kubectl-create", theirs)], has_replicas=True)
    [mine] = [item for item in found.managed_fields if item["manager"] == "flux"]
    assert _owned(ours) | _owned(theirs) == _owned(mine["fieldsV1"])


def _owned(fields, path=()):
    """The paths that are owned themselves."""
    paths = set()
    for key, value in fields.items():
        paths |= {path} if key == "." else _owned(value, (*path, key)) or {(*path, key)}
    return paths


def live(item, **changes):
    values = {
        "key": item.key,
        "resource": item.resource,
        "uid": "u",
        "resource_version": "1",
        "mark": MARKER.mark(item.key),
        "checksum": item.checksum,
        "covered": True,
    } | changes
    return Live(**values)


@pytest.mark.parametrize(
    ("changes", "verb"),
    [
        ({}, Verb.KEEP),
        ({"covered": False}, Verb.APPLY),
        ({"checksum": "old"}, Verb.APPLY),
        ({"mark": "", "checksum": ""}, Verb.APPLY),
        ({"ignored": True, "covered": False}, Verb.IGNORE),
        ({"source": "flux/default@1234"}, Verb.KEEP),
        ({"source": "flux/other@1234"}, Verb.REFUSE),
        ({"owner": "the Helm release demo/web"}, Verb.REFUSE),
    ],
)
def test_each_live_state_gets_its_verb(changes, verb):
    [item] = build(deployment()).objects
    assert [step.verb for step in plan([item], {item.key: live(item, **changes)}, MARKER).steps] == [verb]


def test_absent_objects_are_applied_and_ignored_ones_left_alone():
    state = build(deployment() + "\n---\n" + deployment("i", **{"fluxcd.io/ignore": "true"}))
    assert {step.desired.key.name: step.verb for step in plan(state.objects, {}, MARKER).steps} == {
        "web": Verb.APPLY,
        "i": Verb.IGNORE,
    }


def test_a_plan_goes_by_rank():
    state = build(deployment() + "\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: demo}")
    assert [[step.desired.key.kind for step in rank] for rank in plan(state.objects, {}, MARKER).ranks()] == [
        ["Namespace"],
        ["Deployment"],
    ]


def listed(item, fields, **metadata):
    return {
        "metadata": {
            "name": item.key.name,
            "namespace": item.key.namespace,
            "uid": "u",
            "resourceVersion": "7",
            "annotations": {SYNC_CHECKSUM: item.checksum},
            "labels": {SYNC_MARK: MARKER.mark(item.key)},
            "managedFields": [entry("flux", fields, "Apply")],
            **metadata,
        }
    }


def test_an_object_that_can_never_be_covered_is_sent_once():
    [item] = build(deployment()).objects
    settled, desired, left = Settled(), {item.key: item}, {"f:spec": {"f:x": {}}}
    assert not observe(listed(item, left), item.resource, desired, settled).covered
    settled.send("u", item.checksum, fingerprint(left))
    assert observe(listed(item, left), item.resource, desired, settled).covered
    assert not observe(listed(item, {"f:spec": {"f:y": {}}}), item.resource, desired, settled).covered


def test_what_kubectl_still_holds_of_ours_is_taken_over_at_the_next_sync():
    [item] = build(deployment()).objects
    settled, left = Settled(), {"f:spec": {"f:x": {}}}
    settled.send("u", item.checksum, fingerprint(left))
    found = listed(item, left)
    found["metadata"]["managedFields"].append(entry("kubectl-client-side-apply", {"f:spec": {"f:y": {}}}))
    assert not observe(found, item.resource, {item.key: item}, settled).covered


def test_owned_replicas_that_git_leaves_out_are_noticed():
    [item] = build(deployment()).objects
    found = observe(listed(item, {"f:spec": {"f:replicas": {}}}), item.resource, {item.key: item}, Settled())
    assert found.releases_replicas
