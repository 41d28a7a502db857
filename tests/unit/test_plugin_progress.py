"""`wait`: how far a commit has come is judged by its goal, and told line by line."""

from __future__ import annotations

import io
import json

import pytest
from plugin_standins import ConnectError, ScriptedAgent, serving

from kubectl_flux import follow, wait
from kubectl_flux.errors import BusyError, TimedOutError, UnreachableError
from kubectl_flux.follow import Teller
from kubectl_flux.main import main
from kubectl_flux.progress import Entry, Goal, entries, failures_of, is_reached, pending_line, stuck
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.wait import Deadline, answers

COMMIT = "3f9a0c51b2d7" + "0" * 28
UNKNOWN, SEEN = pb.REVISION_STAGE_UNKNOWN, pb.REVISION_STAGE_SEEN
APPLIED, READY = pb.REVISION_STAGE_APPLIED, pb.REVISION_STAGE_READY


def at(stage, **fields):
    return pb.RevisionProgress(ref=COMMIT, revision="" if stage == UNKNOWN else COMMIT, stage=stage, **fields)


def pending(identity, status="updating", **rollout):
    return pb.PendingRollout(workload=identity, status=status, rollout=pb.Rollout(**rollout))


WEB = pending("shop:deployment/web", desired=3, updated=2, available=1)
API = pending("team:deployment/api", "error", desired=1, updated=1, messages=["no room\nhere"])
REFUSED = pb.Failure(object="team:configmap/a", path="a.yaml", line=3, reason="refused", commit=COMMIT, author="Ann")


@pytest.mark.parametrize(
    ("progress", "goal", "reached"),
    [
        (at(SEEN), Goal(), False),
        (at(SEEN), Goal(synced=True), False),
        (at(READY), Goal(), True),
        (at(APPLIED, pending=[WEB]), Goal(), False),
        (at(APPLIED, pending=[WEB]), Goal(synced=True), True),
        (at(APPLIED, pending=[WEB]), Goal(namespace="team"), True),
        (at(APPLIED, failures=[REFUSED]), Goal(synced=True), False),
        (at(APPLIED, failures=[REFUSED]), Goal(namespace="shop"), True),
        (at(APPLIED, failures=[pb.Failure(path="a.yaml")]), Goal(namespace="shop"), False),
        (at(APPLIED, error="the lists are behind"), Goal(namespace="shop"), False),
        (at(APPLIED, error="the lists are behind"), Goal(synced=True), True),
    ],
)
def test_a_goal_is_reached_when_all_that_counts_for_it_is_well(progress, goal, reached):
    assert is_reached(progress, goal) is reached


def test_failures_count_once_everything_was_attempted():
    assert failures_of(at(SEEN, failures=[REFUSED]), Goal()) == []
    assert [item.workload for item in stuck(at(APPLIED, pending=[WEB, API]), Goal())] == ["team:deployment/api"]
    assert stuck(at(APPLIED, pending=[WEB, API]), Goal(synced=True)) == []


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (at(UNKNOWN), [("unknown", "3f9a0c5: the agent has not seen it yet")]),
        (at(UNKNOWN, error="key\nrefused"), [("unknown", "3f9a0c5: key refused")]),
        (at(SEEN, error="no cluster"), [("seen", "3f9a0c5"), ("waiting", "no cluster")]),
        (
            at(APPLIED, pending=[WEB, API], workloads=4),
            [
                ("seen", "3f9a0c5"),
                ("applied", "3f9a0c5"),
                ("waiting", "2 of 4 rolled out; shop:deployment/web updating 1/3, team:deployment/api error 0/1"),
            ],
        ),
        (at(READY, workloads=1), [("seen", "3f9a0c5"), ("applied", "3f9a0c5"), ("ready", "1 workload rolled out")]),
    ],
)
def test_milestones_are_told_in_order_and_then_what_is_waited_for(progress, told):
    assert [(entry.word, entry.text) for entry in entries(progress, Goal())] == told


def test_many_workloads_are_counted():
    many = [pending(f"shop:deployment/{name}", "missing") for name in "abcde"]
    assert [entry.text for entry in entries(at(APPLIED, pending=many, workloads=5), Goal())][-1] == (
        "0 of 5 rolled out; shop:deployment/a missing, shop:deployment/b missing, shop:deployment/c missing, 2 more"
    )


def test_a_pending_workload_says_why():
    assert pending_line(API) == "team:deployment/api: error, 1 of 1 updated, 0 available: no room here"
    behind = pending("team:deployment/api", desired=1, updated=1, available=1, outdated=1)
    assert pending_line(behind) == "team:deployment/api: updating, 1 of 1 updated, 1 available, 1 outdated"
    assert pending_line(pending("team:deployment/api", "missing")) == "team:deployment/api: missing"


def test_a_pipe_gets_a_line_for_each_change_and_a_terminal_redraws_one():
    story = [Entry("seen", "x"), Entry("waiting", "a" * 40, stays=False)]
    again = [Entry("seen", "x"), Entry("waiting", "b", stays=False)]
    pipe, terminal = io.StringIO(), io.StringIO()
    for stream, columns in ((pipe, 0), (terminal, 30)):
        teller = Teller(columns, stream, lambda: "10:00:00")
        for shown in (story, story, again):
            teller.show(shown)
        teller.clear()
    lines = ["10:00:00  seen     x", f"10:00:00  waiting  {'a' * 40}", "10:00:00  waiting  b"]
    assert pipe.getvalue().splitlines() == lines
    drawn = [f"{lines[0]}\n", "\r\x1b[K" + lines[1][:29], "\r\x1b[K" + lines[2], "\r\x1b[K"]
    assert terminal.getvalue() == "".join(drawn)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def ask_from(script, asked):
    """Answers one entry of a script for each question, the last again and again."""

    def ask(version, seconds):
        asked.append((version, seconds))
        entry = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(entry, Exception):
            raise entry
        return pb.RevisionProgress(version=entry)

    return ask


