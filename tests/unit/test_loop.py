"""The two lanes: what they tell each other, the jobs and the board."""

import threading
from dataclasses import dataclass, field, replace

import pytest

from agent.board import Board
from agent.loop import git_lane
from agent.loop.cluster_lane import ClusterLane, ClusterOptions, ClusterTimes
from agent.loop.git_lane import NOTIFY_PAUSE, GitLane, GitTimes
from agent.loop.inbox import MAX_INBOX, Inbox
from agent.loop.messages import Parts, hold_of
from agent.loop.reporter import Reporter
from agent.model.errors import GitError
from agent.model.resources import Failure, Origin
from agent.model.status import PendingDeletion, RepositoryStatus, SyncReport


@dataclass
class Commit:
    sha: str
    author: str = "Ann <ann@example.com>"
    subject: str = "change"


@dataclass
class Repo:
    """A repository whose answers the test decides; an error is raised, a string is a revision."""

    heads: list = field(default_factory=list)
    broken: bool = False

    def fetch(self):
        head = self.heads.pop(0) if len(self.heads) > 1 else self.heads[0]
        if isinstance(head, Exception):
            raise head
        return Commit(head)

    def files(self, revision, paths):
        if self.broken:
            raise GitError("the mirror is broken")
        return ()

    def read(self, shas):
        return {}

    def blame(self, revision, path, line, last):
        return Commit("c" * 40)

    def commits_between(self, old, new, limit=100):
        return [Commit(new)]


@dataclass
class Marker:
    at: str = ""
    error: Exception | None = None

    def read(self):
        return self.at

    def advance(self, revision):
        if self.error:
            raise self.error
        self.at = revision


class Ticket:
    def __init__(self, allow_deletions=""):
        self.allow_deletions = allow_deletions
        self.told = []
        self.ended = threading.Event()

    def running(self, progress):
        self.told.append(("running", progress.revision))

    def succeeded(self, progress):
        self.told.append(("succeeded", progress.marker_error))
        self.ended.set()

    def failed(self, progress, error, hint):
        self.told.append(("failed", error))
        self.ended.set()


class Log:
    def __init__(self):
        self.lines = []

    def info(self, event, **fields):
        self.lines.append((event, fields))

    warning = info


class Gauges:
    def observe_sync(self, seconds, success):
        self.success = success

    def set_manifests(self, *, succeeded, failed):
        self.manifests = (succeeded, failed)

    def set_git_ready(self, *, ready):
        self.ready = ready


@dataclass
class Engine:
    report: SyncReport
    requests: list = field(default_factory=list)

    def sync(self, request):
        self.requests.append(request)
        return replace(self.report, revision=request.revision)


@pytest.fixture
def lanes():
    """Both lanes running over scripted parts; all threads end with the test."""
    parts = Parts(Board(RepositoryStatus(url="file:///r", branch="master")), Log(), Gauges())
    running = []

    def start(repository, marker=None, report=None):
        engine = Engine(report or SyncReport("", 0.0))
        git = GitLane(parts, repository, marker or Marker(), poll_interval=3600)
        cluster = ClusterLane(parts, repository, engine, ClusterOptions(interval=3600))
        git.feed(cluster.inbox)
        cluster.feed(git.inbox.put)
        for lane in (git, cluster):
            thread = threading.Thread(target=lane.run)
            thread.start()
            running.append((lane, thread))
        return git, engine

    start.parts = parts
    yield start
    parts.stop.set()
    for lane, thread in running:
        lane.inbox.wake()
        thread.join(60)
        assert not thread.is_alive()


def ask(git, allow_deletions=""):
    ticket = Ticket(allow_deletions)
    git.request(ticket)
    assert ticket.ended.wait(60)
    return ticket.told


def test_a_requested_sync_tells_its_revision_then_its_end_and_moves_the_marker(lanes):
    marker = Marker()
    git, engine = lanes(Repo(["a" * 40]), marker)
    assert ask(git, "hash") == [("running", "a" * 40), ("succeeded", "")]
    assert marker.at == "a" * 40
    assert engine.requests[-1].approved == {"hash"}
    status = lanes.parts.board.status()
    assert status.revision_seen == status.revision_applied == status.revision_marked == "a" * 40
    assert status.repository.ready


def test_what_any_sync_wrote_stays_known(lanes):
    """A sync that writes nothing must not hide that the lists are behind the one before."""
    place = ("apps/deployments", "shop")
    git, engine = lanes(Repo(["a" * 40]), report=SyncReport("", 0.0, newest={place: 7}))
    ask(git)
    engine.report = SyncReport("", 0.0, newest={("apps/daemonsets", "shop"): 9})
    ask(git)
    assert lanes.parts.board.status().written == {place: 7, ("apps/daemonsets", "shop"): 9}


def test_a_fetch_that_fails_fails_its_jobs_and_the_next_one_heals_it(lanes):
    git, _ = lanes(Repo([GitError("it is gone"), GitError("it is gone"), "a" * 40]))
    told = ask(git)
    while told == [("failed", "it is gone")]:
        assert "it is gone" in lanes.parts.board.status().repository.error
        told = ask(git)
    assert told[-1] == ("succeeded", "")
    assert lanes.parts.board.status().repository.error == ""


