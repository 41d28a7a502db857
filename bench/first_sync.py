"""The first sync of many apps, beside bare parallel server-side applies of the same manifests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from figures import Row, median, spread
from repository import Content
from stage import Asked, Stage

FACTOR = 1.2
ALLOWANCE = 3.0


@dataclass(frozen=True, slots=True)
class Raw:
    """The raw limit of one round: seconds to apply and to list everything, and how much that was."""

    apply: float
    list: float
    objects: int
    pages: int


def raw(content: Content) -> Raw:
    """Measures the raw limit on a stage of its own."""
    with Stage() as stage:
        folder = stage.manifests(content)
        stage.settle()
        applied = stage.inside("apply", folder)
        stage.settle()
        listed = stage.inside("list", folder)
        return Raw(applied["seconds"], listed["seconds"], applied["objects"], listed["pages"])


def measure(stage: Stage, content: Content) -> Asked:
    """Pushes everything at once into the agent's empty repository, and syncs."""
    stage.remote.push(content.files)
    return stage.ask_for_sync()


def row(content: Content, raws: Sequence[Raw], asked: Sequence[Asked]) -> Row:
    """The whole command counts: fetch, sync, marker, and the way through the API server."""
    limit = median(raw.apply for raw in raws)
    command = median(one.command for one in asked)
    engine = median(one.sync.engine for one in asked)
    allowed = max(FACTOR * limit, limit + ALLOWANCE)
    return Row(
        f"first sync, {content.counts['deployments']:,} apps ({content.objects:,} objects)",
        "kubectl flux sync",
        f"{spread([one.command for one in asked])}, {command / limit:.2f} x raw; the sync itself {engine:.1f} s",
        spread([raw.apply for raw in raws]),
        f"≤ {allowed:.1f} s (the larger of 1.2 x and + 3 s)",
        command <= allowed and all(one.sync.applied == content.objects for one in asked),
    )
