"""What of the answers a caller may see, by namespaces. Pure.

An object belongs to its namespace, one of the cluster's scope to nobody who does not see everything. What failed as a
file names no object and is shown to all who see anything; a notice is left out where it mentions a namespace that the
caller does not see. A single text, such as why a sync failed, is cut where it names an object or a namespace that is
not theirs, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from agent.model.access import Visible
from agent.model.ids import CLUSTER_SCOPE
from agent.model.resources import Failure
from agent.model.status import PendingDeletion, Status, SyncReport
from agent.model.workloads import WorkloadSnapshot

ELSEWHERE = "something that you may not see is in the way"
"""Stands for a text that names what belongs to somebody else."""

_OWNER = re.compile(r"(?<![^\s'\"(])(<cluster>|[a-z0-9][-a-z0-9.]*):[a-zA-Z][a-zA-Z0-9]*/[^\s/]")
_PLACE = re.compile(r"(?:/namespaces/|\bnamespaces? \"|\bin namespace )([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)")
_OPENING = re.compile(r"([A-Za-z ,]+: ).*", re.DOTALL)
_SECRET = re.compile(r"Secret ([a-z0-9-]+)/[a-z0-9.-]+")
_WORD = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Discretion:
    """What texts may tell somebody, by what they may see."""

    visible: Visible

    def told(self, text: str) -> str:
        """The text; where it names what they may not see its first words, as far as these name nothing, and a sentence.

        So `held by what did not load: …` still tells what kind of trouble it is.
        """
        text = self.without_secrets(text)
        if self.visible.everything or self._tells(text):
            return text
        opening = _OPENING.fullmatch(text)
        return f"{opening[1] if opening and self._tells(opening[1]) else ''}{ELSEWHERE}"

    def _tells(self, text: str) -> bool:
        owners = (namespace_of(owner) for owner in _OWNER.findall(text))
        return all(map(self.visible.shows, (*owners, *_PLACE.findall(text))))

    def without_secrets(self, text: str) -> str:
        """The text without the names of others' Secrets: images are known to all, who may pull them is not."""
        if self.visible.everything:
            return text
        return _SECRET.sub(
            lambda found: found[0] if self.visible.shows(found[1]) else "a Secret of another namespace", text
        )


OPEN = Discretion(Visible())
"""Towards somebody who sees everything."""


@dataclass(frozen=True, slots=True)
class Details:
    """What of a sync is shown, and whether something is left out; `discretion` is for the texts beside it."""

    failures: tuple[Failure, ...] = ()
    pending: tuple[PendingDeletion, ...] = ()
    deletions_hash: str = ""
    notices: tuple[str, ...] = ()
    restricted: bool = False
    discretion: Discretion = field(default=OPEN, compare=False)


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
    discretion = Discretion(visible)
    shown = Details(
        tuple(item for item in report.failures if not item.object_id or visible.shows(namespace_of(item.object_id))),
        tuple(
            replace(item, reason=discretion.told(item.reason))
            for item in report.pending_deletions
            if visible.shows(namespace_of(item.object_id))
        ),
        report.deletions_hash if all(map(visible.shows, held(report))) else "",
        tuple(text for text in told if _may_be_told(text, visible, names)),
        discretion=discretion,
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
