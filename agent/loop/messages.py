"""What the lanes tell each other, and what both share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from agent.board import Board
from agent.loop.ports import Gauges, Log
from agent.model.jobs import SyncTicket
from agent.model.status import SyncReport
from agent.releases.contract import ChangeTicket


@dataclass(frozen=True, slots=True)
class Revision:
    """Git lane to cluster lane: sync this. `tickets` are the jobs that asked for it."""

    sha: str
    tickets: tuple[SyncTicket, ...] = ()


@dataclass(frozen=True, slots=True)
class Synced:
    """Cluster lane to git lane: this was synced; `hold` says why the marker must not move, empty where it may."""

    sha: str
    report: SyncReport
    hold: str
    tickets: tuple[SyncTicket, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """API to git lane: change git."""

    ticket: ChangeTicket


@dataclass(frozen=True, slots=True)
class Parts:
    """What both lanes share."""

    board: Board
    log: Log
    gauges: Gauges
    stop: threading.Event = field(default_factory=threading.Event)


def hold_of(report: SyncReport) -> str:
    """Why the marker must not move to this revision; empty where it may."""
    if report.error:
        return report.error
    if report.remaining:
        return f"{report.remaining} objects were not reached in time; the next sync goes on"
    if report.holds:
        more = f" and {len(report.holds) - 1} more" if report.holds[1:] else ""
        return f"held by what did not load: {report.holds[0]}{more}"
    return ""
