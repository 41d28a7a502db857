import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox.patches import PatchError, json_patch, merge_patch, strategic_patch
from agent.sandbox.shapes import shape_of

values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        # The examples of RFC 7386, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_follow_the_standard(document, patch, expected):
    before = json.dumps(document)
    assert merge_patch(document, patch) == expected
    assert json.dumps(document) == before


@pytest.mark.parametrize(
    ("document", "operations", "expected"),
    [
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["x"]}], {"foo": ["bar", ["x"]]}),
        ({"foo": ["a", "b"]}, [{"op": "remove", "path": "/foo/0"}], {"foo": ["b"]}),
        ({"foo": ["a", "b"]}, [{"op": "replace", "path": "/foo/0", "value": "c"}], {"foo": ["c", "b"]}),
        ({"a/b": 1, "m~n": 2}, [{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/m~0n"}], {}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
    ],
)
def test_json_patches_follow_the_standard(document, operations, expected):
    assert json_patch(document, operations) == expected


@pytest.mark.parametrize(
    "operations",
    [
        {"op": "add"},
        [{"op": "add", "path": "no-slash", "value": 1}],
        [{"op": "frob", "path": "/a"}],
        [{"op": "add", "path": "/list/9", "value": 1}],
        [{"op": "remove", "path": "/list/2"}],
        [{"op": "remove", "path": "/list/-1"}],
        [{"op": "test", "path": "/a", "value": True}],
        [{"op": "add", "path": "/a/b", "value": 1}],
        [{"op": "remove", "path": "/a/b"}],
        ["nonsense"],
    ],
)
def test_json_patches_that_do_not_fit_are_refused(operations):
    with pytest.raises(PatchError):
        json_patch({"a": 1, "list": [1, 2]}, operations)


@given(values, values)
def test_a_json_patch_may_replace_everything(document, value):
    assert json_patch(document, [{"op": "replace", "path": "", "value": value}]) == value


CONTAINERS = shape_of("Pod").entry("spec")


@pytest.mark.parametrize(
    ("live", "patch", "expected"),
    [
        ("a:1 b:1", {"containers": [{"name": "b", "image": "2"}]}, "a:1 b:2"),
        ("a:1", {"containers": [{"name": "b", "image": "1"}]}, "b:1 a:1"),
        ("a:1 b:1", {"containers": [{"name": "a", "$patch": "delete"}]}, "b:1"),
        ("a:1 b:1", {"containers": [{"$patch": "replace"}, {"name": "c", "image": "1"}]}, "c:1"),
        ("a:1 b:1", {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}, "b:1 a:1"),
        ("a:1 b:1 c:1", {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}, "b:1 c:1 a:1"),
    ],
)
def test_strategic_patches_keep_lists_in_order(live, patch, expected):
    document = {"containers": [dict(zip(("name", "image"), word.split(":"), strict=True)) for word in live.split()]}
    done = strategic_patch(document, patch, CONTAINERS)
    assert " ".join(f"{item['name']}:{item['image']}" for item in done["containers"]) == expected


def test_strategic_directives_of_maps_and_sets():
    shape = shape_of("ConfigMap")
    live = {"metadata": {"finalizers": ["a", "b"], "labels": {"x": "1"}}, "data": {"a": "1", "b": "2"}}
    patch = {
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]},
        "data": {"$retainKeys": ["b", "c"], "c": "3"},
    }
    done = strategic_patch(live, patch, shape)
    assert done["data"] == {"b": "2", "c": "3"}
    assert sorted(done["metadata"]["finalizers"]) == ["b", "c"]
    assert strategic_patch(live, {"metadata": {"labels": {"$patch": "replace"}}}, shape)["metadata"]["labels"] == {}
    assert strategic_patch(live, {"data": {"$patch": "delete"}}, shape)["data"] == {}


def test_a_strategic_patch_needs_the_keys_of_list_elements():
    with pytest.raises(PatchError, match="does not contain declared merge key: name"):
        strategic_patch({"containers": []}, {"containers": [{"image": "x"}]}, CONTAINERS)
