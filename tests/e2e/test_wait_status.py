"""`kubectl flux wait`, `status` and `list-workloads --watch` on a real cluster: rollouts, failures and timeouts."""

from __future__ import annotations

import json
import signal

import pytest
from agent_status import until
from config_repository import ConfigRepository, config_map, deployment
from quiet import USUAL

pytestmark = pytest.mark.controlplane


@pytest.fixture
def follow(plane, agent, tmp_path):
    """A function that starts `kubectl flux` in the background: the process, and a function that reads what it said."""
    started = []

    def start(*arguments):
        log = tmp_path / f"said-{len(started)}"
        process = plane.popen(["kubectl", "flux", *arguments], log=log, env=agent.plugin_environment(), name="a wait")
        started.append(process)
        return process, log.read_text

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(60)


def unschedulable(namespace, name="lost", seconds=1):
    """A Deployment whose pods fit on no node, and which the cluster gives up after `seconds`."""
    made = deployment(namespace, name)
    made["spec"]["progressDeadlineSeconds"] = seconds
    made["spec"]["template"]["spec"]["nodeSelector"] = {"nowhere.example.com/there": "yes"}
    return made


def words_of(stderr):
    """The first word behind the time of each line that has one."""
    return [line.split()[1] for line in stderr.splitlines() if line[2:3] == ":"]


def test_a_commit_is_waited_for_from_its_push_until_it_is_rolled_out(agent, repository, namespace, follow):
    commit = repository.replace({"web": deployment(namespace, replicas=2), "settings": config_map(namespace)})
    process, said = follow("wait", "--commit", commit, "-o", "json")
    until(lambda: "the agent has not seen it yet" in said(), "the wait to begin")
    agent.kubectl_flux("sync")
    assert process.wait(60) == 0
    lines = said().splitlines()
    assert lines[0] == f"Waiting for {commit[:7]} of master to be rolled out ..."
    words = words_of(said())
    assert [word for word in words if word in ("seen", "applied", "ready")] == ["seen", "applied", "ready"]
    assert words[0] == "unknown"
    told = json.loads(lines[-1])
    assert (told["revision"], told["stage"], told["workloads"], told["pending"]) == (commit, "ready", 1, [])


def test_an_older_commit_the_branch_and_an_abbreviated_id_count_too(agent, sync, repository, namespace):
    sync({"settings": config_map(namespace)})
    older = repository.head
    sync({"settings": config_map(namespace, a="1")})
    for ref in (older, repository.head[:8], "master"):
        done = agent.kubectl_flux("wait", "--commit", ref, "--for=synced")
        assert words_of(done.stderr) == ["seen", "applied"], ref


def test_without_a_commit_the_newest_is_waited_for(agent, sync, repository, namespace):
    sync({"web": deployment(namespace)})
    done = agent.kubectl_flux("wait")
    assert f"Waiting for {repository.head[:7]} of master to be rolled out" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("ready    1 workload rolled out")


def test_a_rollout_that_the_cluster_gives_up_fails_with_its_reason(agent, sync, repository, namespace):
    sync({"lost": unschedulable(namespace), "web": deployment(namespace)})
    done = agent.kubectl_flux("wait", check=False)
    assert done.returncode == 1
    assert f"{namespace}:deployment/lost: error, 1 of 1 updated, 0 available: " in done.stderr
    assert f"Error: the rollout of {namespace}:deployment/lost failed" in done.stderr
    synced = agent.kubectl_flux("wait", "--for=synced")
    assert words_of(synced.stderr) == ["seen", "applied"]


def test_ready_is_not_told_of_the_rollout_before(plane, agent, sync, namespace):
    """The state from before the commit, when all was well, must not count."""
    sync({"web": deployment(namespace)})
    agent.kubectl_flux("wait")
    sync({"web": unschedulable(namespace, "web", seconds=600)})
    done = agent.kubectl_flux("wait", "--timeout=10s", check=False)
    assert done.returncode == 1
    assert f"{namespace}:deployment/web: " in done.stderr
    assert "is not rolled out after 10 s" in done.stderr
    assert "ready" not in words_of(done.stderr)


def test_a_failed_object_fails_at_once_with_its_place_and_blame(agent, sync, repository, namespace, new_namespace):
    sync({"refused": config_map(namespace, "bad name!"), "good": config_map(namespace)}, fails=True)
    done = agent.kubectl_flux("wait", "--for=synced", check=False)
    assert done.returncode == 1
    assert f"{namespace}:configmap/bad name! (refused.yaml:1): " in done.stderr
    assert f"(commit {repository.head[:7]} by Ann <ann@example.com>)" in done.stderr
    assert f"Error: one file or object of {repository.head[:7]} failed" in done.stderr
    elsewhere = agent.kubectl_flux("wait", "--for=synced", "-n", new_namespace())
    assert words_of(elsewhere.stderr) == ["seen", "applied"]


def test_a_commit_that_never_comes_runs_out_of_time_and_says_so(agent):
    done = agent.kubectl_flux("wait", "--commit", "0123456789abcdef", "--timeout=10s", "-o", "json", check=False)
    assert done.returncode == 1
    assert "timeout: 0123456789abcdef is not rolled out after 10 s" in done.stderr
    assert "Was it pushed to the branch that the agent follows?" in done.stderr
    assert json.loads(done.stdout)["stage"] == "unknown"
    refused = agent.kubectl_flux("wait", "--commit=--all", check=False)
    assert (refused.returncode, "names no revision here" in refused.stderr) == (1, True)


