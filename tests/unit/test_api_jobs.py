"""The record of jobs: what is told of them, who is woken, what is forgotten."""

import itertools
import threading
import time

import pytest

from agent.api.errors import BusyError, NotFoundError
from agent.api.jobs import Jobs
from agent.model.errors import StoppedError
from agent.model.status import JobState, SyncProgress

PROGRESS = SyncProgress("ssh://git@h/a", "master", "24e9eae")


def never():
    return False


class Desk:
    """Takes the tickets as the loop would."""

    def __init__(self):
        self.tickets = []

    def __call__(self, ticket):
        self.tickets.append(ticket)


@pytest.fixture
def desk():
    return Desk()


def test_a_new_job_waits_in_the_queue(desk):
    jobs = Jobs(desk, clock=lambda: 5.0)
    job = jobs.submit_sync()
    assert (job.version, job.state, job.created_at, job.sync) == (1, JobState.QUEUED, 5.0, SyncProgress())
    assert jobs.get(job.id) == job
    assert len(desk.tickets) == 1


def test_each_change_counts_the_version_up(desk):
    jobs = Jobs(desk)
    job = jobs.submit_sync()
    (ticket,) = desk.tickets
    ticket.running(SyncProgress())
    ticket.running(PROGRESS)
    assert (jobs.get(job.id).version, jobs.get(job.id).state) == (3, JobState.RUNNING)
    ticket.succeeded(PROGRESS)
    ended = jobs.get(job.id)
    assert (ended.version, ended.state, ended.sync, ended.error) == (4, JobState.SUCCEEDED, PROGRESS, "")


def test_a_failure_keeps_the_progress_told_before(desk):
    jobs = Jobs(desk)
    job = jobs.submit_sync()
    desk.tickets[0].running(PROGRESS)
    desk.tickets[0].failed(None, "git refused the key", "add the key")
    ended = jobs.get(job.id)
    assert (ended.state, ended.sync, ended.error, ended.hint) == (
        JobState.FAILED,
        PROGRESS,
        "git refused the key",
        "add the key",
    )


def test_an_ended_job_does_not_change_any_more(desk):
    jobs = Jobs(desk)
    job = jobs.submit_sync()
    desk.tickets[0].succeeded(PROGRESS)
    ended = jobs.get(job.id)
    desk.tickets[0].running(PROGRESS)
    desk.tickets[0].failed(None, "late", "")
    assert jobs.get(job.id) == ended


def test_a_sync_that_is_refused_leaves_no_job():
    def refuse(_ticket):
        raise StoppedError("flux-agent is shutting down")

    jobs = Jobs(refuse, limit=1)
    for _ in range(3):
        with pytest.raises(StoppedError):
            jobs.submit_sync()


def test_an_unknown_job_is_not_found(desk):
    jobs = Jobs(desk)
    for ask in (jobs.get, lambda job_id: jobs.wait(job_id, 0, 1, never)):
        with pytest.raises(NotFoundError, match="no job 'nosuch'") as caught:
            ask("nosuch")
        assert "forgets" in caught.value.hint


def test_the_oldest_ended_job_makes_room(desk):
    jobs = Jobs(desk, limit=3)
    first, second, third = (jobs.submit_sync() for _ in range(3))
    desk.tickets[2].succeeded(PROGRESS)
    desk.tickets[1].failed(None, "no", "")
    fourth = jobs.submit_sync()
    with pytest.raises(NotFoundError):
        jobs.get(second.id)
    assert [jobs.get(job.id).id for job in (first, third, fourth)] == [first.id, third.id, fourth.id]


def test_a_queue_full_of_jobs_that_have_not_ended_refuses(desk):
    jobs = Jobs(desk, limit=2)
    jobs.submit_sync()
    jobs.submit_sync()
    desk.tickets[0].running(PROGRESS)
    with pytest.raises(BusyError, match="2 jobs are waiting"):
        jobs.submit_sync()
    assert len(desk.tickets) == 2


def in_thread(work):
    """Run it aside; the result comes out of `join`."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()

    def join():
        thread.join(60)
        assert not thread.is_alive()
        return results[0]

    return join


def test_every_waiter_is_woken_by_a_change(desk):
    jobs = Jobs(desk)
    job = jobs.submit_sync()
    joins = [in_thread(lambda: jobs.wait(job.id, 1, 20, never)) for _ in range(20)]
    desk.tickets[0].running(PROGRESS)
    assert {join().version for join in joins} == {2}


def test_waiting_answers_at_once_what_has_changed_already(desk):
    jobs = Jobs(desk)
    job = jobs.submit_sync()
    assert jobs.wait(job.id, 0, 20, never) == job
    desk.tickets[0].succeeded(PROGRESS)
    assert jobs.wait(job.id, 1, 20, never).state is JobState.SUCCEEDED
    assert jobs.wait(job.id, 2, 20, never).state is JobState.SUCCEEDED, "an ended job is not waited for"


def test_waiting_ends_with_its_time_and_when_it_is_over(desk):
    jobs = Jobs(desk)
    job = jobs.submit_sync()
    assert jobs.wait(job.id, 1, 0.01, never) == job
    looks = itertools.count()
    assert jobs.wait(job.id, 1, 600, lambda: next(looks) > 1) == job


def test_many_threads_may_tell_and_wait_at_once(desk):
    jobs = Jobs(desk, limit=500)

    def work():
        for _ in range(20):
            jobs.submit_sync()
        return True

    joins = [in_thread(work) for _ in range(8)]
    assert all(join() for join in joins)
    tellers = [in_thread(lambda ticket=ticket: ticket.succeeded(PROGRESS)) for ticket in desk.tickets]
    for join in tellers:
        join()
    assert len(desk.tickets) == 160
    assert {jobs.get(ticket.job_id).version for ticket in desk.tickets} == {2}


class Observed:
    def __init__(self):
        self.queued, self.worked, self.lengths = [], [], []

    def observe_queue(self, seconds):
        self.queued.append(seconds)

    def observe_job(self, seconds, success):
        self.worked.append((seconds, success))

    def set_queue_length(self, length):
        self.lengths.append(length)


def test_the_observer_is_told_of_waiting_and_work(desk):
    observed, clock = Observed(), itertools.count(100.0)
    jobs = Jobs(desk, clock=lambda: next(clock), observer=observed)
    jobs.submit_sync()  # 100
    jobs.submit_sync()  # 101
    desk.tickets[0].running(PROGRESS)  # 102
    desk.tickets[0].running(PROGRESS)  # 103
    desk.tickets[0].succeeded(PROGRESS)  # 104
    desk.tickets[1].failed(None, "no", "")  # 105
    assert observed.queued == [2.0, 4.0]
    assert observed.worked == [(2.0, True), (0.0, False)]
    assert observed.lengths == [1, 2, 1, 0]


def test_waiting_holds_nothing_back(desk):
    """The lock is free while someone waits."""
    jobs = Jobs(desk)
    job = jobs.submit_sync()
    waiting = threading.Event()

    def over():
        waiting.set()
        return False

    join = in_thread(lambda: jobs.wait(job.id, 1, 60, over))
    assert waiting.wait(60)
    started = time.monotonic()
    jobs.submit_sync()
    assert time.monotonic() - started < 30, "it waited until the other's time was over"
    desk.tickets[0].succeeded(PROGRESS)
    assert join().state is JobState.SUCCEEDED
