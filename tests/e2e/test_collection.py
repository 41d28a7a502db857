"""Garbage collection: what left git goes, and only that, behind a brake."""

from __future__ import annotations

import json

import pytest
from config_repository import ConfigRepository, config_map, namespace_of

from agent.model.ids import ObjectKey
from agent.sync.marks import v1_mark, v1_salt

pytestmark = pytest.mark.controlplane

FLAGS = ("--auth=none", "--git-poll-interval=1h", "--sync-interval=1h", "--sync-garbage-collection")


@pytest.fixture
def repository(tmp_path):
    repository = ConfigRepository(tmp_path)
    repository.commit("first")
    return repository


@pytest.fixture
def agent(start_agent, repository):
    agent = start_agent(f"--git-url={repository.url}", *FLAGS)
    yield agent
    agent.stop()


@pytest.fixture
def names(plane, namespace):
    """The names of this test's ConfigMaps, less the one that every namespace has."""

    def read(space=namespace):
        found = json.loads(plane.kubectl("get", "-n", space, "cm", "-o", "json"))["items"]
        return {item["metadata"]["name"] for item in found} - {"kube-root-ca.crt"}

    return read


def maps(namespace, *names):
    return [config_map(namespace, name) for name in names]


def test_what_left_git_goes_and_what_others_made_stays(plane, agent, repository, namespace, names):
    plane.kubectl("create", "-n", namespace, "configmap", "byhand")
    repository.commit(app=maps(namespace, "a", "b", "c", "d"))
    agent.kubectl_flux("sync")
    repository.commit(app=maps(namespace, "a", "b", "c"))
    agent.kubectl_flux("sync")
    assert names() == {"a", "b", "c", "byhand"}


def test_a_renamed_file_changes_nothing_and_a_moved_object_goes_from_its_old_place(
    agent, repository, namespace, names, new_namespace
):
    other = new_namespace("other")
    repository.commit(app=maps(namespace, "a", "b", "c", "d"))
    agent.kubectl_flux("sync")
    repository.commit(app=None, renamed=[*maps(namespace, "a", "b", "c"), *maps(other, "d")])
    agent.kubectl_flux("sync")
    assert (names(), names(other)) == ({"a", "b", "c"}, {"d"})


def test_a_copied_mark_deletes_nothing(plane, agent, repository, namespace, names):
    repository.commit(app=maps(namespace, "a", "b", "c"))
    agent.kubectl_flux("sync")
    copy = json.loads(plane.kubectl("get", "-n", namespace, "cm/a", "-o", "json"))
    copy["metadata"] = {key: copy["metadata"][key] for key in ("labels", "annotations", "namespace")} | {"name": "copy"}
    plane.kubectl("create", "-f", "-", input=json.dumps(copy))
    agent.kubectl_flux("sync")
    assert "copy" in names()


def test_a_kind_that_left_git_while_nobody_ran_is_found_at_the_next_start(
    start_agent, agent, repository, namespace, plane
):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": namespace},
        "spec": {"hard": {"pods": "9"}},
    }
    repository.commit(app=[*maps(namespace, "a", "b", "c"), quota])
    agent.kubectl_flux("sync")
    agent.stop()
    repository.commit(app=maps(namespace, "a", "b", "c"))
    agent.start(f"--git-url={repository.url}", *FLAGS)
    agent.kubectl_flux("sync")
    assert plane.kubectl("get", "-n", namespace, "resourcequota", "-o", "name") == ""


def test_nothing_is_deleted_while_a_file_does_not_load(agent, repository, namespace, names):
    repository.commit(app=maps(namespace, "a", "b", "c"), more=maps(namespace, "d"))
    agent.kubectl_flux("sync")
    repository.commit(app="a: b: c\n", more=None)
    done = agent.kubectl_flux("sync", check=False)
    assert names() == {"a", "b", "c", "d"}
    assert f"{namespace}:configmap/d" in done.stderr
    repository.commit(app=maps(namespace, "a", "b", "c"))
    agent.kubectl_flux("sync")
    assert names() == {"a", "b", "c"}


def test_an_object_that_the_cluster_says_to_ignore_is_not_collected(plane, agent, repository, namespace, names):
    repository.commit(app=maps(namespace, "a", "b", "c", "d"))
    agent.kubectl_flux("sync")
    plane.kubectl("annotate", "-n", namespace, "cm/d", "fluxcd.io/ignore=sync_only")
    repository.commit(app=maps(namespace, "a", "b", "c"))
    agent.kubectl_flux("sync")
    assert "d" in names()