def test_a_restart_of_the_agent_is_survived(agent, repository, namespace, follow):
    commit = repository.replace({"web": deployment(namespace)})
    process, said = follow("wait", "--commit", commit)
    until(lambda: "the agent has not seen it yet" in said(), "the wait to begin")
    agent.stop()
    agent.start(f"--git-url={repository.url}", *USUAL)
    assert process.wait(60) == 0
    assert words_of(said())[-1] == "ready"


def test_the_status_of_a_healthy_cluster(agent, sync, repository, namespace):
    sync({"web": deployment(namespace)})
    agent.kubectl_flux("wait")
    done = agent.kubectl_flux("status")
    assert done.stdout.splitlines()[0] == f"Healthy: the cluster is as {repository.head[:7]} of master says."
    assert repository.url in done.stdout
    told = json.loads(agent.kubectl_flux("status", "-o", "json").stdout)
    assert (told["healthy"], told["problems"], told["workloads"]["notReady"]) == (True, [], [])
    assert told["revisions"]["applied"] == told["revisions"]["marked"] == repository.head
    assert (told["automation"]["enabled"], told["automation"]["reason"]) == (True, "")


def test_the_status_says_what_is_wrong(agent, sync, repository, namespace):
    sync({"lost": unschedulable(namespace), "refused": config_map(namespace, "bad name!")}, fails=True)
    until(lambda: not json.loads(agent.kubectl_flux("status", "-o", "json", check=False).stdout)["healthy"], "trouble")
    done = agent.kubectl_flux("status", check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[:3] == ["Not healthy:", "- one file or object failed", "- 1 workload is not ready"]
    assert f"{namespace}:configmap/bad name! (refused.yaml:1): " in done.stdout
    assert f"{namespace}:deployment/lost: " in done.stdout
    assert done.stderr.splitlines() == ["Error: not healthy: one file or object failed, and 1 more"]


def test_the_status_without_an_agent_is_unreachable(plane, agent, tmp_path):
    environment = agent.plugin_environment() | {"FLUX_URL": "http://10.99.0.1:1"}
    done = plane.run(["kubectl", "flux", "status"], env=environment, check=False)
    assert (done.returncode, done.stdout) == (3, "")


def test_watching_prints_the_list_then_each_change_and_survives_a_restart(
    plane, agent, sync, repository, namespace, follow
):
    sync({"web": deployment(namespace)})
    agent.kubectl_flux("wait")
    process, said = follow("list-workloads", "-n", namespace, "--watch")
    until(lambda: f"{namespace}:deployment/web" in said(), "the list")
    assert [line.split()[0] for line in said().splitlines()] == ["WORKLOAD", f"{namespace}:deployment/web"]
    plane.kubectl("set", "image", "-n", namespace, "deploy/web", "web=acme/web:2.0.0")
    until(lambda: "acme/web:2.0.0" in said(), "the new image")
    agent.stop()
    plane.kubectl("create", "-n", namespace, "deployment", "new", "--image=web:1.19")
    agent.start(f"--git-url={repository.url}", *USUAL)
    until(lambda: f"{namespace}:deployment/new" in said(), "what came while the agent was away")
    plane.kubectl("delete", "-n", namespace, "deployment", "new")
    until(lambda: "deleted" in said(), "the deletion")
    places = {line.index("acme/web") for line in said().splitlines() if "acme/web" in line}
    assert len(places) == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


def test_watching_as_json_is_one_object_a_line(agent, sync, namespace, follow):
    sync({"web": deployment(namespace)})
    agent.kubectl_flux("wait")
    process, said = follow("list-workloads", "-n", namespace, "-w", "-o", "json")
    until(lambda: said().endswith("\n"), "the list")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert [json.loads(line)["ID"] for line in said().splitlines()] == [f"{namespace}:deployment/web"]


def test_the_versions_are_told(agent):
    done = agent.kubectl_flux("version")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == f"Agent: {done.stdout}"


def test_a_team_waits_for_its_own_namespace_and_sees_no_other(plane, start_agent, new_namespace, tmp_path):
    """What keeps another team's commit back is neither told nor waited for, and is in the way of nobody."""
    own, other = new_namespace("own"), new_namespace("other")
    repository = ConfigRepository(tmp_path)
    repository.commit(
        web=deployment(own), lost=unschedulable(other, seconds=600), refused=config_map(other, "bad name!")
    )
    agent = start_agent(f"--git-url={repository.url}", "--git-poll-interval=1h", "--sync-interval=1h")
    plane.kubectl("create", "serviceaccount", "team", "-n", agent.namespace)
    account = f"{agent.namespace}:team"
    plane.kubectl(
        "create", "rolebinding", "team", "-n", own, "--clusterrole=flux-viewer", f"--serviceaccount={account}"
    )
    everything = agent.kubectl_flux("wait", check=False)
    assert f"{other}:configmap/bad name!" in everything.stderr
    done = agent.kubectl_flux("wait", "--service-account=team", "-o", "json")
    told = json.loads(done.stdout)
    assert (told["stage"], told["workloads"], told["restricted"]) == ("ready", 1, True)
    assert other not in done.stdout + done.stderr
    assert "Note: what is in namespaces that you may not see is left out" in done.stderr
    page = agent.kubectl_flux("status", "--service-account=team", check=False)
    assert "1 of 1 in git are ready" in page.stdout
    assert other not in page.stdout + page.stderr
