"""The composition of what changes git: the writer, the notes, the performer, and the lane that uses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.git.mirror import Mirror
from agent.git.notes import Notes
from agent.git.records import Records
from agent.git.trailers import ci_skip_text
from agent.git.writer import Writer
from agent.loop.change_lane import ChangeLane
from agent.loop.messages import Parts
from agent.model.errors import FluxError
from agent.model.status import ChangeProgress, Job, JobState
from agent.model.workloads import WorkloadSnapshot
from agent.registry.library import Library
from agent.releases.accounts import outcomes_of
from agent.releases.contract import Style, Surroundings
from agent.releases.notes import read_note
from agent.releases.perform import Performer
from agent.settings import Settings


@dataclass(frozen=True, slots=True)
class WriteSurroundings:
    """What the composition finds there already."""

    mirror: Mirror
    fetch: Callable[[], str]
    workloads: Callable[[], WorkloadSnapshot]
    library: Library | None
    wake: Callable[[], None]
    parts: Parts


class WriteParts:
    """Everything that changes git, put together; nothing is asked of git yet."""

    def __init__(self, settings: Settings, default_namespace: str, around: WriteSurroundings) -> None:
        git = settings.git
        self._head = f"refs/heads/{git.branch}"
        self._notes = Notes(around.mirror, git)
        self._records = Records(around.mirror.repository)
        performer = Performer(
            Surroundings(
                around.mirror,
                Writer(around.mirror, git),
                self._notes,
                self._records,
                around.fetch,
                around.workloads,
                around.library,
                git.paths,
                default_namespace,
                Style(git.set_author, ci_skip_text(git.ci_skip_message, skip=git.ci_skip)),
                around.parts.stop,
            )
        )
        automates = around.library is not None and not git.readonly and git.url
        interval = settings.automation_interval if automates else 0.0
        self.lane = ChangeLane(around.parts, performer, interval, around.wake)

    def recall(self, job_id: str) -> Job | None:
        """A change that was done before the agent started, as its commit and the note on that tell it."""
        try:
            record = self._records.of_job(self._head, job_id)
            note = read_note(self._notes.read(record.commit) or "") if record else None
        except FluxError:
            return None
        if record is None:
            return None
        outcomes = note.outcomes if note and note.outcomes else outcomes_of(record.trailers)
        progress = ChangeProgress(outcomes, record.commit)
        return Job(job_id, record.time, state=JobState.SUCCEEDED, change=progress)
