"""A repository that is not as it should be is a state that is told and tried again; the cluster stays as it is."""

from __future__ import annotations

import pytest
import quiet
from agent_status import is_ready, repository_error, status_of, told_of, until
from config_repository import config_map
from quiet import QUIET

pytestmark = pytest.mark.controlplane

POLLED = ("--auth=none", "--git-poll-interval=300ms", "--sync-interval=1h")

repository, deployed, agent = quiet.own_repository, quiet.deployed, quiet.stopped_agent


@pytest.fixture
def data(read):
    """A function that reads a ConfigMap's data in the test's namespace; None where it is not there."""

    def get(name="settings"):
        found = read(f"configmaps/{name}")
        return found and found.get("data", {})

    return get


def refused(agent):
    """What `kubectl flux sync` says where it must fail."""
    done = agent.kubectl_flux("sync", check=False)
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_a_repository_that_comes_into_being_step_by_step_is_told_at_each_and_then_synced(
    agent, repository, namespace, data
):
    away = repository.bare.rename(repository.bare.with_suffix(".away"))
    agent.start(f"--git-url={repository.url}", *POLLED)
    error = until(lambda: repository_error(agent), "the first fetch")
    assert "config.git" in error and "--git-url" in error
    said = refused(agent)
    assert "config.git" in said and "--git-url" in said
    away.rename(repository.bare)
    until(lambda: "is empty" in repository_error(agent), "the empty repository to be found")
    assert "push a first commit to branch master" in refused(agent)
    repository.branch = "other"
    repository.commit(settings=config_map(namespace, a="1"))
    until(lambda: "has no branch master, only other" in repository_error(agent), "the other branch to be found")
    assert "--git-branch" in refused(agent)
    assert (is_ready(agent), status_of(agent)["repository"].get("ready", False)) == (True, False)
    assert data() is None
    repository.branch = "master"
    repository.commit()
    until(data, "the first sync")
    assert repository_error(agent) == ""
    until(lambda: repository.tag() == repository.head, "the tag")


