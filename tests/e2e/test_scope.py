"""Where an agent may act: the flags that confine it, and ServiceAccounts that may only see part of the cluster."""

from __future__ import annotations

import json

import pytest
import quiet
from agent_status import log_lines, status_of, told_of, until
from config_repository import config_map, custom, deployment, namespace_of, service
from quiet import COLLECT, QUIET
from rights import until_right

pytestmark = pytest.mark.controlplane

repository, deployed, agent = quiet.own_repository, quiet.deployed, quiet.stopped_agent


@pytest.fixture
def spaces(new_namespace):
    """Three namespaces of this test."""
    return [new_namespace() for _ in range(3)]


@pytest.fixture
def exists(read_in):
    """A function that tells whether an object is there, such as `configmaps/settings` of a namespace."""
    return lambda *place: read_in(*place) is not None


def test_what_is_outside_the_allowed_namespaces_is_left_alone_with_one_warning_and_holds_nothing(
    agent, repository, spaces, exists, prefix
):
    one, two, outside = spaces
    unnamed = f"{prefix}-unnamed"
    files = {space: config_map(space) for space in spaces}
    repository.commit_files(
        files | {"spaces": [namespace_of(unnamed), namespace_of(one)], "role": cluster_role(prefix)}
    )
    agent.start(f"--git-url={repository.url}", *QUIET, f"--k8s-allow-namespace={one}", f"--k8s-allow-namespace={two}")
    done = agent.kubectl_flux("sync")
    agent.kubectl_flux("sync")
    assert [exists(space, "configmaps/settings") for space in spaces] == [True, True, False]
    assert exists(one, "", "/api/v1") and not exists(unnamed, "")
    assert repository.tag() == repository.head
    assert done.stderr.endswith("Done.\n")
    for left in (f"{outside}:configmap/settings", f"<cluster>:namespace/{unnamed}"):
        assert len([notice for notice in status_of(agent)["notices"] if left in notice]) == 1
        assert len(log_lines(agent, left)) == 1


def cluster_role(prefix):
    metadata = {"name": f"{prefix}-role"}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": []}


def test_what_is_wrong_outside_the_allowed_namespaces_fails_and_holds_nothing(agent, repository, spaces, exists):
    one, _, outside = spaces
    lost = custom("nowhere.example.com", "Shop", outside, "lost")
    repository.commit(a=config_map(outside), b=config_map(outside), lost=lost, c=config_map(one))
    agent.start(f"--git-url={repository.url}", *QUIET, f"--k8s-allow-namespace={one}")
    done = agent.kubectl_flux("sync", check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "Done.")
    assert exists(one, "configmaps/settings")
    assert repository.tag() == repository.head


def test_the_lists_are_confined_to_the_allowed_namespaces(plane, agent, repository, spaces):
    one, two, outside = spaces
    repository.commit("first", web=deployment(one))
    for space in (two, outside):
        plane.kubectl("create", "-n", space, "deployment", "byhand", "--image=nginx:1.19", "--replicas=0")
    agent.start(f"--git-url={repository.url}", *QUIET, f"--k8s-allow-namespace={one},{two}")
    agent.kubectl_flux("sync")

    def listed():
        rows = json.loads(agent.kubectl_flux("list-workloads", "-a", "-o", "json").stdout)
        return {row["ID"] for row in rows} >= {f"{one}:deployment/web", f"{two}:deployment/byhand"} and rows

    rows = until(listed, "the watches")
    assert {row["ID"] for row in rows} == {f"{one}:deployment/web", f"{two}:deployment/byhand"}


def test_the_last_object_of_an_allowed_namespace_is_collected_as_any_other(agent, repository, spaces, exists):
    one, two, _ = spaces
    repository.commit_files({space: config_map(space) for space in (one, two)})
    agent.start(f"--git-url={repository.url}", *QUIET, *COLLECT, f"--k8s-allow-namespace={one},{two}")
    agent.kubectl_flux("sync")
    repository.commit_files({two: None})
    agent.kubectl_flux("sync")
    assert (exists(one, "configmaps/settings"), exists(two, "configmaps/settings")) == (True, False)


