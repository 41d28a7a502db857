"""The benchmark itself, small: what it counts must come out exactly; how long things take is not asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(900)]

BENCH = Path(__file__).resolve().parents[2] / "bench"
NAMES = ("first", "unchanged", "change", "restart", "memory")


@pytest.fixture(scope="module")
def small_run(plane, tmp_path_factory):  # `plane` skips or fails where no control plane can run
    """A run with 100 apps: its values and its page."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, BENCH / "run.py", "--apps=100", "--rounds=1", *(f"--only={name}" for name in NAMES)]
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


def test_the_page_tells_every_figure_and_nothing_of_the_machine_but_its_size(small_run):
    page = small_run[1]
    for work in ("first sync, 100 apps (320 objects)", "sync again, nothing changed", "memory, 320 objects"):
        assert f"| {work} | `" in page
    assert " cores, " in page
    assert str(Path.home()) not in page
    assert str(BENCH.parent) not in page
