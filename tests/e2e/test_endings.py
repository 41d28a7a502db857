"""Syncs that end early, by a signal, by a crash or by the clock, lose nothing; and syncs that meet are all answered."""

from __future__ import annotations

import ctypes
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from agent_status import log_lines, status_of, until
from config_repository import ConfigRepository, as_yaml, config_map, custom, definition

pytestmark = pytest.mark.controlplane

MANY = 400
MOMENT = "--sync-timeout=20ms"  # far less than many objects take on any machine
SLOW = ("--auth=none", "--git-poll-interval=1h", "--sync-interval=1h")
COLLECT = ("--sync-garbage-collection", "--sync-garbage-collection-limit=none")


@pytest.fixture
def repository(tmp_path):
    return ConfigRepository(tmp_path)


@pytest.fixture(scope="module")
def deployed(start_agent):
    """The one agent of this module; each test starts it with flags of its own."""
    agent = start_agent("--auth=none")
    agent.stop()
    return agent


@pytest.fixture
def agent(deployed):
    yield deployed
    deployed.stop()


@pytest.fixture
def count(plane, namespace):
    """A function that counts the test's ConfigMaps; every namespace has one of its own besides."""

    def ask():
        path = f"/api/v1/namespaces/{namespace}/configmaps?labelSelector=fluxcd.io/sync-gc-mark"
        return len(plane.api("GET", path)["items"])

    return ask


@pytest.fixture
def exists(plane, namespace):
    """A function that tells whether a ConfigMap of the test is there; much cheaper than counting."""

    def ask(name):
        path = f"/api/v1/namespaces/{namespace}/configmaps?fieldSelector=metadata.name={name}"
        return bool(plane.api("GET", path)["items"])

    return ask


def maps(namespace, number=MANY, **data):
    """Many small objects, in files of fifty."""
    names = [f"m{place:03}" for place in range(number)]
    parts = [names[start : start + 50] for start in range(0, number, 50)]
    return {
        f"part{place}": as_yaml([config_map(namespace, name, **data) for name in part])
        for place, part in enumerate(parts)
    }


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_an_agent_that_is_ended_in_the_middle_of_a_sync_completes_it_at_the_next_start(
    agent, repository, namespace, count, exists, end
):
    head = repository.commit_files(maps(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", *SLOW, *COLLECT)
    until(lambda: exists("m000"), "the first object")
    getattr(agent, end)()
    assert (count() < MANY, repository.tag()) == (True, "")
    agent.start(f"--git-url={repository.url}", *SLOW, *COLLECT)
    agent.kubectl_flux("sync")
    assert (count(), repository.tag()) == (MANY, head)
    agent.kubectl_flux("sync")
    last = status_of(agent)["lastSync"]
    assert (last["unchanged"], last.get("applied", 0), last.get("deleted", 0)) == (MANY, 0, 0)


def test_a_signal_ends_the_agent_whichever_thread_the_kernel_gives_it_to(agent, repository, namespace):
    repository.commit(settings=config_map(namespace))
    agent.start(f"--git-url={repository.url}", *SLOW)
    agent.kubectl_flux("sync")
    pid = agent.process.pid
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir() if path.name != str(pid)]
    assert ctypes.CDLL(None).tgkill(pid, threads[-1], signal.SIGTERM) == 0
    assert agent.process.wait(20) == 0
    agent.stop()


def test_an_agent_that_is_killed_while_it_deletes_goes_on_at_the_next_start(
    agent, repository, namespace, count, exists
):
    repository.commit_files(maps(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", *SLOW, *COLLECT)
    agent.kubectl_flux("sync")
    agent.stop()
    head = repository.replace({"kept": config_map(namespace, "kept")})
    agent.start(f"--git-url={repository.url}", *SLOW, *COLLECT)
    until(lambda: not exists("m000"), "the first deletion")
    agent.kill()
    assert count() > 1
    agent.start(f"--git-url={repository.url}", *SLOW, *COLLECT)
    agent.kubectl_flux("sync")
    assert (count(), repository.tag()) == (1, head)


def test_a_sync_that_runs_out_of_time_is_continued_at_once_and_only_then_the_tag_moves(
    agent, repository, namespace, count
):
    head = repository.commit_files(maps(namespace, a="1"))
    before = len(log_lines(agent))
    agent.start(f"--git-url={repository.url}", *SLOW, MOMENT)
    until(repository.tag, "the sync to be complete")
    assert (count(), repository.tag()) == (MANY, head)
    syncs = [line for line in log_lines(agent)[before:] if "msg=synced" in line]
    left = [int(line.partition("remaining=")[2].split()[0]) for line in syncs]
    assert left == sorted(left, reverse=True)
    assert (len(left) > 1, left[-1]) == (True, 0)


def test_a_time_that_is_too_short_for_reading_alone_still_gets_on(agent, repository, namespace, count):
    head = repository.commit_files(maps(namespace, 30))
    agent.start(f"--git-url={repository.url}", *SLOW, "--sync-timeout=1ms")
    until(lambda: repository.tag() == head, "the sync to be complete", seconds=10)
    assert count() == 30


def test_a_definition_that_is_refused_does_not_use_up_the_time_of_the_rest(agent, repository, namespace, count, prefix):
    group = f"{prefix}.example.com"
    bad = definition(group, "Shop", "shops")
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"] = "nonsense"
    shop = custom(group, "Shop", namespace, "first")
    head = repository.commit(bad=bad, shop=shop, settings=config_map(namespace))
    agent.start(f"--git-url={repository.url}", *SLOW, "--sync-timeout=5s")
    until(lambda: repository.tag() == head, "every object to be attempted")
    assert count() == 1
    assert {failure["path"] for failure in status_of(agent)["failures"]} == {"bad.yaml", "shop.yaml"}


def test_a_sync_that_was_asked_for_tells_what_was_not_reached_in_time(agent, repository, namespace, count):
    repository.commit("first")
    agent.start(f"--git-url={repository.url}", *SLOW, MOMENT)
    agent.kubectl_flux("sync")
    repository.commit_files(maps(namespace, a="1"))
    done = agent.kubectl_flux("sync", check=False)
    assert done.returncode == 1
    assert "were not reached in time" in done.stderr
    until(lambda: repository.tag() == repository.head, "the sync to be complete")
    assert count() == MANY
    assert "markerError" not in status_of(agent)


def test_syncs_that_are_asked_for_while_one_runs_are_all_answered(agent, repository, namespace, count):
    head = repository.commit_files(maps(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", *SLOW)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: agent.kubectl_flux("sync"), range(3)))
    assert [answer.stderr.splitlines()[-1] for answer in answers] == ["Done."] * 3
    assert [head[:7] in answer.stderr for answer in answers] == [True] * 3
    assert (count(), repository.tag()) == (MANY, head)


def test_a_commit_that_comes_while_a_sync_runs_is_synced_by_the_next(plane, agent, repository, namespace, exists):
    repository.commit_files(maps(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", *SLOW)
    until(lambda: exists("m000"), "the first object")
    head = repository.commit_files({"part0": as_yaml([config_map(namespace, "m000", a="2")])})
    done = agent.kubectl_flux("sync")
    assert head[:7] in done.stderr
    assert plane.api("GET", f"/api/v1/namespaces/{namespace}/configmaps/m000")["data"] == {"a": "2"}
    assert repository.tag() == head
