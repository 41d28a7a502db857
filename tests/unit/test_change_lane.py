"""The git lane's part that changes git: whose turn it is, what a failure ends, and when automation looks."""

import math
import threading
import time

import pytest
from test_loop import Gauges, Log, Marker, Repo, Ticket

from agent.board import Board
from agent.loop import change_lane
from agent.loop.change_lane import LONGEST_SETTLE, SETTLE, AutomationTimes, ChangeLane
from agent.loop.git_lane import GitLane
from agent.loop.messages import Parts, Synced
from agent.model.errors import GitError, NotReadyError, StoppedError, UsageError
from agent.model.ids import WorkloadId
from agent.model.status import Feature, Mark, RepositoryStatus, SyncReport
from agent.model.updates import Outcome, PoliciesSpec, ReleaseSpec
from agent.releases.contract import Asked, Done

HEAD, MADE = "a" * 40, "b" * 40
SHOP = WorkloadId("demo", "deployment", "shop")
ON = {"interval": 3600.0}


class Performer:
    """Does what the test says: a result is returned, an error raised."""

    def __init__(self):
        self.results, self.looks, self.automatic = {}, [], [Done()]
        self.looked, self.taken_back = threading.Semaphore(0), {}

    def perform(self, asked):
        result = self.results.get(asked.job_id, Done(commit=MADE, head=MADE))
        if isinstance(result, Exception):
            raise result
        return result() if callable(result) else result

    def automate(self, job_id, head):
        self.looks.append(head)
        result = self.automatic.pop(0) if len(self.automatic) > 1 else self.automatic[0]
        self.looked.release()
        if isinstance(result, Exception):
            raise result
        return result

    def marks(self, revision):
        return self.taken_back


class ChangeTicket:
    def __init__(self, job_id, spec=None):
        self.asked = Asked(job_id, spec or ReleaseSpec())
        self.told, self.ended = [], threading.Event()

    def running(self):
        self.told.append("running")

    def succeeded(self, done):
        self.told.append(done.commit)
        self.ended.set()

    def failed(self, error, hint):
        self.told.append((error, hint))
        self.ended.set()


@pytest.fixture
def parts():
    return Parts(Board(RepositoryStatus(url="file:///r", branch="master")), Log(), Gauges())


@pytest.fixture
def performer():
    return Performer()


@pytest.fixture
def start(parts, performer):
    """A function that runs a git lane which changes git; its thread ends with the test."""
    running = []

    def begin(repository=None, interval=0.0):
        lane = GitLane(parts, repository or Repo([HEAD]), Marker(), poll_interval=3600)
        changes = ChangeLane(parts, performer, interval, lane.inbox.wake)
        lane.write_with(changes)
        thread = threading.Thread(target=lane.run)
        thread.start()
        running.append((lane, thread))
        return lane, changes

    yield begin
    parts.stop.set()
    for lane, thread in running:
        lane.inbox.wake()
        thread.join(60)
        assert not thread.is_alive()


def ask(lane, *tickets):
    for ticket in tickets:
        lane.change(ticket)
    assert all(ticket.ended.wait(60) for ticket in tickets)
    return [ticket.told for ticket in tickets]


def looks(performer, number):
    for _ in range(number):
        assert performer.looked.acquire(timeout=60)


# --- what people ask for ---------------------------------------------------------------------------------------------


def test_a_change_that_fails_ends_its_own_job_and_the_next_one_is_done(start, performer, parts):
    performer.results = {
        "usage": UsageError("no such image", hint="look"),
        "stop": StoppedError("flux-agent is shutting down"),
        "disk": OSError("No space left"),
        "bug": ZeroDivisionError("secret"),
    }
    lane, _ = start()
    told = ask(lane, *map(ChangeTicket, ("usage", "stop", "disk", "bug", "fine")))
    assert told[0] == ["running", ("no such image", "look")]
    assert "unless the branch says otherwise" in told[1][1][1]
    assert told[2][1][0] == "the change could not be written: No space left"
    assert told[3] == ["running", ("the change ran into a bug of flux-agent", "its log holds the trace")]
    assert told[4] == ["running", MADE]
    assert [event for event, _ in parts.log.lines if "change" in event][-2:] == [
        "unexpected error in a change",
        "a change is done",
    ]


def test_a_commit_is_seen_at_once_and_what_was_taken_back_before_its_job_ends(start, performer, parts):
    """What is seen is where the branch is, also if that is beyond the commit: nothing older is applied after that."""
    performer.results = {"j": Done(commit=MADE, head="c" * 40), "idle": Done()}
    performer.taken_back = {(SHOP, "web"): Mark("a:1", MADE)}
    lane, _ = start()
    ask(lane, ChangeTicket("j"))
    assert parts.board.status().marks == performer.taken_back
    ask(lane, ChangeTicket("idle"))
    assert parts.board.status().revision_seen == "c" * 40


def test_a_sync_comes_to_its_end_between_two_of_many_changes(start, performer):
    lane, _ = start()
    sync, ended = Ticket(), []

    def synced():
        lane.inbox.put(Synced(HEAD, SyncReport(HEAD, 0.0), "", (sync,)))
        return Done()

    performer.results = {"j1": synced, "j2": lambda: ended.append(sync.ended.is_set()) or Done()}
    ask(lane, *(ChangeTicket(f"j{number}") for number in range(4)))
    assert ended == [True]


def test_what_is_waiting_at_shutdown_is_told_so(start, performer, parts):
    waiting = ChangeTicket("k")

    def stopped():
        lane.change(waiting)
        parts.stop.set()
        raise StoppedError("flux-agent is shutting down")

    performer.results = {"j": stopped}
    lane, _ = start()
    ask(lane, ChangeTicket("j"))
    assert waiting.ended.wait(60)
    assert waiting.told == [("flux-agent is shutting down", "nothing was changed; try again in a moment")]


