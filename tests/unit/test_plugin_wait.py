"""Waiting for a job: every change is seen once, absences are survived, and the time is kept."""

from __future__ import annotations

import pytest

from kubectl_flux.errors import NotFoundError, TimedOutError, UnreachableError
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.wait import LONGEST_WAIT, Deadline, states_of

QUEUED, RUNNING, DONE = pb.JOB_STATE_QUEUED, pb.JOB_STATE_RUNNING, pb.JOB_STATE_SUCCEEDED


class Clock:
    """A clock that only moves when someone sleeps or waits."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class ScriptedJobs:
    """Answers one entry of a script for each question, the last one again and again."""

    def __init__(self, clock, *script):
        self.clock = clock
        self.script = list(script)
        self.asked = []

    def job(self, job_id, after_version, wait):
        self.asked.append((job_id, after_version, wait))
        entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(entry, Exception):
            raise entry
        version, state = entry
        if version <= after_version:
            self.clock.sleep(wait)
        return pb.Job(id=job_id, version=version, state=state)


def follow(*script, seconds=60.0):
    clock = Clock()
    jobs = ScriptedJobs(clock, *script)
    states = states_of(jobs, "j", Deadline(seconds, clock), clock.sleep)
    return jobs, states


def test_each_new_state_is_told_once_and_the_end_ends_it():
    jobs, states = follow((1, QUEUED), (2, RUNNING), (2, RUNNING), (3, DONE))
    assert [job.version for job in states] == [1, 2, 3]
    assert [version for _, version, _ in jobs.asked] == [0, 1, 2, 2]


def test_a_wait_is_never_longer_than_the_api_allows_nor_than_the_time_left():
    jobs, states = follow((1, RUNNING), (1, RUNNING), seconds=30)
    with pytest.raises(TimedOutError):
        list(states)
    waits = [wait for _, _, wait in jobs.asked]
    assert max(waits) == LONGEST_WAIT
    assert waits[-1] < 30 - LONGEST_WAIT


def test_running_out_of_time_says_that_the_agent_goes_on():
    _, states = follow((1, RUNNING))
    with pytest.raises(TimedOutError) as raised:
        list(states)
    assert "timeout" in raised.value.message
    assert "goes on" in raised.value.hint


def test_an_agent_that_is_away_for_a_moment_is_asked_again():
    _, states = follow((1, RUNNING), UnreachableError("gone"), UnreachableError("gone"), (2, DONE))
    assert [job.version for job in states] == [1, 2]


def test_an_agent_that_stays_away_is_the_error():
    _, states = follow((1, RUNNING), UnreachableError("gone"), seconds=5)
    with pytest.raises(UnreachableError, match="gone"):
        list(states)


def test_a_job_that_nobody_knows_any_more_is_lost():
    _, states = follow((1, RUNNING), NotFoundError("no job j"))
    with pytest.raises(NotFoundError) as raised:
        list(states)
    assert "does not know the job any more" in raised.value.message
    assert "run the command again" in raised.value.hint


def test_a_lost_job_gets_no_second_hint_beside_the_agents():
    _, states = follow((1, RUNNING), NotFoundError("no job j (ask for the sync again)"))
    with pytest.raises(NotFoundError, match="ask for the sync again") as raised:
        list(states)
    assert raised.value.hint == ""
