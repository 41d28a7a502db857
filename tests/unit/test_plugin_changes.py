"""`release` and the changes of policies: what is asked for, what became of it, and what is waited for."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from plugin_change_standins import COMMIT, FAILED, SHOP, agent_of, at, done, idle, outcome, updated
from plugin_standins import ConnectError, serving, workload

from kubectl_flux import follow, wait
from kubectl_flux.commands.flags import Cause
from kubectl_flux.gituser import configured_user
from kubectl_flux.main import main
from kubectl_flux.outcomes import tag_of
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

GOLDEN = Path(__file__).parent / "plugin_golden" / "v1-changes.txt"
RUNNING = pb.JOB_STATE_RUNNING
SEEN, APPLIED = pb.REVISION_STAGE_SEEN, pb.REVISION_STAGE_APPLIED
NO_JOB = ConnectError("not_found", "there is no job 'j1' (ask again)", 404)
RELEASE = ("release", f"--workload={SHOP}", "--update-all-images", "--user=")


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No kubeconfig and no git configuration of the person who runs the tests, and no pauses."""
    (tmp_path / "config").write_text("{current-context: c, contexts: [{name: c, context: {namespace: team}}]}")
    (tmp_path / "gitconfig").write_text("[user]\n\tname = Ann\n\temail = ann@example.com\n")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wait, "RETRY_AFTER", 0.0)
    monkeypatch.setattr(wait, "UNCHANGED_PAUSE", 0.0)


@pytest.fixture
def run(capsys):
    """A function that runs a command line against an agent: exit code, stdout, stderr in lines."""

    def start(agent, *argv):
        with serving(agent) as url:
            code = main([*argv, "--url", url])
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return start


def asked(agent, method):
    (message,) = [call.message for call in agent.calls if call.method == method]
    assert next(call.verb for call in agent.calls if call.method == method) == "POST"
    return message


# -- what was recorded ------------------------------------------------------------------------------------------------


def recordings():
    for block in re.split(r"^\$ fluxctl ", GOLDEN.read_text(), flags=re.MULTILINE)[1:]:
        command, _, rest = block.partition("\n")
        out, err = re.fullmatch(r"(.*)\[stderr\]\n(.*)\[exit 0\]\n\n?", rest, re.DOTALL).groups()
        yield pytest.param(shlex.split(command), out, err, id=command)


def recorded_job(out, err, argv):
    """The job behind a recorded table, and besides what the command's verbosity hides."""
    outcomes = []
    for line in out.splitlines()[1:]:
        name, status, text = re.fullmatch(r"(\S*) +(success|skipped|ignored|)(?: {2,}(.*))?", line).groups()
        if name:
            outcomes.append(pb.WorkloadOutcome(workload=name, status=status))
        update = re.fullmatch(r"(\S+): (\S+) -> (\S+)", text or "")
        if update:
            container, current, tag = update.groups()
            image = current.rpartition(":")[0] if ":" in current.rpartition("/")[2] else current
            outcomes[-1].containers.add(container=container, current=current, target=f"{image}:{tag}")
        else:
            outcomes[-1].reason = text or ""
    verbosity = sum(word in ("-v", "-vv") and len(word) - 1 for word in argv)
    hidden = [outcome("zoo:deployment/a", "skipped", "locked"), outcome("zoo:deployment/b", "ignored", "not included")]
    pushed = re.search(r"Commit pushed:\t(\w+)", err)
    commit = pushed[1] + "0" * 33 if pushed else ""
    return done(*outcomes, *hidden[verbosity:], commit=commit, dry_run="--dry-run" in argv)


@pytest.mark.parametrize(("argv", "out", "err"), list(recordings()))
def test_what_flux_v1_printed_is_printed(argv, out, err, run):
    job = recorded_job(out, err, argv)
    agent = agent_of(pb.Job(id="j1", version=1, state=RUNNING), job)
    assert run(agent, *argv) == (0, out, err.splitlines())
    waited = {call.message.ref for call in agent.calls if call.method == "GetRevision"}
    assert waited == ({job.change.commit} if argv[0] == "release" and job.change.commit else set())


# -- what is asked for ------------------------------------------------------------------------------------------------