def test_an_agent_without_room_is_asked_again_without_waiting():
    clock, asked = Clock(), []
    found = answers(ask_from([5, BusyError("full"), 6], asked), Deadline(60, clock), sleep=clock.sleep)
    assert [next(found).version, next(found).version] == [5, 6]
    assert [version for version, _ in asked] == [0, 5, 0]


def test_an_agent_that_comes_back_is_asked_for_everything_and_one_that_never_answered_is_not_waited_for():
    clock, asked = Clock(), []
    found = answers(ask_from([5, UnreachableError("gone"), 2], asked), Deadline(60, clock), sleep=clock.sleep)
    assert [next(found).version, next(found).version] == [5, 2]
    assert [version for version, _ in asked] == [0, 5, 0]
    with pytest.raises(UnreachableError):
        next(answers(ask_from([UnreachableError("no")], asked), Deadline(60, clock), sleep=clock.sleep))


def test_time_that_runs_out_is_told_unless_the_agent_is_away():
    clock = Clock()
    busy = answers(ask_from([BusyError("full")], []), Deadline(3, clock), sleep=clock.sleep)
    with pytest.raises(TimedOutError):
        next(busy)


def serve(*script, repository="ssh://git@h/a"):
    """An agent that knows a repository and answers this for the revision, the last again and again."""
    rest = list(script)

    def revision(_request):
        found = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(found, Exception):
            raise found
        found.version = 100 - len(rest)
        return pb.GetRevisionResponse(progress=found)

    named = pb.GetRepositoryResponse(repository=pb.Repository(url=repository, branch="master"))
    return ScriptedAgent({"GetRepository": named, "GetRevision": revision})


@pytest.fixture
def run(capsys, monkeypatch):
    """A function that waits with these flags: exit code, stdout, stderr without times."""
    monkeypatch.setattr(wait, "RETRY_AFTER", 0.0)
    monkeypatch.setattr(wait, "UNCHANGED_PAUSE", 0.0)

    def start(agent, *flags):
        with serving(agent) as url:
            code = main(["wait", "--url", url, *flags])
        out, err = capsys.readouterr()
        return code, out, [line[10:] if line[2:3] == ":" else line for line in err.splitlines()]

    return start


def test_a_wait_tells_the_way_and_follows_the_commit_that_a_name_meant(run):
    agent = serve(at(UNKNOWN), at(SEEN), ConnectError("unavailable", "restarting", 503), at(READY, workloads=2))
    code, out, err = run(agent, "--commit", "master")
    assert (code, out) == (0, "")
    assert err[1:] == [
        "unknown  3f9a0c5: the agent has not seen it yet",
        "seen     3f9a0c5",
        "applied  3f9a0c5",
        "ready    2 workloads rolled out",
    ]
    asked = [call.message.ref for call in agent.calls if call.method == "GetRevision"]
    assert asked == ["master", "master", COMMIT, COMMIT]
    assert {call.verb for call in agent.calls} == {"GET"}


def test_a_failure_ends_it_with_place_and_blame_and_json_all_the_same(run):
    code, out, err = run(serve(at(APPLIED, failures=[REFUSED])), "-o", "json")
    assert code == 1
    assert "team:configmap/a (a.yaml:3): refused (commit 3f9a0c5 by Ann)" in err
    assert err[-2:] == ["Error: one file or object of 3f9a0c5 failed", "Mend what is named above in git."]
    told = json.loads(out)
    assert (told["stage"], told["failures"][0]["line"], told["pending"]) == ("applied", 3, [])


def test_a_rollout_counts_as_failed_when_it_stays_so(run, monkeypatch):
    monkeypatch.setattr(follow, "GRACE", 0.3)
    recovering = serve(at(APPLIED, pending=[API], workloads=1), at(READY, workloads=1))
    assert run(recovering)[0] == 0
    code, _, err = run(serve(at(APPLIED, pending=[API], workloads=1)))
    assert code == 1
    assert "team:deployment/api: error, 1 of 1 updated, 0 available: no room here" in err
    assert "Error: the rollout of team:deployment/api failed" in err


def test_running_out_of_time_tells_what_was_still_to_come(run):
    code, out, err = run(serve(at(APPLIED, pending=[WEB], workloads=1)), "--timeout=1s", "-o", "json")
    assert code == 1
    assert err[-3] == "shop:deployment/web: updating, 2 of 3 updated, 1 available"
    assert err[-2] == "Error: timeout: 3f9a0c5 is not rolled out after 1 s"
    assert json.loads(out)["pending"][0]["rollout"]["available"] == 1
    err = run(serve(at(UNKNOWN, error="key refused")), "--timeout=1s")[2]
    assert err[-2] == "Error: timeout: 3f9a0c5 is not rolled out after 1 s: key refused"
    assert "kubectl flux sync" in err[-1]


def test_what_cannot_be_waited_for_is_told_at_once(run):
    assert run(serve(at(READY)), "--commit", "HEAD")[0] == 2
    assert run(serve(at(READY)), "--for=never")[0] == 2
    assert run(serve(at(READY)), "-o", "yaml")[0] == 2
    code, _, err = run(serve(at(READY), repository=""))
    assert (code, err[-1]) == (1, "Error: no git repository is configured")
    assert main(["wait", "--url", "http://127.0.0.1:1"]) == 3


def test_somebody_who_sees_a_part_is_told_so(run):
    assert run(serve(at(READY, restricted=True)))[2][-1] == follow.HIDDEN
