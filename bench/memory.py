"""How much memory the agent needs: after the syncs of many apps, and for many ConfigMaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import first_sync
import unchanged
from figures import Row, seconds
from repository import Content, config_maps
from stage import Asked, Stage

LIMIT = 150
LARGE_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Large:
    """Many ConfigMaps: the first sync, one with nothing changed, and the memory after both in MB."""

    objects: int
    first: Asked
    again: Asked
    memory: Mapping[str, float]


def row(content: Content, memories: Sequence[Mapping[str, float]]) -> Row:
    """The worst round counts."""
    return _row(f"memory, {content.objects:,} objects", "kubectl flux sync, twice", memories, LIMIT)


def measure_large(number: int) -> Large:
    """Syncs so many ConfigMaps on a stage of its own, twice."""
    content = config_maps(number)
    with Stage() as stage:
        stage.start_agent()
        first = first_sync.measure(stage, content)
        again = unchanged.measure(stage)
        return Large(content.objects, first, again, stage.memory())


def large_rows(large: Large) -> list[Row]:
    """Memory, which is promised, and time, which is told."""
    sync = Row(f"first sync, {large.objects:,} objects (ConfigMaps)", "kubectl flux sync", seconds(large.first.command))
    again = Row(
        f"sync again, {large.objects:,} objects",
        "kubectl flux sync",
        f"{seconds(large.again.command)}; the sync itself {seconds(large.again.sync.engine)}; {large.again.calls}",
    )
    return [
        sync,
        again,
        _row(f"memory, {large.objects:,} objects", "kubectl flux sync, twice", [large.memory], LARGE_LIMIT),
    ]


def _row(work: str, command: str, memories: Sequence[Mapping[str, float]], limit: int) -> Row:
    most, now = (max(memory[name] for memory in memories) for name in ("VmHWM", "VmRSS"))
    return Row(
        work,
        command,
        f"{most:.0f} MB at most, {now:.0f} MB after",
        target=f"≤ {limit} MB",
        reached=most <= limit,
    )
