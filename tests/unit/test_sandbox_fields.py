"""Sets of fields: their wire form, and the laws that comparing, merging and removing keep."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox.apply import Manager, Write, apply, merge, read_entries, update
from agent.sandbox.fields import ABSENT, compare, element_key, fields_of, from_v1, shown, to_v1, with_named, without
from agent.sandbox.shapes import Shape, custom_shape, shape_of

PODS = shape_of("Deployment")

names = st.sampled_from(["a", "b", "c.d/e"])
paths = st.frozensets(st.lists(names, min_size=1, max_size=3).map(lambda path: tuple(f"f:{name}" for name in path)))
variables = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("ABC")}, optional={"value": st.sampled_from(["1", "2"])}),
    max_size=3,
    unique_by=lambda variable: variable["name"],
)
containers = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("cde"), "image": st.sampled_from(["i:1", "i:2"])},
        optional={"env": variables, "args": st.lists(st.sampled_from("xy"), max_size=2)},
    ),
    max_size=3,
    unique_by=lambda container: container["name"],
)
objects = st.builds(
    lambda replicas, labels, items: {
        "metadata": {"name": "n", "labels": labels},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": items}}},
    },
    st.integers(0, 2),
    st.dictionaries(names, st.sampled_from("12"), min_size=1, max_size=2),
    containers,
)


@given(paths)
def test_a_set_survives_its_wire_form(fields):
    assert from_v1(to_v1(fields)) == fields


def test_a_member_that_is_also_a_parent_gets_a_dot():
    assert to_v1({("f:a",), ("f:a", "f:b"), ("f:c", "f:d")}) == {
        "f:a": {".": {}, "f:b": {}},
        "f:c": {"f:d": {}},
    }


@given(objects, objects)
def test_a_comparison_is_the_reverse_of_its_reverse(old, new):
    there, back = compare(old, new, PODS), compare(new, old, PODS)
    assert (there.added, there.removed, there.modified) == (back.removed, back.added, back.modified)
    assert not (there.added & there.removed or there.added & there.modified or there.removed & there.modified)


@given(objects)
def test_nothing_differs_from_itself(value):
    found = compare(value, copy.deepcopy(value), PODS)
    assert not (found.added or found.modified or found.removed)
    assert merge(value, value, PODS) == value


@given(objects, objects)
def test_after_a_merge_every_field_of_the_intent_holds(old, new):
    merged = merge(old, new, PODS)
    assert fields_of(new, PODS) <= fields_of(merged, PODS)
    assert merge(merged, new, PODS) == merged


@given(objects)
def test_without_all_its_fields_nothing_is_left(value):
    assert without(value, with_named(fields_of(value, PODS), PODS), PODS) is None


@given(objects, objects)
def test_an_applier_alone_has_exactly_what_it_wants(first, second):
    write = Write(PODS, Manager("flux", "Apply", "apps/v1"), "t")
    live = apply(None, first, write, force=True)
    live = apply(live, second, write, force=True)
    (entry,) = read_entries(live).values() or [None]
    kept = {path for path in fields_of(second, PODS) if path != ("f:metadata", "f:name")}
    assert entry.fields == kept
    assert {path for path in fields_of(live, PODS) if "f:managedFields" not in path} >= kept


def test_values_are_never_changed_in_place():
    old = {"metadata": {"name": "n"}, "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "1"}]}}}}
    new = {"metadata": {"name": "n"}, "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "2"}]}}}}
    before = copy.deepcopy((old, new))
    write = Write(PODS, Manager("flux", "Apply", "apps/v1"), "t")
    live = apply(None, old, write, force=True)
    kept = copy.deepcopy(live)
    apply(live, new, write, force=True)
    update(live, {**new, "metadata": {"name": "n"}}, Write(PODS, Manager("x", "Update", "apps/v1"), "t"))
    assert (old, new, live) == (*before, kept)


def test_many_updaters_are_folded_into_one():
    live = None
    shape = shape_of("ConfigMap")
    for number in range(14):
        body = {"metadata": {"name": "n"}, "data": {f"k{n}": "1" for n in range(number + 1)}}
        manager = Manager(f"m{number:02}", "Update", "v1")
        live = update(live, body, Write(shape, manager, f"2026-01-01T00:00:{number:02}Z"))
    entries = read_entries(live)
    assert len(entries) == 10
    ancient = entries[Manager("ancient-changes", "Update", "v1")]
    assert ("f:data", "f:k0") in ancient.fields
    assert set().union(*(entry.fields for entry in entries.values())) >= {("f:data", f"f:k{n}") for n in range(14)}


@pytest.mark.parametrize(
    ("item", "shape", "key"),
    [
        ({"name": "c", "x": 1}, Shape(keys=("name",)), 'k:{"name":"c"}'),
        ({"containerPort": 80}, Shape(keys=("containerPort", "protocol")), 'k:{"containerPort":80,"protocol":"TCP"}'),
        ("x", Shape(set=True), 'v:"x"'),
    ],
)
def test_elements_are_named_by_their_keys(item, shape, key):
    assert element_key(item, shape) == key


def test_paths_are_shown_as_messages_write_them():
    path = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', "f:name", 'v:"x"')
    assert shown(path) == '.spec[containerPort=80,protocol="TCP"].name[="x"]'


def test_null_and_empty_and_absent_are_three_things():
    shape = Shape()
    assert compare({"a": None}, {"a": {}}, shape).modified == {("f:a",)}
    assert compare({}, {"a": {}}, shape).added == {("f:a",)}
    assert compare({"a": {}}, {"a": {"b": 1}}, shape).added == {("f:a", "f:b")}
    assert merge(ABSENT, {"a": 1}, shape) == {"a": 1}


def test_a_schema_of_a_custom_kind_gives_its_shape():
    shape = custom_shape(
        {
            "properties": {
                "spec": {
                    "properties": {
                        "whole": {"type": "object", "x-kubernetes-map-type": "atomic"},
                        "names": {"type": "array", "x-kubernetes-list-type": "set"},
                    }
                }
            }
        }
    )
    value = {"metadata": {"labels": {"a": "1"}}, "spec": {"whole": {"a": 1}, "names": ["x"], "other": {"b": 1}}}
    assert fields_of(value, shape) == {
        ("f:metadata", "f:labels", "f:a"),
        ("f:spec", "f:whole"),
        ("f:spec", "f:names", 'v:"x"'),
        ("f:spec", "f:other"),
        ("f:spec", "f:other", "f:b"),
    }