def nameless(name):
    made = config_map("", name)
    del made["metadata"]["namespace"]
    return made


def test_what_names_no_namespace_goes_where_the_flag_says(agent, repository, spaces, exists):
    one = spaces[0]
    repository.commit(a=nameless("nameless"), role=cluster_role(one))
    agent.start(f"--git-url={repository.url}", *QUIET, f"--k8s-default-namespace={one}")
    agent.kubectl_flux("sync")
    assert exists(one, "configmaps/nameless")


def test_what_names_no_namespace_goes_where_the_kubeconfigs_context_says(plane, agent, repository, spaces, exists):
    one = spaces[0]
    repository.commit(a=nameless("nameless"), role=cluster_role(one))
    config = agent.folder / "context.kubeconfig"
    plane.kubeconfig_for(plane.token(agent.namespace, "flux"), config, namespace=one)
    agent.start(f"--git-url={repository.url}", *QUIET, f"--kubeconfig={config}")
    agent.kubectl_flux("sync")
    assert exists(one, "configmaps/nameless")


def test_an_excluded_kind_is_applied_and_never_collected(plane, agent, repository, spaces, exists):
    one = spaces[0]
    files = {name: config_map(one, name, a="1") for name in ("kept", "left")}
    repository.commit_files({**files, "front": service(one, "front")})
    excluded = "--k8s-unsafe-exclude-resource=v1/Config*,*metrics.k8s.io/*"
    agent.start(f"--git-url={repository.url}", *QUIET, *COLLECT, excluded)
    agent.kubectl_flux("sync")
    plane.kubectl("patch", "-n", one, "cm", "kept", "--type=merge", "-p", '{"data": {"a": "9"}}')
    repository.commit_files({"left": None, "front": None})
    agent.kubectl_flux("sync")
    assert plane.api("GET", f"/api/v1/namespaces/{one}/configmaps/kept")["data"] == {"a": "1"}
    assert (exists(one, "configmaps/left"), exists(one, "services/front")) == (True, False)
    assert repository.tag() == repository.head


# -- ServiceAccounts that may only see part of the cluster ------------------------------------------------------------


@pytest.fixture(scope="module")
def confined(plane, start_agent):
    """An agent whose ServiceAccount may do nothing, until a test gives it a Role."""
    agent = start_agent("--auth=none")
    agent.stop()
    nobody = json.dumps([{"op": "replace", "path": "/subjects", "value": []}])
    plane.kubectl("patch", "clusterrolebinding", f"flux-{agent.namespace}", "--type=json", "-p", nobody)
    return agent


@pytest.fixture
def lesser(confined):
    yield confined
    confined.stop()


@pytest.fixture
def let(plane, confined):
    """A function that gives the confined agent every right on ConfigMaps and Deployments of a namespace."""

    def grant(space):
        plane.kubectl("create", "-n", space, "role", "flux", "--verb=*", "--resource=configmaps,deployments.apps")
        account = f"{confined.namespace}:flux"
        plane.kubectl("create", "-n", space, "rolebinding", "flux", "--role=flux", f"--serviceaccount={account}")
        until_right(plane, account, "configmaps/patch", space, group="")

    return grant


def forbidden_files(spaces):
    one, two, outside = spaces
    return {
        "one": [config_map(one, a="1"), deployment(one, replicas=0)],
        "two": config_map(two, a="1"),
        "front": service(one, "front"),
        "outside": config_map(outside),
    }


def test_an_agent_with_roles_in_two_namespaces_works_there_and_names_what_is_forbidden(
    plane, lesser, repository, spaces, exists, let
):
    one, two, outside = spaces
    let(one)
    let(two)
    repository.commit_files(forbidden_files(spaces))
    lesser.start(f"--git-url={repository.url}", *QUIET)
    done = lesser.kubectl_flux("sync", check=False)
    assert done.returncode == 1
    assert "forbidden" in told_of(done.stderr, f"{one}:service/front (front.yaml:1)")
    assert "forbidden" in told_of(done.stderr, f"{outside}:configmap/settings (outside.yaml:1)")
    assert [exists(one, "configmaps/settings"), exists(two, "configmaps/settings")] == [True, True]
    assert exists(one, "deployments/web", "/apis/apps/v1")
    assert repository.tag() == repository.head
    plane.kubectl("patch", "-n", two, "cm", "settings", "--type=merge", "-p", '{"data": {"a": "9"}}')
    lesser.kubectl_flux("sync", check=False)
    assert plane.api("GET", f"/api/v1/namespaces/{two}/configmaps/settings")["data"] == {"a": "1"}


