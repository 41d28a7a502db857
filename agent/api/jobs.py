"""What was asked for and how far it is: a bounded record of jobs that many may wait on.

Invariants: everything that changes a job is in this file; each change counts its version up and wakes all who wait;
a job that has ended never changes. The oldest ended jobs make room for new ones, a job that has not ended never does.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from agent.api.errors import BusyError, NotFoundError
from agent.model.jobs import SyncTicket
from agent.model.status import ChangeProgress, Job, JobState, SyncProgress
from agent.releases.contract import Asked, ChangeTicket, Done

MAX_OUTCOMES = 50_000
"""Workloads' outcomes that are remembered, some 15 MB: a release of all in a large repository has thousands."""

_SLICE = 0.5
"""Seconds between two looks at whether waiting still makes sense."""


class JobObserver(Protocol):
    """Counts jobs; `telemetry.Metrics` is one."""

    def observe_queue(self, seconds: float) -> None:
        """A job was begun after so long in the queue."""

    def observe_job(self, seconds: float, success: bool) -> None:  # noqa: FBT001 # the shape `telemetry.timed` calls
        """A job ended after so long at work."""

    def set_queue_length(self, length: int) -> None:
        """So many jobs wait to be begun."""


class Jobs:
    """All jobs the agent remembers.

    Args:
        start_sync: Takes a sync to be done and returns at once; may raise a FluxError to refuse it.
        clock: The time in Unix seconds.
        limit: How many jobs are remembered.
        start_change: Takes a change of git to be done and returns at once.
        recall: Finds a job again that is not remembered any more, by what it left in git.
        observer: Is told of durations and of the queue's length; may be left out.
    """

    def __init__(
        self,
        start_sync: Callable[[SyncTicket], None],
        clock: Callable[[], float] = time.time,
        limit: int = 200,
        observer: JobObserver | None = None,
        *,
        start_change: Callable[[ChangeTicket], None] = lambda _: None,
        recall: Callable[[str], Job | None] = lambda _: None,
    ) -> None:
        self._start_sync = start_sync
        self._start_change = start_change
        self._recall = recall
        self._clock = clock
        self._limit = limit
        self._observer = observer
        self._jobs: dict[str, Job] = {}
        self._begun: dict[str, float] = {}
        self._changed = threading.Condition()

    def submit_sync(self, allow_deletions: str = "") -> Job:
        """Ask for a sync, and let the held deletions of this hash through.

        Raises:
            BusyError: As many jobs as can be remembered have not ended yet.
            FluxError: The sync was refused.
        """
        job = Job(id=str(uuid.uuid4()), created_at=self._clock(), sync=SyncProgress())
        self._submit(job, lambda: self._start_sync(_Ticket(self, job.id, allow_deletions)))
        return job

    def submit_change(self, asked: Asked) -> Job:
        """Ask for a change of git, whose job id is that of `asked`.

        Raises:
            BusyError: As many jobs as can be remembered have not ended yet.
        """
        job = Job(id=asked.job_id, created_at=self._clock(), change=ChangeProgress(dry_run=asked.dry_run))
        self._submit(job, lambda: self._start_change(_ChangeTicket(self, asked)))
        return job

    def _submit(self, job: Job, start: Callable[[], None]) -> None:
        with self._changed:
            self._make_room()
            self._jobs[job.id] = job
            self._tell_length()
        try:
            start()
        except BaseException:
            self._forget(job.id)
            raise

    def get(self, job_id: str) -> Job:
        """The job as it stands; one that was done before the agent started as its commit tells it.

        Raises:
            NotFoundError: No such job is remembered.
        """
        with self._changed:
            if job_id in self._jobs:
                return self._jobs[job_id]
        recalled = self._recall(job_id)
        if recalled is not None:
            return recalled
        with self._changed:
            return self._get(job_id)

    def wait(self, job_id: str, after_version: int, timeout: float, over: Callable[[], bool]) -> Job:
        """The job as soon as it has moved past that version or has ended, or as it stands after the wait.

        Args:
            job_id: The job.
            after_version: The version the caller has seen.
            timeout: Seconds to wait at most.
            over: Whether to wait no longer; asked twice a second.

        Raises:
            NotFoundError: No such job is remembered.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                job = self._get(job_id)
                left = end - time.monotonic()
                if job.version > after_version or job.state.ended or left <= 0 or over():
                    return job
                self._changed.wait(min(left, _SLICE))

    def update(
        self,
        job_id: str,
        state: JobState,
        progress: SyncProgress | ChangeProgress | None,
        error: str = "",
        hint: str = "",
    ) -> None:
        """Record a change; one that comes after the job's end is dropped."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.state.ended:
                return
            told = replace(job, version=job.version + 1, state=state, error=error, hint=hint)
            if isinstance(progress, ChangeProgress):
                told = replace(told, change=progress)
            elif progress is not None:
                told = replace(told, sync=progress)
            self._jobs[job_id] = told
            self._trim(told)
            self._observe(job, state)
            self._changed.notify_all()

    def _get(self, job_id: str) -> Job:
        if job_id not in self._jobs:
            raise NotFoundError(
                f"there is no job {job_id[:64]!r}",
                hint="the agent forgets old jobs, and those without a commit when it restarts; ask again",
            )
        return self._jobs[job_id]

    def _make_room(self) -> None:
        if len(self._jobs) < self._limit:
            return
        oldest = next((job.id for job in self._jobs.values() if job.state.ended), None)
        if oldest is None:
            raise BusyError(
                f"{self._limit} jobs are waiting already", hint="try again when some are done", temporary=True
            )
        del self._jobs[oldest]

    def _trim(self, newest: Job) -> None:
        """Forget the oldest ended changes of git whose outcomes are too many together, but never the newest one."""
        if not (newest.state.ended and newest.change and newest.change.outcomes):
            return
        ended = [job for job in self._jobs.values() if job.state.ended and job.change and job is not newest]
        room = MAX_OUTCOMES - len(newest.change.outcomes)
        for job in reversed(ended):
            room -= len(job.change.outcomes) if job.change else 0
            if room < 0:
                del self._jobs[job.id]

    def _forget(self, job_id: str) -> None:
        with self._changed:
            self._jobs.pop(job_id, None)
            self._begun.pop(job_id, None)
            self._tell_length()
            self._changed.notify_all()

    def _observe(self, before: Job, state: JobState) -> None:
        now = self._clock()
        if before.state is JobState.QUEUED:
            self._begun[before.id] = now
            self._tell_length()
            if self._observer:
                self._observer.observe_queue(max(0.0, now - before.created_at))
        if state.ended:
            begun = self._begun.pop(before.id)
            if self._observer:
                self._observer.observe_job(max(0.0, now - begun), state is JobState.SUCCEEDED)

    def _tell_length(self) -> None:
        if self._observer:
            self._observer.set_queue_length(sum(job.state is JobState.QUEUED for job in self._jobs.values()))


@dataclass(frozen=True, slots=True)
class _Ticket:
    """The SyncTicket of one job."""

    jobs: Jobs
    job_id: str
    allow_deletions: str

    def running(self, progress: SyncProgress) -> None:
        self.jobs.update(self.job_id, JobState.RUNNING, progress)

    def succeeded(self, progress: SyncProgress) -> None:
        self.jobs.update(self.job_id, JobState.SUCCEEDED, progress)

    def failed(self, progress: SyncProgress | None, error: str, hint: str) -> None:
        self.jobs.update(self.job_id, JobState.FAILED, progress, error, hint)


@dataclass(frozen=True, slots=True)
class _ChangeTicket:
    """The ChangeTicket of one job."""

    jobs: Jobs
    asked: Asked

    def running(self) -> None:
        self.jobs.update(self.asked.job_id, JobState.RUNNING, None)

    def succeeded(self, done: Done) -> None:
        progress = ChangeProgress(done.outcomes, done.commit, self.asked.dry_run, done.notices)
        self.jobs.update(self.asked.job_id, JobState.SUCCEEDED, progress)

    def failed(self, error: str, hint: str) -> None:
        self.jobs.update(self.asked.job_id, JobState.FAILED, None, error, hint)
