"""The cache on disk: what is kept, over restarts, and what becomes of a file that is broken."""

import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.registry import cache as cache_module
from agent.registry.cache import DiskCache
from agent.registry.codec import pack_manifest, pack_repository, unpack_manifest, unpack_repository
from agent.registry.records import Manifest, RepositoryState, TagState

DIGEST = "sha256:" + "0" * 64
STATE = RepositoryState(
    "index.docker.io/acme/shop", {"1": TagState(DIGEST, 5.0, 60.0), "2": TagState()}, 7.0, credential="Secret a/b"
)
MANIFEST = Manifest(DIGEST, "image", DIGEST, 9.5, {"org.opencontainers.image.created": "2024-01-02"})


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def cache(tmp_path, warnings):
    cache = DiskCache(tmp_path / "images.db", warnings.append)
    yield cache
    cache.close()


def test_what_is_kept_survives_a_restart(tmp_path, cache, warnings):
    cache.put_repository(STATE)
    cache.put_manifest(MANIFEST)
    cache.close()
    again = DiskCache(tmp_path / "images.db", warnings.append)
    assert again.repository(STATE.name) == STATE
    assert again.manifests(frozenset({DIGEST, "sha256:1"})) == {DIGEST: MANIFEST}
    assert again.repository("other") is None
    assert not warnings
    again.close()


@pytest.mark.parametrize("damage", ["no database", "cut", "other format"])
def test_a_broken_file_is_made_anew(tmp_path, cache, warnings, damage):
    path = tmp_path / "images.db"
    cache.put_repository(STATE)
    cache.close()
    if damage == "other format":
        with sqlite3.connect(path) as other:
            other.execute("PRAGMA user_version=99")
        other.close()
    else:
        path.write_bytes(b"nonsense" * 1000 if damage == "no database" else path.read_bytes()[:3000])
    again = DiskCache(path, warnings.append)
    assert again.repository(STATE.name) is None
    again.put_repository(STATE)
    assert again.repository(STATE.name) == STATE
    assert len(warnings) == 1 and "is made anew" in warnings[0]
    again.close()


def test_a_file_with_broken_pages_is_made_anew(tmp_path, cache, warnings):
    names = frozenset(f"sha256:{number:064}" for number in range(2000))
    for name in names:
        cache.put_manifest(Manifest(name))
    cache.close()
    path = tmp_path / "images.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"x" * (len(whole) - 4096))
    again = DiskCache(path, warnings.append)
    again.manifests(names)
    again.put_manifest(MANIFEST)
    assert again.manifests(frozenset({DIGEST})) == {DIGEST: MANIFEST}
    assert "is made anew" in warnings[0]
    again.close()


def test_a_place_that_cannot_be_written_costs_requests_only(tmp_path, warnings):
    cache = DiskCache(tmp_path / "missing" / "images.db", warnings.append)
    cache.put_repository(STATE)
    assert cache.repository(STATE.name) is None
    assert cache.manifests(frozenset({DIGEST})) == {}
    assert len(warnings) == 1 and "in memory only" in warnings[0]


def test_what_nobody_asks_for_makes_room(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(cache_module, "_PRUNE_EVERY", 10)
    monkeypatch.setattr(cache_module, "_PRUNE", tuple((query, 5) for query, _ in cache_module._PRUNE))
    names = [f"sha256:{number:064}" for number in range(10)]
    for name in names:
        cache.put_manifest(Manifest(name))
    assert sorted(cache.manifests(frozenset(names))) == names[5:]
    cache.close()
    monkeypatch.setattr(cache_module, "_PRUNE", tuple((query, 3) for query, _ in cache_module._PRUNE))
    restarted = DiskCache(tmp_path / "images.db", [].append)
    assert len(restarted.manifests(frozenset(names))) == 3
    restarted.close()


def test_many_threads_may_use_it(cache):
    def work(number):
        state = RepositoryState(f"r{number}", {"1": TagState()}, 1.0)
        for _ in range(20):
            cache.put_repository(state)
            assert cache.repository(state.name) == state

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(cache.repository(f"r{number}") for number in range(4))


TEXTS = st.text(max_size=20)
TIMES = st.floats(0, 1e10)
STATES = st.builds(
    RepositoryState,
    TEXTS,
    st.dictionaries(TEXTS, st.builds(TagState, TEXTS, TIMES, TIMES, TEXTS), max_size=5),
    TIMES,
    TIMES,
    st.integers(0, 9),
    TEXTS,
    TEXTS,
)


@given(STATES)
def test_a_state_comes_back_as_it_was(state):
    assert unpack_repository(pack_repository(state)) == state
    assert list(unpack_repository(pack_repository(state)).tags) == list(state.tags)


@given(st.builds(Manifest, TEXTS, st.sampled_from(["image", "other"]), TEXTS, st.none() | TIMES, st.just({})))
def test_a_manifest_comes_back_as_it_was(manifest):
    assert unpack_manifest(pack_manifest(manifest)) == manifest


@given(st.binary(max_size=60))
def test_what_is_none_of_ours_is_no_state(data):
    for unpack in (unpack_repository, unpack_manifest):
        with pytest.raises(ValueError, match="these bytes are no"):
            unpack(data)
