"""What may be deleted, what waits, and why. Pure: the brake of garbage collection.

Looked at is only what carries its own correct mark. A deletion waits where the revision did not load as a whole,
where the kind holds data that cannot be brought back, where the source was changed, and where unusually much would
go at once: a hash over the uids of what waits lets exactly that through.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from agent.model.errors import UsageError
from agent.model.status import PendingDeletion
from agent.sync.live import Live
from agent.sync.ranks import rank_of

_ALL_OF = 3
"""A source with this many objects or more does not lose all of them at once."""


@dataclass(frozen=True, slots=True)
class Limit:
    """More than `count` objects and more than `percent` of what the source holds are too many; None: never."""

    percent: float | None = 20.0
    count: int | None = 10

    def exceeded(self, deletions: int, held_by_source: int) -> bool:
        """Whether deleting this many of that many must be asked for."""
        if self.percent is None and self.count is None:
            return False
        over_count = self.count is None or deletions > self.count
        over_percent = self.percent is None or deletions * 100 > self.percent * held_by_source
        return over_count and over_percent


NO_LIMIT = Limit(None, None)


def limit(text: str) -> Limit:
    """Read `--sync-garbage-collection-limit`: `20%,10`, either part alone, or `none`.

    Raises:
        UsageError: The text is something else.
    """
    if text.strip() == "none":
        return NO_LIMIT
    percent, count = None, None
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)(%?)\s*", part)
        if match is None or (not match[2] and "." in match[1]):
            raise UsageError(f"{text!r} is no limit for deletions", hint="write it as 20%,10 or none")
        if match[2]:
            percent = float(match[1])
        else:
            count = int(match[1])
    return Limit(percent, count)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An object that left git. `orphan`: it came from this source when that was another repository, branch or path."""

    live: Live
    orphan: bool = False


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decides about deletions besides the objects themselves.

    Attributes:
        holds: Why nothing may be deleted now; empty where it may.
        dry_run: Whether deletions are only told.
        owned: How many objects of the source the cluster holds.
        staying: How many of them git names.
        approved: The hashes that were approved.
        approved_uids: The objects that were approved before and are still there.
    """

    limit: Limit
    held_kinds: frozenset[str]
    holds: str = ""
    dry_run: bool = False
    owned: int = 0
    staying: int = 0
    approved: frozenset[str] = frozenset()
    approved_uids: frozenset[str] = frozenset()

    def too_many(self, deletions: int) -> bool:
        """Whether deleting this many at once must be asked for: over the limit, or nothing of the source would stay."""
        if not deletions or self.limit == NO_LIMIT:
            return False
        return self.limit.exceeded(deletions, self.owned) or (self.owned >= _ALL_OF and not self.staying)


@dataclass(frozen=True, slots=True)
class Pruning:
    """What goes, in the order of going, what waits, and the hash that lets through what waits for approval.

    `approved` are the uids of what goes because somebody approved it.
    """

    delete: tuple[Live, ...] = ()
    pending: tuple[PendingDeletion, ...] = ()
    approval: str = ""
    approved: frozenset[str] = frozenset()


def decide(candidates: Iterable[Candidate], circumstances: Circumstances) -> Pruning:
    """Decide about everything that left git."""
    found = sorted(candidates, key=lambda candidate: candidate.live.key)
    going = [candidate for candidate in found if not candidate.live.deleting]
    leaving = [
        PendingDeletion(str(item.live.key), "is being deleted", item.live.uid) for item in found if item.live.deleting
    ]
    if circumstances.holds or circumstances.dry_run:
        reason = circumstances.holds or "only told: --sync-garbage-collection-dry is set"
        return Pruning(pending=(*leaving, *(_pending(item, reason) for item in going)))
    cleared = [item for item in going if item.live.uid in circumstances.approved_uids]
    waiting = [(item, _held_alone(item, circumstances)) for item in going if item not in cleared]
    held = [(item, reason) for item, reason in waiting if reason]
    rest = [item for item, reason in waiting if not reason]
    if circumstances.too_many(len(rest)):
        reason = f"held: {len(rest)} of {circumstances.owned} objects would go at once"
        held += [(item, reason) for item in rest]
        rest = []
    approval = approval_hash(item.live.uid for item, _ in held) if held else ""
    if approval in circumstances.approved:
        cleared += [item for item, _ in held]
        held, approval = [], ""
    pending = (*leaving, *(_pending(item, reason, held=True) for item, reason in held))
    order = _in_order(item.live for item in (*cleared, *rest))
    return Pruning(order, pending, approval, frozenset(item.live.uid for item in cleared))


def approval_hash(uids: Iterable[str]) -> str:
    """Stands for exactly these objects, whatever the revision: 12 hexadecimal digits."""
    return hashlib.sha256("\n".join(sorted(uids)).encode()).hexdigest()[:12]


def _held_alone(item: Candidate, circumstances: Circumstances) -> str:
    kind = item.live.key.kind
    if item.orphan:
        return "orphaned: it came from another repository, branch or path of this source"
    return f"held: deleting a {kind} cannot be undone" if kind in circumstances.held_kinds else ""


def _pending(item: Candidate, reason: str, *, held: bool = False) -> PendingDeletion:
    return PendingDeletion(str(item.live.key), reason, item.live.uid, held)


def _in_order(objects: Iterable[Live]) -> tuple[Live, ...]:
    """Reverse rank: what others stand on goes last."""
    return tuple(sorted(objects, key=lambda live: (-rank_of(live.key.group, live.key.kind), live.key)))
