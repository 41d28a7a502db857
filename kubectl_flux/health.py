"""Whether everything is as git says, and if not, why: what `status` judges. Pure.

Not healthy is what somebody should look at: a repository that cannot be fetched, a revision that is not applied,
whatever failed, deletions that wait for approval, a marker that does not move, and workloads of git that are not ready.
What the cluster runs besides git is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubectl_flux.progress import failure_data, one_line, pending_data
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

SHORT = 7


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that `status` shows.

    Attributes:
        status: What the agent says.
        applied: How far the applied revision has come: how many workloads git has, and which are not rolled out.
        plugin: The plugin's version.
        agent: The agent's version.
        skew: What is wrong with the two; empty where nothing is.
    """

    status: pb.GetStatusResponse
    applied: pb.RevisionProgress
    plugin: str
    agent: str
    skew: str = ""

    @property
    def pending(self) -> Sequence[pb.PendingRollout]:
        """The workloads of git that are not rolled out."""
        return self.applied.pending

    @property
    def ready(self) -> int:
        """How many workloads of git are rolled out."""
        return self.applied.workloads - len(self.pending)


def problems(found: Findings) -> list[str]:
    """What is wrong, the gravest first, a clause each; nothing where all is well."""
    return list(_problems(found))


def _problems(found: Findings) -> Iterator[str]:
    status, repository = found.status, found.status.repository
    if status.not_ready:
        yield f"the agent is not ready: {one_line(status.not_ready)}"
    if not repository.url:
        yield one_line(repository.error) or "no git repository is configured"
        return
    if repository.error or not repository.ready:
        yield f"the repository cannot be used: {one_line(repository.error) or 'it has not been fetched yet'}"
    if status.last_sync.error:
        yield f"the last sync was not done: {one_line(status.last_sync.error)}"
    if status.revision_seen != status.revision_applied:
        yield f"{status.revision_seen[:SHORT]} has been seen and is not applied yet"
    if failed := len(status.failures):
        yield "one file or object failed" if failed == 1 else f"{failed} files or objects failed"
    if status.deletions_hash:
        count = len(status.pending_deletions)
        yield f"{_counted(count, 'deletion')} {'waits' if count == 1 else 'wait'} for approval"
    if status.marker_error:
        yield f"the marker of what is synced does not move: {one_line(status.marker_error)}"
    if waiting := found.pending:
        yield f"{_counted(len(waiting), 'workload')} {'is' if len(waiting) == 1 else 'are'} not ready"


def as_data(found: Findings) -> dict[str, Any]:
    """The same as JSON and YAML have it; the keys are documented."""
    status, repository = found.status, found.status.repository
    wrong = problems(found)
    return {
        "healthy": not wrong,
        "problems": wrong,
        "repository": {
            "url": repository.url,
            "branch": repository.branch,
            "paths": list(repository.paths),
            "readOnly": repository.read_only,
            "ready": repository.ready,
            "error": repository.error,
        },
        "revisions": {
            "seen": status.revision_seen,
            "seenAt": time_text(status, "seen_at"),
            "applied": status.revision_applied,
            "marked": status.revision_marked,
            "markerError": status.marker_error,
        },
        "lastSync": _sync_data(status.last_sync) if status.HasField("last_sync") else None,
        "failures": [failure_data(failure) for failure in status.failures],
        "pendingDeletions": [{"object": item.object, "reason": item.reason} for item in status.pending_deletions],
        "deletionsHash": status.deletions_hash,
        "notices": list(status.notices),
        "workloads": {
            "total": found.applied.workloads,
            "ready": found.ready,
            "notReady": [pending_data(item) for item in found.pending],
            "asOf": time_text(status, "workloads_as_of"),
        },
        "automation": {"enabled": status.automation.enabled, "reason": status.automation.reason},
        "scanning": {"enabled": status.scanning.enabled, "reason": status.scanning.reason},
        "agentVersion": found.agent,
        "pluginVersion": found.plugin,
        "restricted": status.restricted,
    }


def time_text(message: Any, field: str) -> str:
    """A moment as RFC 3339 in UTC, to the second; empty where it never was."""
    if not message.HasField(field):
        return ""
    moment = datetime.fromtimestamp(getattr(message, field).seconds, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sync_data(sync: pb.SyncSummary) -> dict[str, Any]:
    return {
        "revision": sync.revision,
        "startedAt": time_text(sync, "started_at"),
        "seconds": round(sync.duration.seconds + sync.duration.nanos / 1e9, 3),
        "objects": sync.objects,
        "applied": sync.applied,
        "unchanged": sync.unchanged,
        "ignored": sync.ignored,
        "deleted": sync.deleted,
        "failed": sync.failed,
        "remaining": sync.remaining,
        "error": sync.error,
    }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
