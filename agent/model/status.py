"""How the cluster stands to git, as values: what the loop publishes and the API reads."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.model.ids import WorkloadId
from agent.model.resources import Failure
from agent.model.updates import Outcomes


@dataclass(frozen=True, slots=True)
class RepositoryStatus:
    """The repository that is followed; `url` carries no password, `error` says why it is not ready."""

    url: str = ""
    branch: str = ""
    paths: tuple[str, ...] = ()
    read_only: bool = False
    ready: bool = False
    error: str = ""
    sync_tag: str = ""


@dataclass(frozen=True, slots=True)
class PendingDeletion:
    """An object that left git and waits for deletion, and why."""

    object_id: str
    reason: str
    uid: str = ""
    held: bool = False
    """Whether it waits for approval, and so counts in the hash that approves."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """One finished sync. `started_at` is in Unix seconds, `duration` in seconds."""

    revision: str
    started_at: float
    duration: float = 0.0
    objects: int = 0
    applied: int = 0
    unchanged: int = 0
    ignored: int = 0
    deleted: int = 0
    remaining: int = 0
    failures: tuple[Failure, ...] = ()
    pending_deletions: tuple[PendingDeletion, ...] = ()
    deletions_hash: str = ""
    notices: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    """What of the revision did not load: it holds the marker and all deletions."""
    newest: Mapping[tuple[str, str], int] = field(default_factory=dict, hash=False)
    """The newest resourceVersion that was written, by group/plural and namespace."""
    error: str = ""

    @property
    def complete(self) -> bool:
        """Whether every object of the revision was attempted."""
        return not self.error and not self.remaining


@dataclass(frozen=True, slots=True)
class Feature:
    """Whether a part of the agent is at work, and why it is not; `brief` is the reason without any names."""

    enabled: bool = False
    reason: str = ""
    brief: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """An image that somebody took back: it and what is older is not released by itself.

    `commit` took it back, or released what was then undone `by_hand` in git; `at` is its time in Unix seconds.
    """

    image: str
    commit: str
    by_hand: bool = False
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Status:
    """Everything the reads show, but for the workloads themselves; replaced as a whole, never changed."""

    repository: RepositoryStatus = field(default_factory=RepositoryStatus)
    revision_seen: str = ""
    seen_at: float = 0.0
    revision_applied: str = ""
    revision_marked: str = ""
    marker_error: str = ""
    last_sync: SyncReport | None = None
    policies: Mapping[WorkloadId, Mapping[str, str]] = field(default_factory=dict)
    """The policies of every workload in git, by id; a workload that is no key is not in the repository."""
    written: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """The newest resourceVersion that any sync wrote, by group/plural and namespace."""
    notices: tuple[str, ...] = ()
    """What people should know of the agent itself, such as rights that it lacks."""
    automation: Feature = field(default_factory=Feature)
    scanning: Feature = field(default_factory=Feature)
    marks: Mapping[tuple[WorkloadId, str], Mark] = field(default_factory=dict)
    """Images that people took back, by workload and container."""


class JobState(enum.Enum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the job will not change any more."""
        return self in (JobState.SUCCEEDED, JobState.FAILED)


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """What a requested sync has come to so far."""

    url: str = ""
    branch: str = ""
    revision: str = ""
    report: SyncReport | None = None
    marker_error: str = ""


@dataclass(frozen=True, slots=True)
class ChangeProgress:
    """What a requested change of git has come to: `commit` is empty where nothing was written, or not yet."""

    outcomes: Outcomes = field(default_factory=dict, hash=False)
    commit: str = ""
    dry_run: bool = False
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A long operation; `version` counts its changes from 1, `created_at` is in Unix seconds."""

    id: str
    created_at: float
    version: int = 1
    state: JobState = JobState.QUEUED
    error: str = ""
    hint: str = ""
    sync: SyncProgress | None = None
    change: ChangeProgress | None = None