def test_whoever_changes_git_fetches_for_everybody(parts):
    lane = GitLane(parts, Repo([HEAD, MADE, GitError("gone")]), Marker(), poll_interval=3600)
    assert lane.fetch_head() == HEAD
    assert lane.fetch_head() == MADE
    assert parts.board.status().revision_seen == MADE
    with pytest.raises(GitError, match="gone"):
        lane.fetch_head()


# --- automation ------------------------------------------------------------------------------------------------------


def test_automation_looks_when_git_is_ready_and_then_by_the_clock(start, performer):
    performer.automatic = [Done(commit=MADE, head=MADE), Done()]
    start(interval=0.001)
    looks(performer, 3)
    assert performer.looks[0] == HEAD
    assert performer.looks[1:3] == [MADE, MADE]


@pytest.mark.parametrize("interval", [0.0, 3600.0])
def test_a_repository_that_is_not_ready_costs_nothing(parts, performer, interval):
    """Neither a look nor a busy loop: what is due waits for the next fetch."""
    changes = ChangeLane(parts, performer, interval, lambda: None)
    changes.images_changed()
    assert changes.due(parts.board.status(), 5.0) == math.inf
    assert changes.automate(parts.board.status()) == "" and performer.looks == []
    parts.board.publish_repository(ready=True)
    parts.board.publish(revision_seen=HEAD)
    changes.automate(parts.board.status())
    assert performer.looks == ([HEAD] if interval else [])


def test_news_of_many_scans_become_one_look():
    times = AutomationTimes(by_clock=300.0)
    assert times.next_look == 300.0
    once = times.with_news(10.0)
    assert once.next_look == 10.0 + SETTLE
    assert once.with_news(10.5).next_look == 10.5 + SETTLE
    for tenths in range(100, 160, 5):
        once = once.with_news(tenths / 10)
    assert once.next_look == 10.0 + LONGEST_SETTLE
    assert times.with_news(299.9).next_look == 300.0


def test_news_and_policies_bring_the_next_look_forward(start, performer, monkeypatch):
    monkeypatch.setattr(change_lane, "SETTLE", 0.01)
    lane, changes = start(**ON)
    looks(performer, 1)
    changes.images_changed()
    looks(performer, 1)
    monkeypatch.setattr(change_lane, "SETTLE", 3600.0)
    ask(lane, ChangeTicket("j", PoliciesSpec()))
    looks(performer, 1)
    performer.results = {"idle": Done()}
    ask(lane, ChangeTicket("r"), ChangeTicket("idle", PoliciesSpec()), ChangeTicket("last"))
    assert len(performer.looks) == 3


def test_a_failure_of_automation_is_told_once_in_the_log_and_stays_in_the_status(start, performer, parts):
    trouble, other = GitError("the server refused the push"), GitError("it is gone")
    performer.automatic = [trouble, trouble, other, OSError("full"), ZeroDivisionError(), trouble, Done()]
    start(interval=0.001)
    looks(performer, 8)
    told = [fields["error"] for event, fields in parts.log.lines if event == "automation could not change git"]
    assert told == ["the server refused the push", "it is gone", "full", "the server refused the push"]
    assert parts.board.status().automation == Feature(enabled=True)


def test_what_is_in_automations_way_is_in_the_status(parts, performer):
    performer.automatic = [GitError("the server refused the push")]
    parts.board.publish_repository(ready=True)
    parts.board.publish(revision_seen=HEAD)
    ChangeLane(parts, performer, 3600.0, lambda: None).automate(parts.board.status())
    assert parts.board.status().automation == Feature(enabled=True, reason="the server refused the push")


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (NotReadyError("not listed", temporary=True), change_lane.NOT_READY_PAUSE),
        (GitError("away", temporary=True), change_lane.TROUBLE_PAUSE),
        (GitError("refused"), 3600.0),
        (ZeroDivisionError(), 3600.0),
    ],
)
def test_automation_tries_again_sooner_where_that_may_help(parts, performer, error, pause):
    performer.automatic = [error]
    parts.board.publish_repository(ready=True)
    parts.board.publish(revision_seen=HEAD)
    changes = ChangeLane(parts, performer, 3600.0, lambda: None)
    before = time.monotonic()
    changes.automate(parts.board.status())
    after = time.monotonic()
    assert before + pause <= changes.due(parts.board.status(), after) <= after + pause
    assert [event for event, _ in parts.log.lines] == ([] if pause == change_lane.NOT_READY_PAUSE else [
        "unexpected error in automation" if isinstance(error, ZeroDivisionError) else "automation could not change git"
    ])  # fmt: skip


def test_a_workload_that_automation_cannot_change_is_told_once(start, performer, parts):
    failed = Done({SHOP: Outcome("failed", "a.yaml: shared"), SHOP._replace(name="b"): Outcome("skipped", "locked")})
    performer.automatic = [failed, failed, Done({SHOP: Outcome("failed", "another")}), Done()]
    start(interval=0.001)
    looks(performer, 5)
    told = [fields["reason"] for event, fields in parts.log.lines if event == "automation could not change a workload"]
    assert told == ["a.yaml: shared", "another"]


def test_marks_that_cannot_be_read_fail_nothing(start, performer, parts):
    performer.marks = lambda revision: 1 / 0
    lane, _ = start(interval=0.001)
    looks(performer, 2)
    assert ask(lane, ChangeTicket("j")) == [["running", MADE]]
