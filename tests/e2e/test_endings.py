"""Syncs that end early, by a signal, by a crash or by the clock, lose nothing; and syncs that meet are all answered."""

from __future__ import annotations

import ctypes
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import quiet
from admission_gate import AdmissionGate
from agent_status import log_lines, status_of, until
from config_repository import as_yaml, config_map, custom, definition
from quiet import COLLECT, QUIET

pytestmark = pytest.mark.controlplane

MANY = 400
MOMENT = "--sync-timeout=20ms"  # far less than many objects take on any machine

repository, deployed, agent = quiet.own_repository, quiet.deployed, quiet.stopped_agent


@pytest.fixture
def count(plane, namespace):
    """A function that counts the test's ConfigMaps; every namespace has one of its own besides."""

    def ask():
        path = f"/api/v1/namespaces/{namespace}/configmaps?labelSelector=fluxcd.io/sync-gc-mark"
        return len(plane.api("GET", path)["items"])

    return ask


@pytest.fixture
def gate(plane, namespace, tmp_path):
    """A gate before the second half of the test's ConfigMaps."""
    with AdmissionGate(plane, tmp_path, namespace, f"m{MANY // 2:03}") as gate:
        yield gate


def maps(namespace, number=MANY, **data):
    """Many small objects, in files of fifty."""
    names = [f"m{place:03}" for place in range(number)]
    parts = [names[start : start + 50] for start in range(0, number, 50)]
    return {
        f"part{place}": as_yaml([config_map(namespace, name, **data) for name in part])
        for place, part in enumerate(parts)
    }


def stop(agent, gate):
    """Ask the agent to end while its writes wait, and let these through when it has understood."""
    threads = Path(f"/proc/{agent.process.pid}/task")
    before = len(list(threads.iterdir()))
    agent.process.send_signal(signal.SIGTERM)
    until(lambda: len(list(threads.iterdir())) < before, "the first threads to end")
    gate.open()
    agent.stop()


def kill(agent, gate):
    agent.kill()
    gate.open()


@pytest.mark.parametrize("end", [stop, kill])
def test_an_agent_that_is_ended_in_the_middle_of_a_sync_completes_it_at_the_next_start(
    agent, repository, namespace, count, gate, end
):
    head = repository.commit_files(maps(namespace, a="1"))
    gate.close()
    agent.start(f"--git-url={repository.url}", *QUIET, *COLLECT)
    gate.wait_until_reached()
    end(agent, gate)
    assert (0 < count() < MANY, repository.tag()) == (True, "")
    agent.start(f"--git-url={repository.url}", *QUIET, *COLLECT)
    agent.kubectl_flux("sync")
    assert (count(), repository.tag()) == (MANY, head)
    agent.kubectl_flux("sync")
    last = status_of(agent)["lastSync"]
    assert (last["unchanged"], last.get("applied", 0), last.get("deleted", 0)) == (MANY, 0, 0)


def test_a_signal_ends_the_agent_whichever_thread_the_kernel_gives_it_to(agent, repository, namespace):
    repository.commit(settings=config_map(namespace))
    agent.start(f"--git-url={repository.url}", *QUIET)
    agent.kubectl_flux("sync")
    pid = agent.process.pid
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir() if path.name != str(pid)]
    assert ctypes.CDLL(None).tgkill(pid, threads[-1], signal.SIGTERM) == 0
    assert agent.process.wait(60) == 0
    agent.stop()


