"""Model values into messages of the contract. Pure, one function for each kind of value."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from agent.api.progress import Progress, Stage
from agent.api.views import Row
from agent.api.visibility import Details, Discretion
from agent.model.ids import WorkloadId
from agent.model.resources import Failure
from agent.model.status import (
    ChangeProgress,
    Feature,
    Job,
    JobState,
    PendingDeletion,
    RepositoryStatus,
    Status,
    SyncProgress,
    SyncReport,
)
from agent.model.updates import Outcome
from agent.model.workloads import Rollout, WorkloadSnapshot
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

_STATES = {
    JobState.QUEUED: pb.JOB_STATE_QUEUED,
    JobState.RUNNING: pb.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: pb.JOB_STATE_SUCCEEDED,
    JobState.FAILED: pb.JOB_STATE_FAILED,
}

_STAGES = {
    Stage.UNKNOWN: pb.REVISION_STAGE_UNKNOWN,
    Stage.SEEN: pb.REVISION_STAGE_SEEN,
    Stage.APPLIED: pb.REVISION_STAGE_APPLIED,
    Stage.READY: pb.REVISION_STAGE_READY,
}


def repository(value: RepositoryStatus) -> pb.Repository:
    """The repository that is followed."""
    return pb.Repository(
        url=value.url,
        branch=value.branch,
        paths=value.paths,
        read_only=value.read_only,
        ready=value.ready,
        error=value.error,
        sync_tag=value.sync_tag,
    )


def status(value: Status, snapshot: WorkloadSnapshot, shown: Details) -> pb.GetStatusResponse:
    """How the cluster stands to git; of the last sync, the notices and the reasons what is `shown`."""
    report, discretion = value.last_sync, shown.discretion
    return pb.GetStatusResponse(
        repository=repository(value.repository),
        revision_seen=value.revision_seen,
        seen_at=timestamp(value.seen_at),
        revision_applied=value.revision_applied,
        revision_marked=value.revision_marked,
        marker_error=discretion.told(value.marker_error),
        last_sync=summary(report, discretion) if report else None,
        failures=map(failure, shown.failures),
        pending_deletions=map(pending_deletion, shown.pending),
        deletions_hash=shown.deletions_hash,
        notices=shown.notices,
        workloads_as_of=timestamp(snapshot.as_of),
        automation=feature(value.automation, discretion),
        scanning=feature(value.scanning, discretion),
        restricted=shown.restricted,
        not_ready=discretion.told(snapshot.not_ready),
    )


def feature(value: Feature, discretion: Discretion) -> pb.Feature:
    """Whether a part of the agent is at work; who does not see everything gets the reason without names."""
    reason = value.reason if discretion.visible.everything else value.brief or discretion.told(value.reason)
    return pb.Feature(enabled=value.enabled, reason=reason)


def summary(report: SyncReport, discretion: Discretion) -> pb.SyncSummary:
    """One sync in numbers."""
    return pb.SyncSummary(
        revision=report.revision,
        started_at=timestamp(report.started_at),
        duration=duration(report.duration),
        objects=report.objects,
        applied=report.applied,
        unchanged=report.unchanged,
        ignored=report.ignored,
        deleted=report.deleted,
        failed=len(report.failures),
        remaining=report.remaining,
        error=discretion.told(report.error),
    )


def failure(value: Failure) -> pb.Failure:
    """One object or file that failed, with its blame."""
    return pb.Failure(
        object=value.object_id,
        path=value.origin.shown if value.origin else "",
        line=value.origin.line if value.origin else 0,
        reason=value.reason,
        commit=value.commit,
        author=value.author,
    )


def pending_deletion(value: PendingDeletion) -> pb.PendingDeletion:
    """An object that waits for its deletion."""
    return pb.PendingDeletion(object=value.object_id, reason=value.reason)


def workload(row: Row) -> pb.Workload:
    """One workload of a list."""
    value = row.workload
    return pb.Workload(
        id=str(value.id),
        containers=[pb.Container(name=item.name, image=item.image, init=item.init) for item in value.containers],
        read_only=row.read_only,
        status=value.status,
        rollout=rollout(value.rollout),
        sync_error=row.sync_error,
        antecedent=value.antecedent,
        labels=value.labels,
        automated=row.automated,
        locked=row.locked,
        ignore=row.ignore,
        policies=row.policies,
    )


def rollout(value: Rollout) -> pb.Rollout:
    """Numbers of a rollout."""
    return pb.Rollout(
        desired=value.desired,
        updated=value.updated,
        ready=value.ready,
        available=value.available,
        outdated=value.outdated,
        messages=value.messages,
    )


def revision(ref: str, version: int, value: Progress) -> pb.RevisionProgress:
    """How far a commit has come."""
    return pb.RevisionProgress(
        ref=ref,
        revision=value.revision,
        version=version,
        stage=_STAGES[value.stage],
        failures=map(failure, value.failures),
        pending=[
            pb.PendingRollout(workload=str(item.id), status=item.status, rollout=rollout(item.rollout))
            for item in value.pending
        ],
        workloads=value.workloads,
        error=value.error,
        restricted=value.restricted,
    )


def job(value: Job, shown: Details) -> pb.Job:
    """How a job stands; of its sync what is `shown`, of its workloads those that are visible."""
    discretion = shown.discretion
    return pb.Job(
        id=value.id,
        version=value.version,
        state=_STATES[value.state],
        created_at=timestamp(value.created_at),
        error=discretion.told(value.error),
        hint=discretion.told(value.hint),
        sync=sync_job(value.sync, shown) if value.sync else None,
        change=change_job(value.change, discretion) if value.change else None,
    )


def change_job(value: ChangeProgress, discretion: Discretion) -> pb.ChangeJob:
    """What a change of git has come to; of the workloads those that are visible."""
    shown = [(id_, each) for id_, each in value.outcomes.items() if discretion.visible.shows(id_.namespace)]
    return pb.ChangeJob(
        outcomes=[outcome(id_, each, discretion) for id_, each in shown],
        commit=value.commit,
        dry_run=value.dry_run,
        notices=map(discretion.told, value.notices),
    )


def outcome(id_: WorkloadId, value: Outcome, discretion: Discretion) -> pb.WorkloadOutcome:
    """What became of one workload."""
    return pb.WorkloadOutcome(
        workload=str(id_),
        status=value.status,
        reason=discretion.without_secrets(value.reason),
        containers=[
            pb.ContainerChange(container=each.container, current=str(each.current), target=str(each.target))
            for each in value.changes
        ],
        details=map(discretion.without_secrets, value.detail),
    )


def sync_job(value: SyncProgress, shown: Details) -> pb.SyncJob:
    """What a sync has come to; of its details what is `shown`."""
    report = value.report
    return pb.SyncJob(
        url=value.url,
        branch=value.branch,
        revision=value.revision,
        summary=summary(report, shown.discretion) if report else None,
        failures=map(failure, shown.failures),
        pending_deletions=map(pending_deletion, shown.pending),
        deletions_hash=shown.deletions_hash,
        marker_error=shown.discretion.told(value.marker_error),
        notices=shown.notices,
    )


def timestamp(seconds: float) -> Timestamp | None:
    """A moment in Unix seconds; 0 stands for never and is left out."""
    whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
    return Timestamp(seconds=whole, nanos=part * 1_000) if seconds else None


def duration(seconds: float) -> Duration:
    """A length of time in seconds, not negative."""
    whole, part = divmod(round(max(seconds, 0.0) * 1_000_000), 1_000_000)
    return Duration(seconds=whole, nanos=part * 1_000)
