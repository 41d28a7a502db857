"""Changes of git while others push, and across the agent's own end: nobody's commit is lost, and no job is."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import threading

import pytest
from agent_status import until
from config_repository import ConfigRepository, config_map
from controlplane.deployed import PROGRAMS
from controlplane.door import enter_command
from releasing import answer, app, commit_of, head, runs

from agent.releases.perform import ATTEMPTS

pytestmark = pytest.mark.controlplane

FLAGS = ("--auth=none", "--git-poll-interval=1h", "--sync-interval=1h", "--automation-interval=1h")
RACING = """\
#!/bin/sh
# Somebody else is a little faster, once: their commit arrives between our fetch and our push.
[ -e "{folder}/raced" ] && exit 0
touch "{folder}/raced"
unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
git update-ref refs/heads/master {commit}
"""


@pytest.fixture
def repository(tmp_path):
    return ConfigRepository(tmp_path)


@pytest.fixture
def flags(repository, registry):
    return (f"--git-url={repository.url}", *FLAGS, f"--registry-insecure-host={registry.host}")


@pytest.fixture
def shop(repository, images, namespace):
    images.push("shop", "1.0.0", "1.1.0")
    repository.commit(shop=app(namespace, "shop", web=images.image("shop", "1.0.0")))
    return f"{namespace}:deployment/shop"


@pytest.fixture
def agent(start_agent, flags, shop):
    agent = start_agent(*flags)
    agent.kubectl_flux("sync")
    yield agent
    agent.stop()


def test_somebody_who_is_faster_is_not_overwritten(agent, shop, images, namespace, repository, tmp_path):
    """Deterministic: the other commit takes the branch while our push is at the server's door."""
    base = head(repository)
    repository.pull()
    theirs = repository.commit(other=config_map(namespace, "other", a="1"))
    repository.git("update-ref", "refs/heads/master", base, cwd=repository.bare)
    hook = repository.bare / "hooks" / "pre-receive"
    hook.write_text(RACING.format(folder=tmp_path, commit=theirs))
    hook.chmod(0o755)
    done = agent.kubectl_flux("release", f"--workload={shop}", "--update-all-images")
    assert (tmp_path / "raced").exists()
    assert f"Commit pushed:\t{head(repository)[:7]}" in done.stderr
    assert commit_of(repository, f"{head(repository)}^").sha == theirs
    assert runs(agent, namespace, "shop") == [images.image("shop", "1.1.0")]
    assert agent.plane.api("GET", f"/api/v1/namespaces/{namespace}/configmaps/other")["data"] == {"a": "1"}


def test_a_crowd_that_pushes_loses_nothing_either(agent, shop, repository, namespace):
    """Others push while the agent locks and unlocks, less often than it tries each: every commit is there."""
    repository.pull()
    over, made, turns = threading.Event(), [], threading.Semaphore(1)

    def push_on():
        for number in itertools.count():
            turns.acquire()
            if over.is_set():
                return
            name = f"n{number}"
            (repository.tree / f"{name}.yaml").write_text(f"# {name}\n")
            repository.git("add", "-A")
            repository.git("commit", "-q", "-m", name)
            until(lambda: pushes(repository), "their own push")
            made.append(name)

    crowd = threading.Thread(target=push_on)
    crowd.start()
    try:
        until(lambda: made, "the crowd to push")
        for command in ("lock", "unlock") * 2:
            while turns.acquire(blocking=False):  # those that are left of the last command's
                pass
            turns.release(ATTEMPTS - 2)  # one more push may be under way
            agent.kubectl_flux(command, f"--workload={shop}")
    finally:
        over.set()
        turns.release()
        crowd.join()
    commits = repository.git("log", "--format=%an: %s", "master", cwd=repository.bare).splitlines()
    assert [name for name in reversed(commits) if name.startswith("Ann: n")] == [f"Ann: {name}" for name in made]
    assert len([name for name in commits if name.startswith("Weave Flux: ")]) == 4


def pushes(repository):
    """Whether a person's push is taken, on top of what others have pushed."""
    repository.git("pull", "-q", "--rebase", "origin", "master")
    try:
        repository.git("push", "-q", "origin", "HEAD:master")
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("emptied", [False, True])
def test_a_job_is_found_again_after_a_crash(agent, flags, shop, repository, images, emptied):
    asked = json.dumps({"workloads": [shop], "image": images.image("shop", "1.1.0")})
    job = json.loads(agent.plane.raw(agent.proxy_path("flux.v1.Flux/Release"), method="POST", body=asked))["jobId"]
    done = until(lambda: commit_when_done(agent, job), "the job's end")
    agent.kill()
    if emptied:
        shutil.rmtree(agent.folder / "cache")
    agent.start(*flags)
    assert until(lambda: commit_when_done(agent, job), "the job by its note") == done == head(repository)
    told = answer(agent, "GetJob", jobId=job)["job"]["change"]["outcomes"]
    assert [(each["workload"], each["status"]) for each in told] == [(shop, "success")]


def commit_when_done(agent, job):
    """The commit of a job that has succeeded; empty for one that has not, or that is not known."""
    told = answer(agent, "GetJob", jobId=job).get("job", {})
    return told.get("change", {}).get("commit", "") if told.get("state") == "JOB_STATE_SUCCEEDED" else ""


def test_the_plugin_sees_a_release_through_a_crash_right_after_the_push(agent, flags, shop, repository, images):
    """The agent dies in the moment in which the server has taken its commit, before any note was left."""
    hook = repository.bare / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\nrm '{hook}'\nkill -KILL {agent.process.pid}\n")
    hook.chmod(0o755)
    before = head(repository)
    command = [PROGRAMS / "kubectl-flux", "release", f"--workload={shop}", "--update-all-images"]
    plugin = subprocess.Popen(
        [*enter_command(agent.plane.door.pid), *command],
        env={**agent.plane.environment, **agent.plugin_environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    agent.process.wait(60)
    assert head(repository) != before
    agent.start(*flags)
    out, err = plugin.communicate(timeout=60)
    assert plugin.returncode == 0, err
    assert f"{shop}  success" in out
    assert f"Commit applied:\t{head(repository)[:7]}" in err
    assert runs(agent, shop.partition(":")[0], "shop") == [images.image("shop", "1.1.0")]
