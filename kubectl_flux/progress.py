"""How far a commit has come, judged and put into words. Pure.

A commit is seen, then applied, then its workloads roll out. What is told of it: a line for each of these as it is
reached, and between them what is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

SHORT = 7
FULL = 40
"""Digits of a whole commit id."""
MOST_NAMED = 3
"""Workloads that the line of what is waited for names."""

_STAGES = {
    pb.REVISION_STAGE_UNKNOWN: "unknown",
    pb.REVISION_STAGE_SEEN: "seen",
    pb.REVISION_STAGE_APPLIED: "applied",
    pb.REVISION_STAGE_READY: "ready",
}


class Goal(NamedTuple):
    """What is waited for.

    Attributes:
        synced: Whether it is enough that everything was applied without a failure.
        namespace: Where failures and workloads count; empty for everywhere.
        workloads: The only workloads that count; none for all.
    """

    synced: bool = False
    namespace: str = ""
    workloads: frozenset[str] = frozenset()

    def counts(self, identity: str) -> bool:
        """Whether an object counts; a file counts wherever its objects belong."""
        if self.workloads and identity:
            return identity in self.workloads
        return not (self.namespace and identity) or identity.partition(":")[0] == self.namespace

    def __str__(self) -> str:
        return "applied" if self.synced else "rolled out"


class Entry(NamedTuple):
    """One line: a milestone that stays, or what is waited for at present."""

    word: str
    text: str
    stays: bool = True


def short(progress: pb.RevisionProgress) -> str:
    """What the commit is called: its short id, else what was asked for."""
    if progress.revision:
        return progress.revision[:SHORT]
    return progress.ref[:SHORT] if len(progress.ref) == FULL else progress.ref or "the newest revision"


def failures_of(progress: pb.RevisionProgress, goal: Goal) -> list[pb.Failure]:
    """What failed of it and counts; nothing before it was applied, because the agent is still at it."""
    if progress.stage < pb.REVISION_STAGE_APPLIED:
        return []
    return [failure for failure in progress.failures if goal.counts(failure.object)]


def pending_of(progress: pb.RevisionProgress, goal: Goal) -> list[pb.PendingRollout]:
    """The workloads that are waited for; none where nobody waits for rollouts."""
    return [] if goal.synced else [item for item in progress.pending if goal.counts(item.workload)]


def is_reached(progress: pb.RevisionProgress, goal: Goal) -> bool:
    """Whether it has come as far as it should."""
    if progress.stage < pb.REVISION_STAGE_APPLIED or failures_of(progress, goal):
        return False
    return goal.synced or not (pending_of(progress, goal) or progress.error)


def stuck(progress: pb.RevisionProgress, goal: Goal) -> list[pb.PendingRollout]:
    """The workloads whose rollout the cluster calls failed."""
    return [item for item in pending_of(progress, goal) if item.status == "error"]


def entries(progress: pb.RevisionProgress, goal: Goal) -> Iterator[Entry]:
    """What there is to tell, in order: the milestones reached, and what is waited for."""
    name = short(progress)
    if progress.stage < pb.REVISION_STAGE_SEEN:
        yield Entry("unknown", f"{name}: {one_line(progress.error or 'the agent has not seen it yet')}", stays=False)
        return
    yield Entry("seen", name)
    if progress.stage < pb.REVISION_STAGE_APPLIED:
        if progress.error:
            yield Entry("waiting", one_line(progress.error), stays=False)
        return
    yield Entry("applied", name)
    if is_reached(progress, goal):
        if not goal.synced:
            yield Entry("ready", f"{_counted(progress.workloads)} rolled out" if not goal.namespace else "rolled out")
    elif not failures_of(progress, goal):
        yield Entry("waiting", _waiting(progress, goal), stays=False)


def pending_line(item: pb.PendingRollout) -> str:
    """One workload that is not rolled out, and why not."""
    rollout = item.rollout
    numbers = f", {rollout.updated} of {rollout.desired} updated, {rollout.available} available"
    if rollout.outdated:
        numbers += f", {rollout.outdated} outdated"
    why = "".join(f": {one_line(message)}" for message in rollout.messages[:1])
    return f"{item.workload}: {item.status}{numbers if rollout.desired or rollout.updated else ''}{why}"


def as_data(progress: pb.RevisionProgress) -> dict[str, Any]:
    """The same as JSON has it; the keys are documented."""
    return {
        "ref": progress.ref,
        "revision": progress.revision,
        "stage": _STAGES.get(progress.stage, "unknown"),
        "failures": [failure_data(failure) for failure in progress.failures],
        "pending": [pending_data(item) for item in progress.pending],
        "workloads": progress.workloads,
        "error": progress.error,
        "restricted": progress.restricted,
    }


def failure_data(failure: pb.Failure) -> dict[str, Any]:
    """One failed object or file."""
    return {
        "object": failure.object,
        "path": failure.path,
        "line": failure.line,
        "reason": failure.reason,
        "commit": failure.commit,
        "author": failure.author,
    }


def pending_data(item: pb.PendingRollout) -> dict[str, Any]:
    """One workload that is not rolled out."""
    rollout = item.rollout
    return {
        "workload": item.workload,
        "status": item.status,
        "rollout": {
            "desired": rollout.desired,
            "updated": rollout.updated,
            "ready": rollout.ready,
            "available": rollout.available,
            "outdated": rollout.outdated,
            "messages": list(rollout.messages),
        },
    }


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


def _waiting(progress: pb.RevisionProgress, goal: Goal) -> str:
    pending = pending_of(progress, goal)
    if not pending:
        return one_line(progress.error)
    done = f"{progress.workloads - len(pending)} of {progress.workloads} rolled out; " if not goal.namespace else ""
    return done + _named(pending)


def _named(pending: Sequence[pb.PendingRollout]) -> str:
    told = [f"{item.workload} {item.status}{_share(item.rollout)}" for item in pending[:MOST_NAMED]]
    more = [f"{len(pending) - MOST_NAMED} more"] if len(pending) > MOST_NAMED else []
    return ", ".join(told + more)


def _share(rollout: pb.Rollout) -> str:
    """Pods of the new revision that are available, of those asked for: the old ones are available for the most part."""
    done = max(0, min(rollout.updated, rollout.available - rollout.outdated))
    return f" {done}/{rollout.desired}" if rollout.desired else ""


def _counted(number: int) -> str:
    return f"{number} workload{'s' * (number != 1)}"