def policy_change(workload_, *, set=None, remove=(), **more):  # noqa: A002 - the field's name
    return pb.PolicyChange(workload=workload_, set=set or {}, remove=remove, **more)


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("automate -w a/b", policy_change("team:a/b", set={"automated": "true"})),
        ("automate -w a/b --accept", policy_change("team:a/b", set={"automated": "true"}, accept=True)),
        ("deautomate -n demo -w a/b", policy_change("demo:a/b", remove=["automated"])),
        ("lock -w a/b --user=", policy_change("team:a/b", set={"locked": "true"})),
        ("lock -w a/b --user= -m why", policy_change("team:a/b", set={"locked": "true", "locked_msg": "why"})),
        (
            "lock -w a/b --user=Bob",
            policy_change("team:a/b", set={"locked": "true", "locked_user": "Bob", "locked_msg": ""}),
        ),
        ("unlock -w a/b", policy_change("team:a/b", remove=["locked", "locked_user", "locked_msg"])),
        (
            "policy -w a/b --automate --tag-all=1.* --tag=x=*,y=semver:~1",
            policy_change("team:a/b", set={"automated": "true", "tag.y": "semver:~1"}, remove=["tag.x"], tag_all="1.*"),
        ),
    ],
)
def test_changes_of_policies_as_the_agent_reads_them(line, change, run):
    agent = agent_of(done(outcome("team:a/b")))
    assert run(agent, *line.split())[0] == 0
    assert list(asked(agent, "UpdatePolicies").changes) == [change]


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("--workload=a/b,x:c/d -i i:1 -n demo --force", {"workloads": ["demo:a/b", "x:c/d"], "image": "i:1"}),
        ("--all --update-all-images --exclude=a/b", {"all": True, "excludes": ["team:a/b"]}),
        ("--all -n demo -i i:1 --force --dry-run", {"all": True, "namespace": "demo", "image": "i:1", "dry_run": True}),
    ],
)
def test_a_release_as_the_agent_reads_it(line, request_, run):
    agent = agent_of(done(updated(), dry_run="--dry-run" in line))
    run(agent, "release", *line.split(), "-m", "why", "--user=Bob")
    cause = pb.Cause(user="Bob", message="why")
    assert asked(agent, "Release") == pb.ReleaseRequest(**request_, force="--force" in line, cause=cause)


def test_without_a_user_git_says_who_asks(run, tmp_path, monkeypatch):
    agent = agent_of(idle(outcome(status="skipped", reason="no changes")))
    run(agent, "lock", "-w", SHOP)
    request = asked(agent, "UpdatePolicies")
    assert request.cause.user == request.changes[0].set["locked_user"] == "Ann <ann@example.com>"
    (tmp_path / "gitconfig").write_text("[user]\n\temail = ann@example.com\n")
    assert Cause("why").named() == Cause("why", "ann@example.com")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert configured_user() == ""


# -- what became of it ------------------------------------------------------------------------------------------------


def test_a_release_that_changes_nothing_says_why(run):
    job = idle(
        outcome("demo:deployment/held", "skipped", "locked", details=["locked by Ann: do not touch"]),
        outcome("demo:deployment/other", "ignored", "not included"),
        outcome(SHOP, "ignored", "a different image"),
    )
    argv = ("release", "--workload=demo:deployment/held,demo:deployment/shop", "-i", "i:1", "--user=")
    code, out, err = run(agent_of(job), *argv)
    assert (code, out.splitlines()) == (
        1,
        [
            "WORKLOAD              STATUS   UPDATES",
            "demo:deployment/held  skipped  locked",
            "demo:deployment/shop  ignored  a different image",
        ],
    )
    assert err == [
        "Submitting release ...",
        "demo:deployment/held: locked by Ann: do not touch",
        "Error: no changes made in repo",
        "The table tells why, and -vv what was left out.",
    ]
    job.change.dry_run = True
    code, dry, err = run(agent_of(job), *argv, "--dry-run")
    assert (code, dry, "Error" in "".join(err)) == (0, out, False)


def test_policies_that_are_so_already_are_no_failure(run):
    job = idle(outcome(SHOP, "skipped", "no changes"))
    code, out, err = run(agent_of(job), "automate", "-w", SHOP)
    assert (code, out) == (0, "WORKLOAD   STATUS   UPDATES\n")
    assert err == ["Nothing to do: git has it so already; -v shows each workload"]
    code, out, _ = run(agent_of(job), "automate", "-w", SHOP, "-v")
    assert (code, out.splitlines()[1]) == (0, f"{SHOP}  skipped  no changes")


