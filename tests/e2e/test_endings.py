"""Syncs that end early, by a signal, by a crash or by the clock, lose nothing; and syncs that meet are all answered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from agent_status import log_lines, status_of, until
from config_repository import ConfigRepository, as_yaml, config_map

pytestmark = pytest.mark.controlplane

MANY = 400
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
        path = f"/api/v1/namespaces/{namespace}/configmaps?labelSelector=fluxcd.io/sync-gc-mark&limit=1"
        answer = plane.api("GET", path)
        return len(answer["items"]) + answer["metadata"].get("remainingItemCount", 0)

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
    agent, repository, namespace, count, end
):
    head = repository.commit_files(maps(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", *SLOW, *COLLECT)
    until(lambda: count() >= 20, "the first objects")
    getattr(agent, end)()
    reached = count()
    assert (reached < MANY, repository.tag()) == (True, "")
    agent.start(f"--git-url={repository.url}", *SLOW, *COLLECT)
    agent.kubectl_flux("sync")
    assert (count(), repository.tag()) == (MANY, head)
    agent.kubectl_flux("sync")
    last = status_of(agent)["lastSync"]
    assert (last["unchanged"], last.get("applied", 0), last.get("deleted", 0)) == (MANY, 0, 0)


def test_an_agent_that_is_killed_while_it_deletes_goes_on_at_the_next_start(agent, repository, namespace, count):
    repository.commit_files(maps(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", *SLOW, *COLLECT)
    agent.kubectl_flux("sync")
    agent.stop()
    head = repository.replace({"kept": config_map(namespace, "kept")})
    agent.start(f"--git-url={repository.url}", *SLOW, *COLLECT)
    until(lambda: count() < MANY - 10, "the first deletions")
    agent.kill()
    agent.start(f"--git-url={repository.url}", *SLOW, *COLLECT)
    agent.kubectl_flux("sync")
    assert (count(), repository.tag()) == (1, head)


def test_a_sync_that_runs_out_of_time_is_continued_at_once_and_only_then_the_tag_moves(
    agent, repository, namespace, count
):
    head = repository.commit_files(maps(namespace, a="1"))
    before = len(log_lines(agent))
    agent.start(f"--git-url={repository.url}", *SLOW, "--sync-timeout=300ms")
    until(repository.tag, "the sync to be complete")
    assert (count(), repository.tag()) == (MANY, head)
    syncs = [line for line in log_lines(agent)[before:] if "msg=synced" in line]
    left = [int(line.partition("remaining=")[2].split()[0]) for line in syncs]
    assert left == sorted(set(left), reverse=True)
    assert (len(left) > 1, left[-1]) == (True, 0)


def test_a_sync_that_was_asked_for_tells_what_was_not_reached_in_time(agent, repository, namespace, count):
    repository.commit("first")
    agent.start(f"--git-url={repository.url}", *SLOW, "--sync-timeout=300ms")
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


def test_a_commit_that_comes_while_a_sync_runs_is_synced_by_the_next(agent, repository, namespace, count, plane):
    repository.commit_files(maps(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", *SLOW)
    until(lambda: count() >= 20, "the first objects")
    head = repository.commit_files({"part0": as_yaml([config_map(namespace, "m000", a="2")])})
    done = agent.kubectl_flux("sync")
    assert head[:7] in done.stderr
    assert plane.api("GET", f"/api/v1/namespaces/{namespace}/configmaps/m000")["data"] == {"a": "2"}
    assert repository.tag() == head
