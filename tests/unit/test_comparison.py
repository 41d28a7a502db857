"""Two states of one object beside each other: what is left out, what is masked, and what taking over lets go of."""

import base64

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.sync.comparison import cleaned, compared, shown
from agent.sync.coverage import without
from agent.sync.managers import applied_fields, given_up, take_over


def config_map(metadata, **more):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **metadata}, **more}


def secret(**values):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque", "data": data}


def test_what_the_server_and_the_agent_keep_for_themselves_is_left_out():
    marks = {"fluxcd.io/sync-checksum": "1", "fluxcd.io/sync-source": "s", "mine": "1"}
    marks["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    metadata = {"uid": "1", "resourceVersion": "2", "generation": 3, "creationTimestamp": "now", "managedFields": []}
    item = config_map({**metadata, "annotations": marks, "labels": {"fluxcd.io/sync-gc-mark": "m"}}, status={"x": 1})
    assert cleaned(item) == config_map({"annotations": {"mine": "1"}})
    assert compared(item, config_map({"annotations": {"mine": "1"}})) is None


def test_keys_are_sorted_and_none_is_empty():
    texts = compared(None, config_map({"namespace": "demo"}, data={"b": "2", "a": "x\ny\n"}))
    data = 'data:\n  a: |\n    x\n    y\n  b: "2"\n'
    assert texts == ("", f"apiVersion: v1\n{data}kind: ConfigMap\nmetadata:\n  name: a\n  namespace: demo\n")


def test_a_secret_shows_which_values_differ_and_none_of_them():
    before = {**secret(same="1", changed="1", gone="1"), "unknown": "x", "immutable": True}
    after = {**secret(same="1", changed="2", more="1"), "unknown": "y", "immutable": False, "stringData": ["odd"]}
    left, right = map(yaml.safe_load, compared(before, after))
    assert left["data"] == {"same": "***", "changed": "*** (before)", "gone": "***"}
    assert right["data"] == {"same": "***", "changed": "*** (after)", "more": "***"}
    assert (left["unknown"], right["unknown"], right["stringData"]) == ("*** (before)", "*** (after)", "***")
    assert (left["immutable"], right["immutable"], left["type"]) == (True, False, "Opaque")
    assert yaml.safe_load(shown(before))["data"] == dict.fromkeys(("same", "changed", "gone"), "***")
    sealed = {**secret(a="1"), "apiVersion": "x.io/v1"}
    assert secret(a="1")["data"]["a"] in shown(sealed)


VALUES = st.dictionaries(st.sampled_from("abc"), st.text("0123456789", min_size=8), max_size=3)


@given(VALUES, VALUES)
def test_no_value_of_a_secret_is_in_what_is_shown(one, other):
    texts = compared(secret(**one), secret(**other))
    assert (texts is None) == (one == other)
    for value in (*one.values(), *other.values()):
        encoded = base64.b64encode(value.encode()).decode()
        assert all(value not in text and encoded not in text for text in texts or ())


@pytest.mark.parametrize(
    ("fields", "value", "left"),
    [
        ({"f:a": {}}, {"a": 1, "b": 2}, {"b": 2}),
        ({"f:a": {".": {}, "f:x": {}}}, {"a": {"x": 1}}, {}),
        ({"f:a": {"f:x": {}}}, {"a": {"x": 1}}, {"a": {}}),
        ({"f:a": {".": {}, "f:x": {}}}, {"a": {"x": 1, "y": 2}}, {"a": {"y": 2}}),
        (
            {"f:l": {'k:{"name":"s"}': {".": {}, "f:i": {}}}},
            {"l": [{"name": "s", "i": 1}, {"name": "t"}]},
            {"l": [{"name": "t"}]},
        ),
        ({"f:l": {'k:{"name":"s"}': {"f:i": {}}}}, {"l": [{"name": "s", "i": 1}]}, {"l": [{"name": "s"}]}),
        ({"f:l": {'v:"x"': {}}}, {"l": ["x", "y"]}, {"l": ["y"]}),
        ({"f:gone": {}}, {"a": None, "b": [], "c": {}}, {"a": None, "b": [], "c": {}}),
    ],
)
def test_fields_that_nobody_owns_go(fields, value, left):
    assert without(fields, value) == left


def test_what_kubectl_made_and_git_does_not_have_is_given_up_unless_another_owns_it():
    def entry(manager, operation, fields):
        return {
            "manager": manager,
            "operation": operation,
            "fieldsV1": {"f:data": {f"f:{name}": {} for name in fields}},
        }

    managed = [entry("kubectl-create", "Update", "abc"), entry("flux", "Apply", "a"), entry("other", "Update", "c")]
    takeover = take_over(managed, has_replicas=True)
    assert given_up(takeover, applied_fields(managed)) == {"f:data": {"f:b": {}}}
