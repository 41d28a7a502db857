"""What became of each workload in a change of git: the table, the words beside it, and the data for scripts. Pure.

The table is Flux v1's, byte for byte. What v1 did not say, why a container was left alone and why nothing changed at
all, stands on stderr or in the table of a change that changed nothing, which v1 did not print.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from kubectl_flux.errors import PluginError
from kubectl_flux.output import table
from kubectl_flux.progress import SHORT, failure_data, one_line
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

HEADERS = ("WORKLOAD ", "STATUS ", "UPDATES")
"""With v1's trailing spaces."""
SUCCESS, FAILED, SKIPPED, IGNORED = "success", "failed", "skipped", "ignored"
NOTHING_TO_DO = "Nothing to do: git has it so already"
MOST_NOTES = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a change is shown, and how.

    Attributes:
        verbosity: 1 shows what was skipped, 2 also what was ignored.
        named: The workloads that the person named; none for all.
        output: `json` or `yaml`, or empty for the table.
        must_change: Whether it is a failure that nothing had to be changed, and so to be explained.
    """

    verbosity: int = 0
    named: Collection[str] = ()
    output: str = ""
    must_change: bool = False


def is_idle(job: pb.Job) -> bool:
    """Whether nothing had to be changed, and nothing failed."""
    done = job.change
    return job.state == pb.JOB_STATE_SUCCEEDED and not done.commit and not _count(done, SUCCESS, FAILED)


def rows(job: pb.Job, shown: Shown) -> list[pb.WorkloadOutcome]:
    """The workloads that the table shows.

    Where nothing had to be changed and that is a failure, what was skipped is shown, and what was named and ignored. A
    success that never reached git is none, and is left out.
    """
    done = job.change
    reached = bool(done.commit) or done.dry_run
    explains = shown.must_change and is_idle(job)
    level = max(shown.verbosity, 1) if explains else shown.verbosity

    def is_shown(outcome: pb.WorkloadOutcome) -> bool:
        match outcome.status:
            case "success":
                return reached
            case "skipped":
                return level >= 1
            case "ignored":
                return level >= 2 or (explains and outcome.workload in shown.named)
        return True

    return [outcome for outcome in done.outcomes if is_shown(outcome)]


def table_of(outcomes: Collection[pb.WorkloadOutcome]) -> str:
    """The workloads with what became of each: its reason first, then a line for each container that changes."""
    cells = [HEADERS]
    for outcome in outcomes:
        reason = [one_line(outcome.reason)] if outcome.reason else []
        first, *others = [*reason, *map(update_text, outcome.containers)] or [""]
        cells.append((outcome.workload, outcome.status, first))
        cells.extend(("", "", other) for other in others)
    return table(cells)


def update_text(change: pb.ContainerChange) -> str:
    """One container's image before, and its tag after."""
    return f"{change.container}: {change.current} -> {tag_of(change.target)}"


def tag_of(reference: str) -> str:
    """What of a reference comes after the name: its tag, its digest, or both; the name where it has neither."""
    folder, slash, last = reference.rpartition("/")
    name, at, digest = last.partition("@")
    name, colon, tag = name.partition(":")
    if colon:
        return f"{tag}{at}{digest}"
    return digest if at else f"{folder}{slash}{name}"


def notes(job: pb.Job, outcomes: Collection[pb.WorkloadOutcome], shown: Shown) -> Iterator[str]:
    """What is told beside the table: what people should know, and with -v what the reasons leave out."""
    for notice in job.change.notices:
        yield one_line(notice) if notice.startswith("Warning: ") else f"Note: {one_line(notice)}"
    if is_idle(job) and not shown.must_change:
        yield NOTHING_TO_DO if shown.verbosity else f"{NOTHING_TO_DO}; -v shows each workload"
    if not shown.verbosity and not (shown.must_change and is_idle(job)):
        return
    details = [f"{outcome.workload}: {one_line(text)}" for outcome in outcomes for text in outcome.details]
    yield from details[:MOST_NOTES]
    if len(details) > MOST_NOTES:
        yield f"and {len(details) - MOST_NOTES} more"


def error_of(job: pb.Job, shown: Shown) -> PluginError | None:
    """Why the command fails; None where it does not."""
    done = job.change
    if job.state == pb.JOB_STATE_FAILED:
        return PluginError(job.error or "the change failed", hint=job.hint)
    failed = _count(done, FAILED)
    if failed:
        what = "one workload" if failed == 1 else f"{failed} workloads"
        rest = "" if done.commit or done.dry_run else "; nothing was changed"
        return PluginError(f"{what} could not be changed{rest}", hint="The table tells why.")
    if shown.must_change and not done.dry_run and is_idle(job):
        more = "" if shown.verbosity > 1 else ", and -vv what was left out"
        hint = f"The table tells why{more}." if done.outcomes else "There are no workloads in the repository."
        return PluginError("no changes made in repo", hint=hint)
    return None


def as_data(job: pb.Job, progress: pb.RevisionProgress | None, *, ready: bool) -> dict[str, Any]:
    """The same as JSON and YAML have it; the keys are documented.

    Args:
        job: The change.
        progress: How far its commit has come; None where nobody looked.
        ready: Whether the workloads were seen to be rolled out.
    """
    done = job.change
    return {
        "job": job.id,
        "dryRun": done.dry_run,
        "commit": done.commit,
        "applied": progress is not None and progress.stage >= pb.REVISION_STAGE_APPLIED,
        "ready": ready,
        "workloads": [_outcome_data(outcome) for outcome in done.outcomes],
        "failures": [failure_data(failure) for failure in progress.failures] if progress else [],
        "notices": list(done.notices),
        "error": job.error,
    }


def short_commit(job: pb.Job) -> str:
    """The commit as people write it; empty where there is none."""
    return job.change.commit[:SHORT]


def changed(job: pb.Job) -> frozenset[str]:
    """The workloads that the commit changes."""
    return frozenset(outcome.workload for outcome in job.change.outcomes if outcome.status == SUCCESS)


def _count(done: pb.ChangeJob, *statuses: str) -> int:
    return sum(outcome.status in statuses for outcome in done.outcomes)


def _outcome_data(outcome: pb.WorkloadOutcome) -> dict[str, Any]:
    return {
        "workload": outcome.workload,
        "status": outcome.status,
        "reason": outcome.reason,
        "containers": [
            {"container": change.container, "current": change.current, "target": change.target}
            for change in outcome.containers
        ],
        "details": list(outcome.details),
    }
