"""What of the answers a caller may see, by namespaces. Pure.

An object belongs to its namespace, one of the cluster's scope to nobody who does not see everything. What failed as a
file names no object and is shown to all who see anything; a notice is left out where it mentions a namespace that the
caller does not see.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from agent.model.access import Visible
from agent.model.ids import CLUSTER_SCOPE
from agent.model.resources import Failure
from agent.model.status import PendingDeletion, Status, SyncReport
from agent.model.workloads import WorkloadSnapshot

_OWNER = re.compile(r"(?<![^\s'\"(])(<cluster>|[a-z0-9][-a-z0-9.]*):[a-zA-Z0-9]+/[^\s/]")
_WORD = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Details:
    """What of a sync is shown, and whether something is left out."""

    failures: tuple[Failure, ...] = ()
    pending: tuple[PendingDeletion, ...] = ()
    deletions_hash: str = ""
    notices: tuple[str, ...] = ()
    restricted: bool = False


def namespace_of(object_id: str) -> str:
    """The namespace in `namespace:kind/name`; empty for what belongs to the cluster."""
    namespace = object_id.partition(":")[0]
    return "" if namespace == CLUSTER_SCOPE else namespace


def candidates(status: Status, snapshot: WorkloadSnapshot, report: SyncReport | None = None) -> Iterator[str]:
    """Every namespace that an answer may show something of; some more than once.

    `report` is one that is shown besides the last sync.
    """
    yield from (workload.id.namespace for workload in snapshot.workloads)
    yield from (id_.namespace for id_ in status.policies)
    yield from _mentioned(status.last_sync)
    yield from _mentioned(report)


def details(report: SyncReport | None, visible: Visible, known: Iterable[str], notices: Iterable[str] = ()) -> Details:
    """What of a sync is shown to somebody.

    Args:
        report: The sync; None where there was none.
        visible: What they may see.
        known: The namespaces that notices may mention; not looked at where everything is visible.
        notices: More notices than the report's own.
    """
    report = report or SyncReport("", 0.0)
    told = (*report.notices, *notices)
    if visible.everything:
        return Details(report.failures, report.pending_deletions, report.deletions_hash, told)
    names = frozenset({*known, *_mentioned(report)} - visible.namespaces)
    shown = Details(
        tuple(item for item in report.failures if not item.object_id or visible.shows(namespace_of(item.object_id))),
        tuple(item for item in report.pending_deletions if visible.shows(namespace_of(item.object_id))),
        report.deletions_hash if all(map(visible.shows, held(report))) else "",
        tuple(text for text in told if _may_be_told(text, visible, names)),
    )
    whole = (report.failures, report.pending_deletions, told)
    return replace(shown, restricted=(shown.failures, shown.pending, shown.notices) != whole)


def held(report: SyncReport) -> list[str]:
    """The namespaces of the deletions that wait for approval; empty names for what belongs to the cluster."""
    return [namespace_of(item.object_id) for item in report.pending_deletions if item.held]


def approved(report: SyncReport | None, deletions_hash: str) -> list[str]:
    """The namespaces in which an approval of deletions takes the right to give it.

    A hash that nothing held stands for may come to stand for anything: that takes the right everywhere.
    """
    return held(report) if report and report.deletions_hash == deletions_hash else [""]


def workloads(snapshot: WorkloadSnapshot, visible: Visible) -> tuple[WorkloadSnapshot, bool]:
    """The part of the snapshot that may be shown, and whether something is left out."""
    if visible.everything:
        return snapshot, False
    shown = tuple(workload for workload in snapshot.workloads if visible.shows(workload.id.namespace))
    return replace(snapshot, workloads=shown), len(shown) < len(snapshot.workloads)


def _mentioned(report: SyncReport | None) -> Iterator[str]:
    if report is not None:
        yield from (namespace_of(item.object_id) for item in report.failures if item.object_id)
        yield from (namespace_of(item.object_id) for item in report.pending_deletions)


def _may_be_told(text: str, visible: Visible, hidden: frozenset[str]) -> bool:
    """Whether a notice names neither a hidden namespace nor an object of one."""
    owners = (namespace_of(owner) for owner in _OWNER.findall(text))
    return all(map(visible.shows, owners)) and hidden.isdisjoint(_WORD.findall(text))