def test_an_object_with_a_finalizer_does_not_block_the_rest(plane, agent, repository, namespace, names):
    repository.commit(app=maps(namespace, *"abcdefg"))
    agent.kubectl_flux("sync")
    plane.kubectl(
        "patch", "-n", namespace, "cm/f", "--type=merge", "-p", '{"metadata": {"finalizers": ["example.com/wait"]}}'
    )
    repository.commit(app=maps(namespace, *"abcde"))
    agent.kubectl_flux("sync")
    assert names() == set("abcdef")
    done = agent.kubectl_flux("sync")
    assert "is being deleted" in done.stderr
    plane.kubectl("patch", "-n", namespace, "cm/f", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


def test_a_mass_removal_is_held_and_let_through_by_its_hash(agent, repository, namespace, names):
    many = [f"m{number}" for number in range(20)]
    repository.commit(app=maps(namespace, *many))
    agent.kubectl_flux("sync")
    repository.commit(app=maps(namespace, *many[:8]))
    held = agent.kubectl_flux("sync")
    assert names() == set(many)
    assert "12 of 20 objects would go at once" in held.stderr
    [approval] = [line.split()[-1] for line in held.stderr.splitlines() if "--allow-deletions" in line]
    wrong = agent.kubectl_flux("sync", "--allow-deletions", "000000000000")
    assert (names(), approval in wrong.stderr) == (set(many), True)
    agent.kubectl_flux("sync", "--allow-deletions", approval)
    assert names() == set(many[:8])


def test_an_emptied_source_is_held_and_the_tag_moves_on(agent, repository, namespace, names):
    repository.commit(app=maps(namespace, "a", "b", "c"))
    agent.kubectl_flux("sync")
    head = repository.commit(app=None)
    agent.kubectl_flux("sync")
    assert names() == {"a", "b", "c"}
    assert repository.tag() == head


def test_a_namespace_is_held_by_itself_while_the_rest_goes(plane, agent, repository, namespace, names, prefix):
    fresh = f"{prefix}-fresh"
    repository.commit(app=maps(namespace, *"abcdefgh"), space=namespace_of(fresh))
    agent.kubectl_flux("sync")
    repository.commit(app=maps(namespace, *"abcdefg"), space=None)
    done = agent.kubectl_flux("sync")
    assert "deleting a Namespace cannot be undone" in done.stderr
    assert names() == set("abcdefg")
    assert plane.kubectl("get", "namespace", fresh, "-o", "jsonpath={.status.phase}") == "Active"
    plane.kubectl("delete", "namespace", fresh, "--wait=false")


def test_a_changed_path_makes_orphans_that_only_an_approval_deletes(agent, repository, namespace, names):
    repository.commit_files(
        {"one/app.yaml": maps(namespace, "a", "b"), "two/app.yaml": maps(namespace, "c", "d", "e", "f")}
    )
    agent.kubectl_flux("sync")
    agent.stop()
    agent.start(f"--git-url={repository.url}", *FLAGS, "--git-path=two")
    done = agent.kubectl_flux("sync")
    assert names() == set("abcdef")
    assert "orphaned" in done.stderr
    [approval] = [line.split()[-1] for line in done.stderr.splitlines() if "--allow-deletions" in line]
    agent.kubectl_flux("sync", "--allow-deletions", approval)
    assert names() == set("cdef")


def test_a_dry_collection_only_tells(start_agent, repository, namespace, names):
    repository.commit(app=maps(namespace, "a", "b", "c", "d"))
    dry = start_agent(f"--git-url={repository.url}", "--auth=none", "--sync-garbage-collection-dry")
    dry.kubectl_flux("sync")
    repository.commit(app=maps(namespace, "a", "b", "c"))
    done = dry.kubectl_flux("sync")
    assert names() == set("abcd")
    assert f"{namespace}:configmap/d" in done.stderr
    dry.stop()


def test_objects_of_flux_v1_are_adopted_and_collected(plane, agent, repository, namespace, names):
    salt = v1_salt(repository.url, "master", ())
    for name in ("kept", "left", "foreign"):
        plane.kubectl("create", "-n", namespace, "configmap", name)
        key = ObjectKey("", "ConfigMap", namespace, name if name != "foreign" else "other")
        plane.kubectl("label", "-n", namespace, f"cm/{name}", f"fluxcd.io/sync-gc-mark={v1_mark(salt, key)}")
    repository.commit(app=maps(namespace, "kept", "b", "c"))
    agent.kubectl_flux("sync")
    assert names() == {"kept", "b", "c", "foreign"}