def test_what_is_forbidden_is_logged_once_and_not_in_every_loop(plane, lesser, repository, spaces, let):
    one, _, outside = spaces
    let(one)
    repository.commit_files(forbidden_files(spaces))
    before = len(lesser.log.read_text().splitlines())
    lesser.start(
        f"--git-url={repository.url}", "--auth=none", "--git-poll-interval=1h", "--sync-interval=200ms", *COLLECT
    )
    until(lambda: len([line for line in log_lines(lesser)[before:] if "msg=synced" in line]) > 3, "four syncs")
    lines = log_lines(lesser)[before:]
    for words in ((f"{one}:service/front", "forbidden"), (f"{outside}:configmap/settings", "forbidden")):
        assert len([line for line in lines if all(word in line for word in words)]) == 1
    unlisted = [line.partition("msg=")[2] for line in lines if "may not be listed" in line]
    assert (len(unlisted) > 0, sorted(unlisted)) == (True, sorted(set(unlisted)))


def test_an_agent_with_roles_and_allowed_namespaces_collects_there_and_lists_the_workloads(
    lesser, repository, spaces, exists, let
):
    one, two, _ = spaces
    let(one)
    let(two)
    repository.commit(
        one=[config_map(one, "a"), config_map(one, "b"), deployment(one, replicas=0)], two=config_map(two)
    )
    lesser.start(f"--git-url={repository.url}", *QUIET, *COLLECT, f"--k8s-allow-namespace={one},{two}")
    told = lesser.kubectl_flux("sync").stderr.splitlines()
    assert [line for line in told if "services" in line and "may not be listed" in line]
    repository.commit(one=[config_map(one, "a"), deployment(one, replicas=0)])
    lesser.kubectl_flux("sync")
    assert (exists(one, "configmaps/a"), exists(one, "configmaps/b")) == (True, False)
    assert exists(two, "configmaps/settings")
    assert repository.tag() == repository.head
    until(lambda: f"{one}:deployment/web" in lesser.kubectl_flux("list-workloads", "-a").stdout, "the watch")


def test_a_role_alone_lets_collect_what_left_a_namespace_as_a_whole(lesser, repository, spaces, exists, let):
    one, two, _ = spaces
    let(one)
    let(two)
    repository.commit_files({space: config_map(space) for space in (one, two)})
    lesser.start(f"--git-url={repository.url}", *QUIET, *COLLECT)
    lesser.kubectl_flux("sync")
    repository.commit_files({two: None})
    lesser.kubectl_flux("sync")
    assert (exists(one, "configmaps/settings"), exists(two, "configmaps/settings")) == (True, False)


def test_a_state_that_may_not_be_kept_is_told_and_syncing_goes_on(lesser, repository, spaces, exists, let):
    one = spaces[0]
    let(one)
    repository.commit(one=config_map(one))
    lesser.start(f"--git-url={repository.url}", *QUIET, "--git-readonly")
    done = lesser.kubectl_flux("sync")
    assert exists(one, "configmaps/settings")
    warning = told_of(done.stderr, "Warning")
    assert "secrets" in warning and "forbidden" in warning


def test_rights_that_come_after_the_start_are_used_at_the_next_sync(lesser, repository, spaces, exists, let):
    one = spaces[0]
    repository.commit(one=config_map(one))
    lesser.start(f"--git-url={repository.url}", *QUIET)
    done = lesser.kubectl_flux("sync", check=False)
    assert done.returncode == 1
    assert "forbidden" in told_of(done.stderr, f"{one}:configmap/settings (one.yaml:1)")
    let(one)
    until(lambda: lesser.kubectl_flux("sync", check=False).returncode == 0, "the rights to be used")
    assert exists(one, "configmaps/settings")
