"""What is written to memcached, and what is made of what comes back; the integration tests have a real one."""

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.registry import memcached_values as values
from agent.registry.codec import pack_manifest, pack_repository
from agent.registry.memcached_values import (
    MAX_PARTS,
    PART,
    items_of,
    key_of,
    manifest_in,
    part_keys,
    repository_in,
    whole_of,
)
from agent.registry.records import Manifest, RepositoryState, TagState

DIGEST = "sha256:" + "0" * 64
STATE = RepositoryState("quay.io/acme/shop", {"1": TagState(DIGEST, 5.0, 60.0), "2": TagState()}, 7.0)
MANIFEST = Manifest(DIGEST, "image", DIGEST, 9.5, {"org.opencontainers.image.created": "2024-01-02"})


def read(store, key):
    """A value as a cache reads it."""
    item = store[key]
    return whole_of(item, tuple(store.get(part) for part in part_keys(key, item)))


@given(st.text(max_size=300), st.text(max_size=300))
def test_keys_are_short_safe_and_one_for_each_name(one, other):
    key = key_of("repository", one)
    assert len(key) < 200 and key.isascii() and key.isprintable() and " " not in key
    assert (key == key_of("repository", other)) == (one == other)
    assert key != key_of("manifest", one)


def test_agents_of_another_format_have_other_keys(monkeypatch):
    before = key_of("manifest", "x")
    monkeypatch.setattr(values, "FORMAT", 99)
    assert key_of("manifest", "x") != before


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, MAX_PARTS * PART])
def test_a_value_of_any_size_comes_back(size):
    body, key = os.urandom(size), key_of("repository", "x")
    items = items_of(key, body)
    assert items[-1][0] == key
    assert all(len(item) <= PART and len(part) < 250 for part, item in items)
    assert read(dict(items), key) == body


def test_a_value_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match="more than 16 items"):
        items_of("k", bytes(MAX_PARTS * PART + 1))


def test_parts_that_are_missing_or_of_two_values_are_no_value():
    body, key = os.urandom(2 * PART), "k"
    items, other = dict(items_of(key, body)), dict(items_of(key, os.urandom(2 * PART)))
    first, second = part_keys(key, items[key])
    assert read({part: item for part, item in items.items() if part != second}, key) is None
    assert read({**items, second: items[first]}, key) is None
    assert read({**items, **other}, key) is not None


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda data: b"P" + data))
def test_what_is_none_of_ours_is_no_value(item):
    parts = part_keys("k", item)
    assert len(parts) <= MAX_PARTS
    if not item.startswith(b"W"):
        assert whole_of(item, tuple(None for _ in parts)) is None


@given(st.binary(max_size=60))
def test_bytes_of_somebody_elses_are_nothing(data):
    assert repository_in(data, "x") is None
    assert manifest_in(data, "x") is None


def test_what_is_about_something_else_is_nothing():
    assert repository_in(pack_repository(STATE), STATE.name) == STATE
    assert repository_in(pack_repository(STATE), "quay.io/acme/other") is None
    assert manifest_in(pack_manifest(MANIFEST), DIGEST) == MANIFEST
    assert manifest_in(pack_manifest(MANIFEST), "sha256:1") is None


@pytest.mark.parametrize(
    "text",
    [
        '["x","soon",0,0,"","",[],{}]',
        '["x",0,0,0,"","",[5],{}]',
        '["x",0,0,0,5,"",[],{}]',
        '["x",0,0,0,"","",["1"],{"1":["d","now",0,""]}]',
        '["x",0,0,0,"","",["1"],{"1":[5,0,0,""]}]',
        '["x",1e999,0,0,"","",[],{}]',
        '["x",NaN,0,0,"","",[],{}]',
        '["x",0,0,0,"\\ud800\\u001b","",[],{}]',
        "[" * 100_000,
    ],
)
def test_a_state_of_other_types_is_nothing(text):
    assert repository_in(zlib.compress(text.encode()), "x") is None


def test_a_manifest_of_other_types_is_nothing():
    for text in ('["x","image","",{},{}]', '["x","image","",0,{"a":5}]', '["x","image",5,0,{}]'):
        assert manifest_in(text.encode(), "x") is None


def test_a_state_that_swells_is_not_unpacked(monkeypatch):
    body = pack_repository(STATE)
    monkeypatch.setattr(values, "MAX_PLAIN", 50)
    assert repository_in(body, STATE.name) is None
