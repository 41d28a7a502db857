"""Rollbacks that stay: automation does not bring back what a person took back, whoever forgets what in between."""

from __future__ import annotations

import shutil

import pytest
from agent_status import until
from config_repository import ConfigRepository
from releasing import answer, app, commit_of, head, image_is_new, moved, runs

pytestmark = pytest.mark.controlplane

FLAGS = ("--auth=none", "--git-poll-interval=1h", "--sync-interval=1h", "--automation-interval=1s")
AUTOMATED = {"automated": "true", "tag.web": "semver:~1"}


@pytest.fixture
def repository(tmp_path):
    repository = ConfigRepository(tmp_path)
    repository.commit("first")
    return repository


@pytest.fixture
def flags(repository, registry):
    return (f"--git-url={repository.url}", *FLAGS, f"--registry-insecure-host={registry.host}")


@pytest.fixture
def agent(start_agent, flags):
    """An agent of the test's own that looks every second whether automation wants something."""
    agent = start_agent(*flags)
    yield agent
    agent.stop()


@pytest.fixture
def shop(agent, repository, images, namespace):
    """An automated Deployment that automation has just taken from 1.0.0 to 1.1.0: its id."""
    images.push("shop", "1.0.0", "1.1.0")
    before = repository.replace({"shop": app(namespace, "shop", AUTOMATED, web=images.image("shop", "1.0.0"))})
    agent.kubectl_flux("sync")
    assert moved(repository, before).message == f"Auto-release {images.image('shop', '1.1.0')}"
    return f"{namespace}:deployment/shop"


def automation_looks(agent, repository, images, namespace, probe="probe"):
    """Automation has looked at everything once more: it has released another workload, which needed it."""
    repository.pull()
    images.push(probe, "1.0.0", "1.0.1")
    before = repository.commit_files({probe: app(namespace, probe, AUTOMATED, web=images.image(probe, "1.0.0"))})
    agent.kubectl_flux("sync")
    commit = moved(repository, before)
    assert commit.message == f"Auto-release {images.image(probe, '1.0.1')}"


def restart_without_memory(agent, flags):
    agent.stop()
    shutil.rmtree(agent.folder / "cache")
    agent.start(*flags)


def taken_back(agent, workload):
    (web,) = answer(agent, "Explain", workload=workload)["containers"]
    return web.get("takenBack", "").rpartition(":")[2], web.get("takenBackBy", "")


# --- rollbacks -------------------------------------------------------------------------------------------------------


def test_an_older_image_that_a_person_releases_stays(agent, flags, shop, images, namespace, repository):
    old, bad = images.image("shop", "1.0.0"), images.image("shop", "1.1.0")
    agent.kubectl_flux("release", f"--workload={shop}", f"--update-image={old}")
    commit = commit_of(repository)
    assert commit.values("Flux-Rejected") == [f"{shop} web {bad}"]
    automation_looks(agent, repository, images, namespace)
    assert runs(agent, namespace, "shop") == [old]
    until(lambda: taken_back(agent, shop) == ("1.1.0", commit.sha), "why")
    assert f"1.1.0 was taken back (commit {commit.sha[:7]})" in agent.kubectl_flux("why", shop).stdout
    restart_without_memory(agent, flags)
    automation_looks(agent, repository, images, namespace, "another")
    assert runs(agent, namespace, "shop") == [old]
    until(lambda: taken_back(agent, shop) == ("1.1.0", commit.sha), "why, told by git alone")
    images.push("shop", "1.1.1")
    image_is_new(agent, images.image("shop"))
    until(lambda: runs(agent, namespace, "shop") == [images.image("shop", "1.1.1")], "what is newer still")
    until(lambda: taken_back(agent, shop) == ("", ""), "the end of the mark")


def test_accepting_lifts_it(agent, shop, images, namespace, repository):
    old, bad = images.image("shop", "1.0.0"), images.image("shop", "1.1.0")
    agent.kubectl_flux("release", f"--workload={shop}", f"--update-image={old}")
    until(lambda: taken_back(agent, shop)[0] == "1.1.0", "why")
    done = agent.kubectl_flux("automate", f"--workload={shop}", "--accept")
    assert "Commit pushed:" in done.stderr
    until(lambda: runs(agent, namespace, "shop") == [bad], "automation to go on")
    accepting = commit_of(repository, f"{head(repository)}^")
    assert (accepting.message, accepting.lines) == (f"Accepted again what was taken back: {shop}", [])
    until(lambda: taken_back(agent, shop) == ("", ""), "the end of the mark")


def test_a_commit_of_automation_that_somebody_reverts_stays_so(agent, flags, shop, images, namespace, repository):
    repository.pull()
    automatic = head(repository)
    repository.git("revert", "--no-edit", automatic)
    repository.git("push", "-q", "origin", "HEAD:master")
    agent.kubectl_flux("sync")
    old = images.image("shop", "1.0.0")
    automation_looks(agent, repository, images, namespace)
    assert runs(agent, namespace, "shop") == [old]
    until(lambda: taken_back(agent, shop) == ("1.1.0", automatic), "why")
    restart_without_memory(agent, flags)
    automation_looks(agent, repository, images, namespace, "another")
    assert runs(agent, namespace, "shop") == [old]
    agent.kubectl_flux("release", f"--workload={shop}", f"--update-image={images.image('shop', '1.1.0')}")
    until(lambda: taken_back(agent, shop) == ("", ""), "the end of the mark")


def test_the_manuals_ways_to_roll_back_work_as_they_did(agent, shop, images, namespace, repository):
    """Deautomate and release; lock and release by force. Afterwards automation is on again, and knows."""
    old, bad = images.image("shop", "1.0.0"), images.image("shop", "1.1.0")
    agent.kubectl_flux("deautomate", f"--workload={shop}")
    agent.kubectl_flux("release", f"--workload={shop}", f"--update-image={old}")
    automation_looks(agent, repository, images, namespace)
    assert runs(agent, namespace, "shop") == [old]
    agent.kubectl_flux("automate", f"--workload={shop}")
    until(lambda: runs(agent, namespace, "shop") == [bad], "automation, which nobody told of a rollback")
    agent.kubectl_flux("lock", f"--workload={shop}", "-m", "1.1.0 does not work for us")
    agent.kubectl_flux("release", "--force", f"--workload={shop}", f"--update-image={old}")
    assert runs(agent, namespace, "shop") == [old]
