"""What is due: which repositories to list and which tags to look at, in which order. Pure.

The rhythm is Flux v1's. Tags are listed every five minutes. A tag that is needed is looked at again an hour after the
first time, then after twice as long whenever it has not moved and after half as long when it has, between five minutes
and seven days. What was never looked at comes before what is due again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.registry.records import RepositoryState, TagState

LIST_EVERY = 300.0
FIRST_REFRESH = 3600.0
MIN_REFRESH = 300.0
MAX_REFRESH = 7 * 24 * 3600.0
RETRY_AFTER = 60.0
"""Seconds after a first failure; each further one doubles them, up to an hour."""
MAX_RETRY = 3600.0


def next_listing(state: RepositoryState | None) -> float:
    """When a repository's tags are to be listed next, in Unix seconds; 0 for at once."""
    if state is None or not (state.listed_at or state.failed_at):
        return 0.0
    if state.failures:
        return state.failed_at + min(RETRY_AFTER * 2.0 ** min(state.failures - 1, 20), MAX_RETRY)
    return state.listed_at + LIST_EVERY


def next_due(state: RepositoryState | None, wanted: Iterable[str]) -> float:
    """When a repository or one of the wanted tags is due, in Unix seconds; 0 for at once."""
    listing = next_listing(state)
    if state is None or state.error:
        return listing
    looks = (state.tags[tag] for tag in wanted if tag in state.tags)
    return min([listing, *(look.checked_at + look.refresh if look.checked_at else 0.0 for look in looks)])


def due_tags(state: RepositoryState, wanted: Iterable[str], now: float) -> tuple[str, ...]:
    """The tags to look at now: those never looked at first, then those whose time has come, longest overdue first."""
    new, old = [], []
    for tag in wanted:
        known = state.tags.get(tag)
        if known is None:
            continue
        if not known.checked_at:
            new.append(tag)
        elif known.checked_at + known.refresh <= now:
            old.append((known.checked_at + known.refresh, tag))
    return (*new, *(tag for _, tag in sorted(old)))


def looked_at(before: TagState, digest: str, now: float) -> TagState:
    """A tag after a look that succeeded."""
    if not before.digest:
        refresh = FIRST_REFRESH
    elif before.digest == digest:
        refresh = min(before.refresh * 2, MAX_REFRESH)
    else:
        refresh = max(before.refresh / 2, MIN_REFRESH)
    return TagState(digest, now, refresh)


def look_failed(before: TagState, error: str, now: float) -> TagState:
    """A tag after a look that failed: what was known stays, the next look comes later each time."""
    refresh = min(max(before.refresh * 2, RETRY_AFTER), MAX_RETRY)
    return replace(before, checked_at=now, refresh=refresh, error=error)


def listed(before: RepositoryState | None, name: str, tags: Iterable[str], now: float) -> RepositoryState:
    """A repository after its tags were listed: what is known of tags that are still there stays."""
    known: Mapping[str, TagState] = before.tags if before else {}
    return RepositoryState(name, {tag: known.get(tag, _NEW) for tag in tags}, listed_at=now)


def listing_failed(before: RepositoryState | None, name: str, error: str, now: float) -> RepositoryState:
    """A repository after its tags could not be listed: what is known stays."""
    state = before or RepositoryState(name)
    return replace(state, failed_at=now, failures=state.failures + 1, error=error)


def believed(state: RepositoryState, now: float) -> RepositoryState:
    """A state that was kept: what a clock that was ahead has put into the future counts as of now."""

    def tag(seen: TagState) -> TagState:
        return replace(seen, checked_at=now, refresh=min(seen.refresh, MAX_REFRESH)) if seen.checked_at > now else seen

    if max(state.listed_at, state.failed_at) > now:
        state = replace(state, listed_at=min(state.listed_at, now), failed_at=min(state.failed_at, now))
    if any(seen.checked_at > now for seen in state.tags.values()):
        state = replace(state, tags={name: tag(seen) for name, seen in state.tags.items()})
    return state


_NEW = TagState()