def test_failures_fail_the_job_with_blame_and_do_not_hold_the_marker(lanes):
    marker = Marker()
    failed = Failure("demo:configmap/a", "no", Origin("a.yaml", 3))
    git, _ = lanes(Repo(["a" * 40]), marker, SyncReport("", 0.0, objects=3, failures=(failed,)))
    assert ask(git)[-1] == ("failed", "1 object could not be synced")
    assert marker.at == "a" * 40
    [found] = lanes.parts.board.status().last_sync.failures
    assert (found.commit, found.author) == ("c" * 40, "Ann <ann@example.com>")
    assert lanes.parts.gauges.manifests == (2, 1)


def test_what_does_not_load_holds_the_marker(lanes):
    marker = Marker()
    git, _ = lanes(Repo(["a" * 40]), marker, SyncReport("", 0.0, holds=("a.yaml:1: no",)))
    assert ask(git)[-1] == ("succeeded", "held by what did not load: a.yaml:1: no")
    assert marker.at == ""
    assert lanes.parts.gauges.success is False


def test_a_refused_marker_is_told_and_fails_nothing(lanes):
    git, _ = lanes(Repo(["a" * 40]), Marker(error=GitError("protected tag", hint="--sync-state=secret")))
    assert ask(git)[-1] == ("succeeded", "protected tag (--sync-state=secret)")
    assert "protected tag" in lanes.parts.board.status().marker_error


def test_a_revision_that_cannot_be_read_is_an_error_of_its_sync(lanes):
    git, engine = lanes(Repo(["a" * 40], broken=True))
    assert ask(git)[-1] == ("failed", "the mirror is broken")
    assert engine.requests == []


def test_a_failing_fetch_is_tried_again_ever_later_but_never_later_than_the_interval():
    times, waits = GitTimes(), []
    for _ in range(6):
        times = times.after_failure(0.0, 30.0)
        waits.append(times.next_fetch)
    assert waits == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert times.after_success(5.0, 30.0) == GitTimes(35.0, fetched_at=5.0)
    assert GitTimes(0.0, 5000).after_failure(0.0, 30.0).next_fetch == 30.0


def test_a_sync_goes_on_at_once_with_what_it_did_not_reach_and_backs_off_from_errors():
    done, late, bad = SyncReport("", 0.0), SyncReport("", 0.0, remaining=2), SyncReport("", 0.0, error="no")
    assert ClusterTimes().after(done, 10.0, 300.0) == ClusterTimes(310.0)
    assert ClusterTimes().after(late, 10.0, 300.0) == ClusterTimes(10.0)
    assert ClusterTimes().after(bad, 10.0, 300.0).after(bad, 10.0, 300.0) == ClusterTimes(14.0, 2)
    assert ClusterTimes(0.0, 5000).after(bad, 10.0, 300.0).next_sync == 310.0


@pytest.mark.parametrize(
    ("report", "hold"),
    [
        (SyncReport("", 0.0), ""),
        (SyncReport("", 0.0, error="unreachable"), "unreachable"),
        (SyncReport("", 0.0, remaining=2), "2 objects were not reached in time; the next sync goes on"),
        (SyncReport("", 0.0, holds=("a", "b", "c")), "held by what did not load: a and 2 more"),
    ],
)
def test_why_the_marker_stays(report, hold):
    assert hold_of(report) == hold


def test_an_inbox_keeps_the_newest_and_ends_its_wait_at_a_wake_up():
    inbox = Inbox()
    for number in range(MAX_INBOX + 5):
        inbox.put(number)
    assert inbox.take(0)[0] == 5
    inbox.wake()
    assert inbox.take(60) == []


def test_a_failure_that_stays_is_logged_once():
    log = Log()
    reporter = Reporter(log)
    failure = Failure("demo:configmap/a", "no")
    pending = PendingDeletion("demo:configmap/b", "held")
    report = SyncReport("", 0.0, failures=(failure,), pending_deletions=(pending,), notices=("note",))
    for _ in range(2):
        reporter.synced(report)
    assert [event for event, _ in log.lines] == ["synced", "not synced", "not deleted", "note", "synced"]
    reporter.synced(replace(report, failures=(replace(failure, reason="worse"),)))
    assert [event for event, _ in log.lines[-2:]] == ["synced", "not synced"]


def test_a_notice_brings_the_next_fetch_forward_but_never_two_into_one_pause():
    idle = GitTimes().after_success(100.0, 300.0)
    assert idle.hurried().next_fetch == 100.0 + NOTIFY_PAUSE
    assert idle.hurried().hurried() == idle.hurried()
    failing = GitTimes(failures=6).after_failure(100.0, 300.0)
    assert failing.hurried().next_fetch == 100.0 + NOTIFY_PAUSE
    assert failing.hurried().failures == 7
    assert GitTimes(next_fetch=101.0, fetched_at=100.0).hurried().next_fetch == 101.0


def test_what_a_notice_finds_is_synced_without_a_job(lanes, monkeypatch):
    monkeypatch.setattr(git_lane, "NOTIFY_PAUSE", 0.0)
    moved = {sha: threading.Event() for sha in ("a" * 40, "b" * 40)}

    class Telling(Marker):
        def advance(self, revision):
            super().advance(revision)
            moved[revision].set()

    git, _ = lanes(Repo(["a" * 40, "b" * 40]), Telling())
    assert moved["a" * 40].wait(60)
    assert not moved["b" * 40].is_set()
    git.notify()
    assert moved["b" * 40].wait(60)