def test_a_workload_that_fails_fails_the_command(run):
    job = idle(outcome("demo:deployment/nope", "failed", "not found in repository"))
    code, out, err = run(agent_of(job), "automate", "-w", "demo:deployment/nope")
    assert (code, out.splitlines()[1:]) == (1, ["demo:deployment/nope  failed   not found in repository"])
    assert err == ["Error: one workload could not be changed; nothing was changed", "The table tells why."]
    code, _, err = run(agent_of(done(updated(), outcome("x:a/b", "failed", "odd"))), *RELEASE)
    assert (code, err[-3:-1]) == (1, ["Commit applied:\tcf9e439", "Error: one workload could not be changed"])


def test_a_job_that_fails_is_told_in_the_agents_words(run):
    error = 'image "a/b:nope" does not exist: invalid image ID'
    failed = idle(state=FAILED, error=error, hint="a/b has no such image")
    assert run(agent_of(failed), *RELEASE) == (
        1,
        "",
        ["Submitting release ...", f"Error: {error}", "a/b has no such image"],
    )
    never_pushed = idle(updated(), state=FAILED, error="the push was refused")
    assert run(agent_of(never_pushed), *RELEASE)[:2] == (1, "")


def test_notices_and_with_v_what_the_reasons_leave_out_go_to_stderr(run):
    job = done(updated(), notices=["the note could not\nbe sent"])
    job.change.outcomes[0].details.append("side: no tag fits semver:~1")
    quiet, verbose = run(agent_of(job), *RELEASE), run(agent_of(job), *RELEASE, "-v")
    assert quiet[1] == verbose[1]
    assert quiet[2][1:3] == ["Note: the note could not be sent", "Commit pushed:\tcf9e439"]
    assert verbose[2][2] == f"{SHOP}: side: no tag fits semver:~1"


def test_json_has_everything_at_the_end(run):
    job = done(updated(), outcome("x:a/b", "ignored", "not included"))
    code, out, err = run(agent_of(job), *RELEASE, "-o", "json")
    told = json.loads(out)
    assert (code, err[1:]) == (0, ["Commit pushed:\tcf9e439", "Commit applied:\tcf9e439"])
    change = {"container": "web", "current": "a.example/shop:1.0.3", "target": "a.example/shop:1.2.4"}
    assert told["workloads"] == [
        {"workload": SHOP, "status": "success", "reason": "", "containers": [change], "details": []},
        {"workload": "x:a/b", "status": "ignored", "reason": "not included", "containers": [], "details": []},
    ]
    rest = {key: told[key] for key in told if key != "workloads"}
    assert rest == {
        "job": "j1",
        "dryRun": False,
        "commit": COMMIT,
        "applied": True,
        "ready": False,
        "failures": [],
        "notices": [],
        "error": "",
    }


@pytest.mark.parametrize(
    ("reference", "tag"),
    [
        ("a:5000/b/c:1.0", "1.0"),
        ("a:5000/b/c", "a:5000/b/c"),
        ("c:1@sha256:00", "1@sha256:00"),
        ("a:5000/c@sha256:00", "sha256:00"),
    ],
)
def test_an_update_names_what_comes_after_the_name(reference, tag):
    assert tag_of(reference) == tag


# -- what is waited for -----------------------------------------------------------------------------------------------


def failure(identity=SHOP):
    return pb.Failure(object=identity, path="shop.yaml", line=7, reason="refused", commit=COMMIT, author="Ann")


def test_what_fails_of_the_commit_is_told_with_its_place_and_fails_the_release(run):
    code, _, err = run(agent_of(done(updated()), progress=[at(SEEN), at(APPLIED, failures=[failure()])]), *RELEASE)
    assert (code, err[1:]) == (
        1,
        [
            "Commit pushed:\tcf9e439",
            f"{SHOP} (shop.yaml:7): refused (commit cf9e439 by Ann)",
            "Error: one file or object of cf9e439 failed",
            "Mend what is named above in git.",
        ],
    )
    others = agent_of(done(updated()), progress=[at(APPLIED, failures=[failure("x:configmap/y")])])
    assert run(others, *RELEASE)[2][-1] == "What was changed here is applied; mend what is named above in git."


