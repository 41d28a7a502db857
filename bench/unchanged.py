"""The same sync again, with nothing changed: seconds, and what it asks of the API server."""

from __future__ import annotations

from collections.abc import Sequence

from figures import Row, median, seconds, spread
from first_sync import Raw
from repository import Content
from stage import Asked, Stage

LIMIT = 1.0


def measure(stage: Stage) -> Asked:
    """Syncs once more."""
    stage.settle()
    return stage.ask_for_sync()


def measure_restart(stage: Stage) -> Asked:
    """Restarts the agent, which syncs at once and has forgotten everything."""
    stage.settle()
    return stage.restart_agent()


def row(content: Content, raws: Sequence[Raw], asked: Sequence[Asked]) -> Row:
    """One LIST page per 500 objects and kind, and nothing else."""
    pages = content.pages()
    engine = seconds(median(one.sync.engine for one in asked))
    exact = all(one.calls.lists == pages and not one.calls.writes for one in asked)
    return Row(
        "sync again, nothing changed",
        "kubectl flux sync",
        f"{spread([one.command for one in asked])}; the sync itself {engine}; {asked[-1].calls}",
        f"{spread([raw.list for raw in raws])}, {raws[-1].pages} pages",
        f"≤ {LIMIT:.1f} s, no write, {sum(pages.values())} LIST pages",
        exact and median(one.command for one in asked) <= LIMIT,
    )


def restart_row(asked: Sequence[Asked]) -> Row:
    """Nothing is promised but that nothing is written."""
    writes = asked[-1].calls.writes
    sent = ", ".join(f"{number} x {what}" for what, number in writes.items()) or "no write"
    return Row(
        "the same after a restart of the agent",
        "flux-agent",
        f"the sync itself {spread([one.sync.engine for one in asked])}; {sent}",
        target="no write",
        reached=not any(one.calls.writes for one in asked),
    )
