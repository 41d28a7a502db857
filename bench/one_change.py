"""One line changed in one file and pushed: how long until the cluster has it."""

from __future__ import annotations

from collections.abc import Sequence

from figures import Row, median, seconds
from repository import Content, with_new_image
from stage import Asked, Stage

TIMES = 3
LIMIT = 2.0


def measure(stage: Stage, content: Content) -> list[Asked]:
    """Pushes another image tag for the same app, a few times, and syncs after each."""
    return [_once(stage, content, number) for number in range(1, TIMES + 1)]


def _once(stage: Stage, content: Content, number: int) -> Asked:
    path, text = with_new_image(content, number)
    stage.remote.push({path: text})
    stage.settle()
    return stage.ask_for_sync()


def row(asked: Sequence[Asked]) -> Row:
    """From the end of the fetch to the end of the sync counts."""
    applied = median(one.sync.seen_to_synced for one in asked)
    return Row(
        "one line changed → applied, after the fetch",
        "git push; kubectl flux sync",
        f"{seconds(applied)}, the whole command {seconds(median(one.command for one in asked))}; {asked[-1].calls}",
        target=f"≤ {LIMIT:.0f} s",
        reached=applied <= LIMIT and all(one.sync.applied == 1 for one in asked),
    )
