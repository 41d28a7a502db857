"""How far a commit has come: seen, applied, rolled out, and what is in its way. Pure.

A commit counts as applied when it or a later one was, and it is rolled out when nothing of the last sync failed and
every workload of git is ready. What the caller may not see is left out and does not count: so a team that sees its own
namespaces can wait for what is in them. A file that could not be read counts for everybody: nobody knows whose it is.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.api.visibility import Discretion, namespace_of
from agent.model.access import Visible
from agent.model.ids import WorkloadId
from agent.model.policies import ignores_sync
from agent.model.resources import Failure
from agent.model.status import Status
from agent.model.workloads import Rollout, Workload, WorkloadSnapshot

MISSING = "missing"
"""The status of a workload that the cluster does not have."""
UNKNOWN = "unknown"
"""The status of a workload that cannot be seen at present."""
READY = "ready"


class Stage(enum.IntEnum):
    """How far a commit has come; each stage includes those before it."""

    UNKNOWN = 1
    SEEN = 2
    APPLIED = 3
    READY = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a commit stands among the revisions that the agent knows.

    Attributes:
        revision: Its full id; empty where the mirror does not have it.
        seen: Whether it is on the branch as it was fetched last.
        attempted: Whether the last sync was of it or a later commit.
        applied: Whether every object of it, or of a later commit, was attempted.
    """

    revision: str = ""
    seen: bool = False
    attempted: bool = False
    applied: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """A workload that is not rolled out."""

    id: WorkloadId
    status: str
    rollout: Rollout = field(default_factory=Rollout)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a commit has come; the fields are those of the contract."""

    revision: str
    stage: Stage
    failures: tuple[Failure, ...] = ()
    pending: tuple[Pending, ...] = ()
    workloads: int = 0
    error: str = ""
    restricted: bool = False

    @property
    def ended(self) -> bool:
        """Whether it is rolled out, or comes no further before something is mended."""
        return self.stage is Stage.READY or (self.stage is Stage.APPLIED and bool(self.failures))


def progress(place: Place, status: Status, snapshot: WorkloadSnapshot, visible: Visible) -> Progress:
    """How far a commit has come, as one caller may see it.

    Lists that are older than what the syncs wrote show how the workloads stood before it: nothing is rolled out then.
    """
    all_failures = status.last_sync.failures if status.last_sync and place.attempted else ()
    failures = tuple(
        failure for failure in all_failures if not failure.object_id or visible.shows(namespace_of(failure.object_id))
    )
    hidden = len(failures) < len(all_failures)
    if not place.applied:
        stage = Stage.SEEN if place.seen else Stage.UNKNOWN
        error = Discretion(visible).told(_held_up(place, status))
        return Progress(place.revision, stage, failures, error=error, restricted=hidden)
    wanted = _wanted(status, snapshot)
    shown = [id_ for id_ in wanted if visible.shows(id_.namespace)]
    pending = _pending(shown, snapshot)
    behind = any(view.misses(status.written) for view in snapshot.views)
    error = "the lists of workloads do not show yet what was applied" if behind else ""
    stage = Stage.APPLIED if failures or pending or error else Stage.READY
    restricted = hidden or len(shown) < len(wanted)
    return Progress(place.revision, stage, failures, pending, len(shown), error, restricted)


def _held_up(place: Place, status: Status) -> str:
    """Why a commit that is not applied comes no further for now."""
    if status.repository.error:
        return status.repository.error
    if not status.revision_seen:
        return "the repository has not been fetched yet"
    if not place.seen:
        return f"it is not on branch {status.repository.branch}" if place.revision else ""
    report = status.last_sync
    if report is None or not place.attempted:
        return ""
    if report.error:
        return report.error
    return f"{report.remaining} objects were not reached in time; the next sync goes on" if report.remaining else ""


def _wanted(status: Status, snapshot: WorkloadSnapshot) -> list[WorkloadId]:
    """The workloads of git that the agent looks after, ordered by id."""
    return sorted(
        id_
        for id_, policies in status.policies.items()
        if not ignores_sync(policies) and any(view.covers(id_) for view in snapshot.views)
    )


def _pending(wanted: Iterable[WorkloadId], snapshot: WorkloadSnapshot) -> tuple[Pending, ...]:
    there = {workload.id: workload for workload in snapshot.workloads}
    troubled = [view for view in snapshot.views if view.trouble]
    found = []
    for id_ in wanted:
        trouble = next((view.trouble for view in troubled if view.covers(id_)), "")
        workload = there.get(id_)
        if trouble:
            found.append(Pending(id_, UNKNOWN, Rollout(messages=(trouble,))))
        elif workload is None:
            found.append(Pending(id_, MISSING))
        elif not _is_ready(workload):
            found.append(Pending(id_, workload.status, workload.rollout))
    return tuple(found)


def _is_ready(workload: Workload) -> bool:
    """Whether it is rolled out; kinds that roll nothing out are."""
    return workload.status in (READY, "")
