"""The benchmark itself, small: what it counts must come out exactly; how long things take is not asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(900)]

BENCH = Path(__file__).resolve().parents[2] / "bench"
SYNCS = ("first", "unchanged", "change", "restart", "memory")
FRONT = ("plugin", "calls", "probes")
REGISTRIES = ("scan", "images", "releases", "endurance", "tags")
SIZES = ("--apps=100", "--rounds=1", "--watchers=40", "--scanned-tags=5", "--tags=50", "--steady=1", "--endurance=20")


@pytest.fixture(scope="module")
def small_run(plane, tmp_path_factory):  # `plane` skips or fails where no control plane can run
    """A small run: its values and its page."""
    folder = tmp_path_factory.mktemp("bench")
    names = (f"--only={name}" for name in (*SYNCS, *FRONT, *REGISTRIES))
    command = [sys.executable, BENCH / "run.py", *SIZES, *names]
    out = [f"--write={folder / 'page.md'}", f"--json={folder / 'values.json'}"]
    done = subprocess.run([*command, *out], capture_output=True, text=True, check=False, timeout=840)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads((folder / "values.json").read_text()), (folder / "page.md").read_text()


@pytest.fixture(scope="module")
def values(small_run):
    return small_run[0]


def test_the_first_sync_sends_every_object_once(values):
    (raw,), (first,) = values["raw"], values["first"]
    assert raw["objects"] == first["sync"]["objects"] == first["sync"]["applied"] == 320
    assert first["sync"]["failed"] == 0
    assert first["calls"]["writes"] == {
        "patch configmaps": 90,
        "patch deployments": 100,
        "patch namespaces": 20,
        "patch secrets": 10,
        "patch services": 100,
    }


def test_an_unchanged_sync_costs_one_list_page_for_each_kind_and_writes_nothing(values):
    (again,) = values["unchanged"]
    assert again["sync"]["unchanged"] == 320
    kinds = ("configmaps", "deployments", "namespaces", "secrets", "services")
    assert again["calls"] == {"lists": dict.fromkeys(kinds, 1), "writes": {}, "others": {}}


def test_one_changed_line_sends_one_object(values):
    for change in values["change"]:
        assert change["sync"]["applied"] == 1
        assert change["calls"]["writes"] == {"patch deployments": 1}


def test_a_restarted_agent_writes_nothing(values):
    (restarted,) = values["restart"]
    assert restarted["sync"]["unchanged"] == 320
    assert restarted["calls"]["writes"] == {}


def test_the_agent_measures_just_the_calls_that_are_made_during_a_sync(values):
    calls = values["calls"]
    assert calls["failures"] == []
    assert calls["buckets"]["+Inf"] == sum(map(len, calls["seconds"].values())) > 0


def test_probes_are_answered_beside_more_watchers_than_may_wait(values):
    probes = values["probes"]
    assert probes["errors"] == []
    assert 0 < probes["waiting"] <= 16 + 8  # of 32 over HTTP and 8 over gRPC
    assert probes["refused"] > 0


def test_many_commands_at_once_all_succeed(values):
    plugin = values["plugin"]
    assert plugin["lines"] == 1 + 100 + 1  # the headers, the apps and the agent
    assert len(plugin["crowd"]["seconds"]) == 50
    assert plugin["crowd"]["failures"] == []
    assert bool(plugin["packed"]) != bool(plugin["unpacked"])


def test_a_scan_asks_for_each_list_and_each_digest_once(values):
    scan = values["scan"]
    asked = {name: scan[name]["counts"] for name in ("versions", "times", "again", "later", "restarted", "indexes")}
    assert asked == {
        "versions": {"tags": 20},
        "times": {"tags": 20, "digest": 100, "manifest": 100, "blob": 100},
        "again": {"tags": 20},
        "later": {"tags": 20, "digest": 100},
        "restarted": {},
        "indexes": {"tags": 1, "digest": 5, "manifest": 10, "blob": 5},
    }
    assert 20 <= scan["tokens"]["counts"]["tags"] <= 40


def test_the_whole_agent_asks_no_more_than_that(values):
    images, tags = values["images"], values["tags"]
    assert images["first"]["counts"] == {"tags": 100}
    assert images["looks"]["counts"]["digest"] == images["looks"]["counts"]["blob"] == 10 * 100
    assert {kind: tags["asks"]["counts"][kind] for kind in ("digest", "manifest", "blob")} == dict.fromkeys(
        ("digest", "manifest", "blob"), 50
    )


def test_a_commit_changes_one_line_for_each_workload_it_updates(values):
    releases, endurance = values["releases"], values["endurance"]
    assert releases["together_changed"] == [100, 100]
    assert (releases["workloads"], releases["commits"], releases["changed"]) == (100, 1, [100, 100])
    assert len(endurance["taken"]) == 20
    assert len(endurance["memory"]) == 10


def test_the_page_tells_every_figure_and_nothing_of_the_machine_but_its_size(small_run):
    page = small_run[1]
    for work in (
        "first sync, 100 apps (320 objects)",
        "sync again, nothing changed",
        "memory, 320 objects",
        "/healthz beside 40 watchers, 50 probes",
        "first scan, 20 repositories of 5 tags, semver policies",
        "list of the images of 100 workloads, whole process",
    ):
        assert f"| {work} | `" in page
    assert " cores, " in page
    assert str(Path.home()) not in page
    assert str(BENCH.parent) not in page