def test_a_timeout_tells_how_to_go_on_looking(run):
    code, _, err = run(agent_of(pb.Job(id="j1", version=1, state=RUNNING)), *RELEASE, "--timeout=1s")
    assert (code, err[-2]) == (1, "Error: timeout: not done after 1 s")
    assert "kubectl flux status" in err[-1]
    stuck = agent_of(done(updated()), progress=[at(SEEN, error="no cluster")])
    code, out, err = run(stuck, *RELEASE, "--timeout=1s", "-o", "json")
    assert (code, err[-2]) == (1, "Error: timeout: cf9e439 is not applied after 1 s: no cluster")
    assert err[-1].endswith("kubectl flux wait --for=synced --commit cf9e439")
    assert (json.loads(out)["commit"], json.loads(out)["applied"]) == (COMMIT, False)


def test_an_agent_that_is_restarted_meanwhile_finds_the_job_again(run):
    away = ConnectError("unavailable", "restarting", 503)
    found_again = done(updated())
    found_again.version = 1
    running = pb.Job(id="j1", version=2, state=RUNNING)
    code, out, err = run(agent_of(running, away, NO_JOB, NO_JOB, found_again), *RELEASE)
    assert (code, out.splitlines()[1]) == (0, f"{SHOP}  success  web: a.example/shop:1.0.3 -> 1.2.4")
    assert err[1:] == [
        "The agent was restarted and does not know the job yet; waiting until it has read git ...",
        "Commit pushed:\tcf9e439",
        "Commit applied:\tcf9e439",
    ]


def test_a_job_that_nobody_finds_again_is_told_when_the_time_is_over(run):
    code, _, err = run(agent_of(NO_JOB), *RELEASE, "--timeout=1s")
    assert code == 1
    assert err[-2].startswith("Error: the agent does not know the job any more: there is no job 'j1', and its branch")
    assert "try again" in err[-1]


def shop(image, status, updated_, outdated=0):
    rollout = pb.Rollout(desired=2, updated=updated_, ready=2, available=2, outdated=outdated)
    return workload(SHOP, f"web={image}", "init:i=tool:1", status=status, rollout=rollout)


def pending(status="updating", **rollout):
    return pb.PendingRollout(workload=SHOP, status=status, rollout=pb.Rollout(**rollout))


def test_a_watched_release_tells_each_change_until_all_is_rolled_out(run):
    other = pb.PendingRollout(workload="x:deployment/slow", status="updating")
    agent = agent_of(
        done(updated()),
        progress=[
            at(APPLIED, error="the lists are behind"),
            at(APPLIED, pending=[pending()]),
            at(APPLIED, pending=[pending()]),
            at(APPLIED, pending=[other]),
        ],
        lists=[
            [shop("shop:1.2.4", "updating", 0, 2), workload("demo:deployment/x", "x=x:1")],
            ConnectError("unavailable", "restarting", 503),
            [shop("shop:1.2.4", "ready", 2)],
        ],
    )
    code, out, err = run(agent, *RELEASE, "--watch", "-v")
    assert (code, out.splitlines()[2:]) == (
        0,
        [
            "WORKLOAD              CONTAINER  IMAGE       RELEASE   REPLICAS",
            f"{SHOP}  web        shop:1.2.4  updating  0/2 (2 outdated, 2 ready)",
            "                      i          tool:1                ",
            f"{SHOP}  web        shop:1.2.4  ready     2/2 (0 outdated, 2 ready)",
            "                      i          tool:1                ",
        ],
    )
    assert err[-2:] == ["Monitoring rollout ...", "All workloads ready."]
    assert {call.message.namespace for call in agent.calls if call.method == "ListWorkloads"} == {"demo"}


def test_a_rollout_that_the_cluster_gives_up_fails_the_release(run, monkeypatch):
    monkeypatch.setattr(follow, "GRACE", 0.0)
    agent = agent_of(
        done(updated()),
        progress=[at(APPLIED), at(APPLIED, pending=[pending("error", desired=2, updated=1)])],
        lists=[[shop("shop:1.2.4", "error", 1)]],
    )
    code, _, err = run(agent, *RELEASE, "--watch")
    assert (code, err[-2]) == (1, f"Error: the rollout of {SHOP} failed")
    assert err[-3] == f"{SHOP}: error, 1 of 2 updated, 0 available"
