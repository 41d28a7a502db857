"""Desired and live → what to do with each object, and why. Pure: the engine performs it, the API can show it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.model.ids import ObjectKey
from agent.sync.desired import Desired
from agent.sync.live import Live
from agent.sync.marks import Marker


class Verb(enum.Enum):
    """What happens to an object of git."""

    APPLY = "apply"
    KEEP = "keep"
    IGNORE = "ignore"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Step:
    """One object, what to do with it, and why."""

    desired: Desired
    verb: Verb
    reason: str
    live: Live | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, in the order of ranks and ids."""

    steps: tuple[Step, ...]

    def of(self, verb: Verb) -> tuple[Step, ...]:
        """The steps of one verb, in order."""
        return tuple(step for step in self.steps if step.verb is verb)

    def ranks(self) -> list[tuple[Step, ...]]:
        """The steps that apply, rank by rank; within a rank the order does not matter."""
        by_rank: dict[int, list[Step]] = {}
        for step in self.of(Verb.APPLY):
            by_rank.setdefault(step.desired.rank, []).append(step)
        return [tuple(by_rank[rank]) for rank in sorted(by_rank)]


def plan(desired: Iterable[Desired], live: Mapping[ObjectKey, Live], marker: Marker) -> Plan:
    """Decide for every object of git. `live` holds what the cluster has of them, marked or not."""
    ordered = sorted(desired, key=lambda item: (item.rank, item.key))
    return Plan(tuple(_step(item, live.get(item.key), marker) for item in ordered))


def _step(item: Desired, live: Live | None, marker: Marker) -> Step:
    if item.ignored:
        return Step(item, Verb.IGNORE, "ignored in git", live)
    if live is None:
        return Step(item, Verb.APPLY, "is not in the cluster")
    if live.ignored:
        return Step(item, Verb.IGNORE, "ignored in the cluster", live)
    owner = live.owner or (
        f"the source {live.source}" if live.source and not marker.is_same_source(live.source) else ""
    )
    if owner:
        return Step(item, Verb.REFUSE, f"belongs to {owner}", live)
    if live.checksum != item.checksum:
        return Step(item, Verb.APPLY, "differs from git", live)
    if not live.covered:
        return Step(item, Verb.APPLY, "was changed in the cluster", live)
    return Step(item, Verb.KEEP, "is as git says", live)