def test_an_agent_that_is_killed_while_it_deletes_goes_on_at_the_next_start(agent, repository, namespace, count, gate):
    repository.commit_files(maps(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", *QUIET, *COLLECT)
    agent.kubectl_flux("sync")
    agent.stop()
    head = repository.replace({"kept": config_map(namespace, "kept")})
    gate.close()
    agent.start(f"--git-url={repository.url}", *QUIET, *COLLECT)
    gate.wait_until_reached()
    agent.kill()
    assert 1 < count() <= MANY
    gate.open()
    agent.start(f"--git-url={repository.url}", *QUIET, *COLLECT)
    agent.kubectl_flux("sync")
    assert (count(), repository.tag()) == (1, head)


def test_a_sync_that_runs_out_of_time_is_continued_at_once_and_only_then_the_tag_moves(
    agent, repository, namespace, count
):
    head = repository.commit_files(maps(namespace, a="1"))
    before = len(log_lines(agent))
    agent.start(f"--git-url={repository.url}", *QUIET, MOMENT)
    until(repository.tag, "the sync to be complete")
    assert (count(), repository.tag()) == (MANY, head)
    syncs = [line for line in log_lines(agent)[before:] if "msg=synced" in line]
    left = [int(line.partition("remaining=")[2].split()[0]) for line in syncs]
    assert left == sorted(left, reverse=True)
    assert (len(left) > 1, left[-1]) == (True, 0)


def test_a_time_that_is_too_short_for_reading_alone_still_gets_on(agent, repository, namespace, count):
    head = repository.commit_files(maps(namespace, 30))
    agent.start(f"--git-url={repository.url}", *QUIET, "--sync-timeout=1ms")
    until(lambda: repository.tag() == head, "the sync to be complete")
    assert count() == 30


def test_a_definition_that_is_refused_does_not_use_up_the_time_of_the_rest(agent, repository, namespace, count, prefix):
    group = f"{prefix}.example.com"
    bad = definition(group, "Shop", "shops")
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"] = "nonsense"
    shop = custom(group, "Shop", namespace, "first")
    head = repository.commit(bad=bad, shop=shop, settings=config_map(namespace))
    agent.start(f"--git-url={repository.url}", *QUIET, "--sync-timeout=5s")
    until(lambda: repository.tag() == head, "every object to be attempted")
    assert count() == 1
    assert {failure["path"] for failure in status_of(agent)["failures"]} == {"bad.yaml", "shop.yaml"}


def test_a_sync_that_was_asked_for_tells_what_was_not_reached_in_time(agent, repository, namespace, count):
    repository.commit("first")
    agent.start(f"--git-url={repository.url}", *QUIET, MOMENT)
    agent.kubectl_flux("sync")
    repository.commit_files(maps(namespace, a="1"))
    done = agent.kubectl_flux("sync", check=False)
    assert done.returncode == 1
    assert "were not reached in time" in done.stderr
    until(lambda: repository.tag() == repository.head, "the sync to be complete")
    assert count() == MANY
    assert "markerError" not in status_of(agent)


def test_syncs_that_are_asked_for_while_one_runs_are_all_answered(agent, repository, namespace, count, gate):
    head = repository.commit_files(maps(namespace, a="1"))
    before = len(log_lines(agent, "a change was asked for"))
    gate.close()
    agent.start(f"--git-url={repository.url}", *QUIET)
    gate.wait_until_reached()
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(agent.kubectl_flux, "sync") for _ in range(3)]
        until(lambda: len(log_lines(agent, "a change was asked for")) == before + 3, "the three to be asked for")
        gate.open()
        answers = [each.result() for each in asked]
    assert [answer.stderr.splitlines()[-1] for answer in answers] == ["Done."] * 3
    assert [head[:7] in answer.stderr for answer in answers] == [True] * 3
    assert (count(), repository.tag()) == (MANY, head)


def test_a_commit_that_comes_while_a_sync_runs_is_synced_by_the_next(agent, repository, namespace, read, gate):
    repository.commit_files(maps(namespace, a="1"))
    gate.close()
    agent.start(f"--git-url={repository.url}", *QUIET)
    gate.wait_until_reached()
    head = repository.commit_files({"part0": as_yaml([config_map(namespace, "m000", a="2")])})
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(agent.kubectl_flux, "sync")
        until(lambda: status_of(agent).get("revisionSeen") == head, "the commit to be seen")
        gate.open()
        done = asked.result()
    assert head[:7] in done.stderr
    assert read("configmaps/m000")["data"] == {"a": "2"}
    assert repository.tag() == head
