"""The composition of what changes git: the writer, the notes, the performer, and the lane that uses them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent import telemetry
from agent.git.mirror import Mirror
from agent.git.notes import Notes
from agent.git.records import Records
from agent.git.trailers import ci_skip_text
from agent.git.writer import Writer
from agent.loop.change_lane import ChangeLane
from agent.model.errors import FluxError
from agent.model.ids import WorkloadId
from agent.model.status import ChangeProgress, Job, JobState, Mark
from agent.model.workloads import WorkloadSnapshot
from agent.registry.library import Library
from agent.releases.contract import Style, Surroundings
from agent.releases.notes import read_note
from agent.releases.perform import Performer
from agent.settings import Settings

RECALLED = 200
"""Commits whose notes are looked through for a job that is not remembered."""


@dataclass(frozen=True, slots=True)
class WriteSurroundings:
    """What the composition finds there already."""

    mirror: Mirror
    fetch: Callable[[], str]
    workloads: Callable[[], WorkloadSnapshot]
    library: Library | None
    wake: Callable[[], None]
    publish: Callable[[Mapping[tuple[WorkloadId, str], Mark]], None]
    stop: threading.Event


class WriteParts:
    """Everything that changes git, put together; nothing is asked of git yet."""

    def __init__(self, settings: Settings, default_namespace: str, around: WriteSurroundings) -> None:
        git = settings.git
        self._notes = Notes(around.mirror, git)
        performer = Performer(
            Surroundings(
                around.mirror,
                Writer(around.mirror, git),
                self._notes,
                Records(around.mirror.repository),
                around.fetch,
                around.workloads,
                around.library,
                git.paths,
                default_namespace,
                Style(git.set_author, ci_skip_text(git.ci_skip_message, skip=git.ci_skip)),
                around.stop,
            )
        )
        automates = around.library is not None and not git.readonly and git.url
        interval = settings.automation_interval if automates else 0.0
        self.lane = ChangeLane(performer, telemetry.logger("automation"), interval, around.wake, around.publish)

    def recall(self, job_id: str) -> Job | None:
        """A change that was done before the agent started, as the note on its commit tells it."""
        try:
            notes = self._notes.latest(RECALLED)
        except FluxError:
            return None
        for commit, text in notes:
            note = read_note(text)
            if note is not None and note.job_id == job_id:
                progress = ChangeProgress(note.outcomes, commit)
                return Job(job_id, time.time(), state=JobState.SUCCEEDED, change=progress)
        return None
