"""The agent under its callers: how long it takes to answer while it syncs, and whether it does beside many watchers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import Row, median, seconds
from histogram import Buckets, percentile, upper_bound
from stage import Stage

CALLERS = Path(__file__).with_name("callers.py")
RATE = 20
CONNECTIONS = 4
PROBES = 50
SHARE = 0.99
CALL_LIMIT = 0.200
PROBE_LIMIT = 1.0


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls during a sync.

    Attributes:
        sync: Seconds from the request to the end of the sync.
        seconds: What the callers waited, by method.
        failures: What those that failed said.
        buckets: The agent's own histogram of these methods.
    """

    sync: float
    seconds: Mapping[str, Sequence[float]]
    failures: Sequence[str]
    buckets: Buckets


@dataclass(frozen=True, slots=True)
class Probes:
    """Probes beside watchers.

    Attributes:
        seconds: Of each probe.
        watchers: How many there were.
        waiting: How many of them the agent held waiting at the end.
        refused: How often one was refused for want of room.
        errors: What else went wrong with them.
    """

    seconds: Sequence[float]
    watchers: int
    waiting: int
    refused: int
    errors: Sequence[str]


def measure_calls(stage: Stage) -> Calls:
    """Lets callers ask for the sync of what was pushed, and for other things while it goes on."""
    return Calls(**_callers(stage, "sync", stage.agent.listen, str(RATE), str(CONNECTIONS)))


def measure_probes(stage: Stage, watchers: int) -> Probes:
    """Asks /healthz beside watchers."""
    stage.settle()
    found = _callers(stage, "probe", stage.agent.listen, stage.agent.listen_grpc, str(watchers), str(PROBES))
    return Probes(**found, watchers=watchers)


def _callers(stage: Stage, *arguments: str) -> dict[str, Any]:
    return stage.script(CALLERS, *arguments, environment={"FLUX_TOKEN": stage.token})


def calls_row(apps: int, calls: Calls) -> Row:
    """The agent's own histogram counts where its buckets are fine enough, else what the callers waited."""
    waited = [value for values in calls.seconds.values() for value in values]
    slow, bound = percentile(waited, SHARE), upper_bound(calls.buckets, SHARE)
    by_method = ", ".join(f"{name} {seconds(percentile(found, SHARE))}" for name, found in calls.seconds.items())
    own = f"p99 ≤ {seconds(bound)} by the agent's own histogram"
    return Row(
        f"{len(waited)} calls during a first sync of {apps:,} apps, {RATE} a second over {CONNECTIONS} connections",
        "ListWorkloads, GetStatus, GetJob in turn",
        f"{own}; as the callers waited {seconds(slow)} ({by_method}), the slowest {seconds(max(waited))}; "
        f"{len(calls.failures) or 'none'} failed; the sync took {seconds(calls.sync)}",
        target=f"p99 < {seconds(CALL_LIMIT)}",
        reached=min(slow, bound) < CALL_LIMIT and not calls.failures,
    )


def probes_row(probes: Probes) -> Row:
    """The slowest counts."""
    return Row(
        f"/healthz beside {probes.watchers} watchers, {len(probes.seconds)} probes",
        "GET /healthz over a new connection each",
        f"the slowest {seconds(max(probes.seconds))}, the median {seconds(median(probes.seconds))}; "
        f"{probes.waiting} held waiting, the others refused for want of room and back a second later "
        f"({probes.refused} times)" + (f"; {len(probes.errors)} broke" if probes.errors else ""),
        target=f"all within {seconds(PROBE_LIMIT)}",
        reached=max(probes.seconds) <= PROBE_LIMIT and not probes.errors,
    )
