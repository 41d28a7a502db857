"""Server-side apply of a custom kind: its schema says how it merges."""

from __future__ import annotations

from conformance_api import managed, with_fields

WIDGET = {
    "apiVersion": "suite.example/v1",
    "kind": "Widget",
    "metadata": {"name": "w", "labels": {"l": "1"}},
    "spec": {
        "size": 1,
        "parts": [{"name": "p", "n": 1}],
        "free": {"x": {"y": 1}, "z": [1]},
        "tags": {"t": "1"},
        "plain": ["a"],
    },
}


def test_the_schema_says_what_is_a_field_and_what_a_key(api, namespace, widgets):
    done = api.apply(f"{widgets(namespace)}/w", WIDGET)
    assert managed(done)["flux", "Apply", ""] == {
        "f:metadata": {"f:labels": with_fields("l")},
        "f:spec": {
            **with_fields("size", "plain"),
            "f:parts": {'k:{"name":"p"}': {".": {}, "f:n": {}, "f:name": {}}},
            "f:free": {"f:x": {".": {}, "f:y": {}}, "f:z": {}},
            "f:tags": with_fields("t"),
        },
    }


def test_a_created_one_owns_its_structures_too(api, namespace, widgets):
    done = api.create(widgets(namespace), WIDGET)
    assert managed(done)["suite", "Update", ""] == {
        "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
        "f:spec": {
            ".": {},
            **with_fields("size", "plain"),
            "f:parts": {".": {}, 'k:{"name":"p"}': {".": {}, "f:n": {}, "f:name": {}}},
            "f:free": {".": {}, "f:x": {".": {}, "f:y": {}}, "f:z": {}},
            "f:tags": {".": {}, "f:t": {}},
        },
    }


def test_keyed_lists_of_the_schema_merge(api, namespace, widgets):
    path = f"{widgets(namespace)}/w"
    api.apply(path, WIDGET)
    other = {**WIDGET, "metadata": {"name": "w"}, "spec": {"parts": [{"name": "q", "n": 2}]}}
    done = api.apply(path, other, manager="other")
    assert done["spec"]["parts"] == [{"name": "p", "n": 1}, {"name": "q", "n": 2}]
    gone = api.apply(path, {**WIDGET, "spec": {"size": 1}})
    assert gone["spec"] == {"size": 1, "parts": [{"name": "q", "n": 2}]}
