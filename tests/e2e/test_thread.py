"""One thread through everything: git to a real cluster, seen by `kubectl flux` through the API server."""

from __future__ import annotations

import json
import re

import pytest
from agent_status import log_lines, until
from config_repository import ConfigRepository, config_map, deployment

pytestmark = pytest.mark.controlplane


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return ConfigRepository(tmp_path_factory.mktemp("git"))


@pytest.fixture(scope="module")
def space(new_namespace):
    return new_namespace("shop")


@pytest.fixture(scope="module")
def agent(start_agent, repository, space):
    repository.commit(
        "first", web=deployment(space, annotations={"fluxcd.io/automated": "true"}), settings=config_map(space, a="1")
    )
    return start_agent(f"--git-url={repository.url}", "--auth=none", "--git-poll-interval=1h", "--sync-interval=1h")


def get(plane, space, what, path="{}"):
    text = plane.kubectl("get", "-n", space, what, "-o", f"jsonpath={path}")
    return json.loads(text) if path == "{}" else text


def test_what_git_holds_comes_into_the_cluster_and_the_tag_follows(plane, agent, repository, space):
    done = agent.kubectl_flux("sync")
    head = repository.git("rev-parse", "HEAD")
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"Synchronizing with {repository.url}",
        f"Revision of master to apply is {head[:7]}",
        f"Waiting for {head[:7]} to be applied ...",
        "Done.",
    ]
    assert get(plane, space, "cm/settings", "{.data.a}") == "1"
    assert repository.tag() == head


def test_a_change_in_git_arrives(plane, agent, repository, space):
    repository.commit("more", settings=config_map(space, a="2", b="3"))
    agent.kubectl_flux("sync")
    assert get(plane, space, "cm/settings")["data"] == {"a": "2", "b": "3"}
    repository.commit("less", settings=config_map(space, a="2"))
    agent.kubectl_flux("sync")
    assert get(plane, space, "cm/settings")["data"] == {"a": "2"}


def test_what_somebody_changed_by_hand_is_put_back_and_what_git_does_not_name_is_left(plane, agent, space):
    plane.kubectl("patch", "-n", space, "cm", "settings", "--type=merge", "-p", '{"data": {"a": "9", "own": "x"}}')
    agent.kubectl_flux("sync")
    assert get(plane, space, "cm/settings")["data"] == {"a": "2", "own": "x"}


def test_an_unchanged_repository_is_not_written_again(plane, agent, space):
    plane.kubectl("rollout", "status", "-n", space, "deploy/web", "--timeout=60s")

    def written():
        """The objects but for what controllers write."""
        web = get(plane, space, "deploy/web")
        del web["status"], web["metadata"]["resourceVersion"], web["metadata"]["managedFields"]
        return web, get(plane, space, "cm/settings")

    before, log = written(), len(log_lines(agent, "msg=synced"))
    agent.kubectl_flux("sync")
    assert written() == before
    assert [" applied=0 " in line for line in log_lines(agent, "msg=synced")[log:]] == [True]


def test_the_workloads_are_listed_with_release_and_policy(plane, agent, space):
    agent.kubectl_flux("sync")
    plane.kubectl("create", "-n", space, "deployment", "byhand", "--image=nginx:1.19")

    def table():
        lines = [line.split() for line in agent.kubectl_flux("list-workloads", "-n", space).stdout.splitlines()]
        return [line[3:4] for line in lines[1:]] == [["ready"]] * 2 and lines

    assert until(table, "both to be ready") == [
        ["WORKLOAD", "CONTAINER", "IMAGE", "RELEASE", "POLICY"],
        [f"{space}:deployment/byhand", "nginx", "nginx:1.19", "ready"],
        [f"{space}:deployment/web", "web", "acme/web:1.0.0", "ready", "automated"],
    ]
    rows = {
        row["ID"]: row for row in json.loads(agent.kubectl_flux("list-workloads", "-n", space, "-o", "json").stdout)
    }
    assert rows[f"{space}:deployment/byhand"]["ReadOnly"] == "NotInRepo"
    assert rows[f"{space}:deployment/web"]["Policies"] == {"automated": "true"}


def test_a_broken_file_and_a_refused_object_fail_alone_with_their_blame(plane, agent, repository, space):
    held = repository.tag()
    bad = config_map(space, "bad name!")
    commit = repository.commit("break it", broken="a: b: c\n", refused=bad, settings=config_map(space, a="3"))
    done = agent.kubectl_flux("sync", check=False)
    assert done.returncode == 1
    assert get(plane, space, "cm/settings", "{.data.a}") == "3"
    assert repository.tag() == held
    assert re.search(r"broken\.yaml:1\b.*mapping values are not allowed", done.stderr)
    assert "refused.yaml:1" in done.stderr
    assert "Ann <ann@example.com>" in done.stderr
    assert commit[:7] in done.stderr
    repository.commit("mend it", broken=None, refused=None)
    agent.kubectl_flux("sync")
    assert repository.tag() == repository.git("rev-parse", "HEAD")


def test_the_status_can_be_read_without_the_plugin(plane, agent, repository):
    path = agent.proxy_path("flux.v1.Flux/GetStatus?connect=v1&encoding=json&message=%7B%7D")
    status = json.loads(plane.raw(path))
    head = repository.git("rev-parse", "HEAD")
    assert status["revisionSeen"] == status["revisionApplied"] == status["revisionMarked"] == head
    assert status["repository"]["ready"] is True


def test_metrics_have_flux_v1s_names(agent):
    body = agent.http("/metrics")[1].decode()
    assert 'flux_daemon_sync_duration_seconds_count{success="true"}' in body
    assert 'flux_daemon_sync_manifests{success="false"} 0.0' in body
    assert "flux_git_ready 1.0" in body


def test_the_agent_polls_by_itself_logs_json_and_ends_in_order(plane, start_agent, new_namespace, tmp_path):
    space, repository = new_namespace("polled"), ConfigRepository(tmp_path)
    repository.commit(web=config_map(space, a="1"))
    agent = start_agent(f"--git-url={repository.url}", "--auth=none", "--git-poll-interval=200ms", "--log-format=json")
    plane.kubectl("wait", "-n", space, "--for=create", "cm/settings", "--timeout=60s")
    repository.commit(web=config_map(space, a="2"))
    plane.kubectl("wait", "-n", space, "--for=jsonpath={.data.a}=2", "cm/settings", "--timeout=60s")
    agent.stop()
    lines = [json.loads(line) for line in agent.log.read_text().splitlines()]
    assert {"synced", "the sync marker moved"} <= {line["msg"] for line in lines}


def test_without_a_repository_the_lists_work_and_sync_says_what_is_missing(agent, start_agent):
    bare = start_agent("--auth=none")
    assert "kube-system" not in bare.kubectl_flux("list-workloads", "-a", "--no-headers").stdout
    done = bare.kubectl_flux("sync", check=False)
    assert (done.returncode, "no git repository is configured" in done.stderr) == (1, True)