def test_a_repository_that_goes_away_leaves_the_cluster_as_it_is_and_is_followed_again(
    plane, agent, repository, namespace, data
):
    repository.commit(settings=config_map(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", *POLLED, "--sync-garbage-collection")
    until(lambda: repository.tag() == repository.head, "the first sync")
    away = repository.bare.rename(repository.bare.with_suffix(".away"))
    until(lambda: repository_error(agent), "the loss to be noticed")
    assert "config.git" in refused(agent)
    assert (data(), is_ready(agent)) == ({"a": "1"}, True)
    away.rename(repository.bare)
    repository.commit(settings=config_map(namespace, a="2"))
    until(lambda: data() == {"a": "2"}, "the next commit")
    assert repository_error(agent) == ""
    assert agent.process.poll() is None


def test_drift_is_repaired_while_the_repository_cannot_be_reached(plane, agent, repository, namespace, data):
    repository.commit(settings=config_map(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", "--auth=none", "--git-poll-interval=300ms", "--sync-interval=500ms")
    until(lambda: repository.tag() == repository.head, "the first sync")
    repository.bare.rename(repository.bare.with_suffix(".away"))
    until(lambda: repository_error(agent), "the loss to be noticed")
    plane.kubectl("patch", "-n", namespace, "cm", "settings", "--type=merge", "-p", '{"data": {"a": "9"}}')
    until(lambda: data() == {"a": "1"}, "the repair")


def test_a_branch_that_was_rewritten_is_followed(agent, repository, namespace, data):
    first = repository.commit(settings=config_map(namespace, a="1"))
    repository.commit(settings=config_map(namespace, a="2"))
    agent.start(f"--git-url={repository.url}", *QUIET)
    agent.kubectl_flux("sync")
    repository.git("reset", "-q", "--hard", first)
    head = repository.commit(settings=config_map(namespace, a="3"))
    agent.kubectl_flux("sync")
    assert (data(), repository.tag()) == ({"a": "3"}, head)
    repository.git("checkout", "-q", "--orphan", "anew")
    head = repository.commit(settings=config_map(namespace, a="4"))
    agent.kubectl_flux("sync")
    assert (data(), repository.tag()) == ({"a": "4"}, head)


def test_a_repository_that_is_made_anew_gets_its_tag_again(agent, repository, namespace, data, tmp_path):
    head = repository.commit(settings=config_map(namespace, a="1"))
    agent.start(f"--git-url={repository.url}", *QUIET)
    agent.kubectl_flux("sync")
    repository.bare.rename(repository.bare.with_suffix(".away"))
    repository.git("init", "-q", "--bare", "-b", "master", str(repository.bare), cwd=tmp_path)
    repository.git("push", "-q", "origin", "HEAD:refs/heads/master")
    agent.kubectl_flux("sync")
    assert repository.tag() == head
    assert status_of(agent)["revisionMarked"] == head


def test_only_the_named_paths_of_the_named_branch_are_read_and_the_label_names_the_tag(
    agent, repository, namespace, data
):
    repository.branch = "production"
    folders = ("apps", "infra", "more", "other", "apps-too")
    head = repository.commit_files({f"{folder}/map.yaml": config_map(namespace, folder) for folder in folders})
    paths = ("--git-path=apps", "--git-path=./infra/,more/map.yaml")
    agent.start(f"--git-url={repository.url}", *QUIET, *paths, "--git-branch=production", "--git-label=cluster-a")
    agent.kubectl_flux("sync")
    assert [folder for folder in folders if data(folder) is not None] == ["apps", "infra", "more"]
    assert (repository.tag("cluster-a"), repository.tag()) == (head, "")


def test_a_path_that_is_not_there_is_told_and_the_cluster_stays_as_it_is(agent, repository, namespace, data):
    first = repository.commit_files({"apps/map.yaml": config_map(namespace, a="1"), "more/a.txt": "here"})
    flags = (*QUIET, "--git-path=apps,more", "--sync-garbage-collection", "--sync-garbage-collection-limit=none")
    agent.start(f"--git-url={repository.url}", *flags)
    agent.kubectl_flux("sync")
    repository.replace({"renamed/map.yaml": config_map(namespace, a="2"), "more/a.txt": "here"})
    said = refused(agent)
    assert "the path apps is not in the repository" in said and "--git-path" in said
    assert "the path apps is not in the repository" in status_of(agent)["lastSync"]["error"]
    assert (data(), repository.tag(), is_ready(agent)) == ({"a": "1"}, first, True)
    head = repository.replace({"apps/map.yaml": config_map(namespace, a="3"), "more/a.txt": "here"})
    agent.kubectl_flux("sync")
    assert (data(), repository.tag()) == ({"a": "3"}, head)


def sync_state(plane, agent):
    """The revision that the agent's Secret has in v1's annotation."""
    metadata = plane.api("GET", f"/api/v1/namespaces/{agent.namespace}/secrets/flux-git-deploy")["metadata"]
    return metadata.get("annotations", {}).get("flux.weave.works/sync-hwm", "")


@pytest.mark.parametrize("flag", ["--git-readonly", "--sync-state=secret"])
def test_the_state_may_be_kept_in_the_secret_and_nothing_is_pushed(plane, agent, repository, namespace, data, flag):
    hook = repository.bare / "hooks" / "update"
    repository.commit(settings=config_map(namespace, a="1"))
    hook.write_text("#!/bin/sh\ntouch pushed\nexit 1\n")
    hook.chmod(0o755)
    agent.start(f"--git-url={repository.url}", *QUIET, flag)
    done = agent.kubectl_flux("sync")
    assert "Warning" not in done.stderr
    assert (data(), sync_state(plane, agent), repository.tag()) == ({"a": "1"}, repository.head, "")
    assert not (repository.bare / "pushed").exists()
    agent.stop()
    agent.start(f"--git-url={repository.url}", *QUIET, flag)
    until(lambda: status_of(agent).get("revisionMarked") == repository.head, "the state to be read again")


def test_a_refused_tag_is_told_with_the_servers_words_while_syncing_goes_on(agent, repository, namespace, data):
    repository.commit(settings=config_map(namespace, a="1"))
    hook = repository.bare / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/tags/*) echo "tags are for the release team" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    agent.start(f"--git-url={repository.url}", *QUIET, "--git-sync-tag=mine")
    done = agent.kubectl_flux("sync")
    warning = told_of(done.stderr, "Warning")
    assert "tags are for the release team" in warning and "--sync-state=secret" in warning
    status = status_of(agent)
    assert "tags are for the release team" in status["markerError"]
    assert (data(), status["revisionApplied"], repository.tag("mine")) == ({"a": "1"}, repository.head, "")
    head = repository.commit(settings=config_map(namespace, a="2"))
    assert "tags are for the release team" in agent.kubectl_flux("sync").stderr
    assert data() == {"a": "2"}
    hook.unlink()
    assert "Warning" not in agent.kubectl_flux("sync").stderr
    assert repository.tag("mine") == head
    assert status_of(agent).get("markerError", "") == ""


def test_a_tag_that_somebody_deleted_or_moved_is_put_back(agent, repository, namespace):
    first = repository.commit(settings=config_map(namespace, a="1"))
    head = repository.commit(settings=config_map(namespace, a="2"))
    agent.start(f"--git-url={repository.url}", *QUIET)
    agent.kubectl_flux("sync")
    repository.git("push", "-q", "origin", ":refs/tags/flux-sync")
    agent.kubectl_flux("sync")
    assert repository.tag() == head
    repository.git("tag", "-a", "-f", "-m", "moved", "flux-sync", first)
    repository.git("push", "-q", "--force", "origin", "refs/tags/flux-sync")
    agent.kubectl_flux("sync")
    assert repository.tag() == head
