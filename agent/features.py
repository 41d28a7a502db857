"""Which parts of the agent are at work, and why others are not: what GetStatus tells of them. Pure."""

from __future__ import annotations

from agent.model.status import Feature

READ_ONLY = "--git-readonly: nothing may be written to git"
NO_REPOSITORY = "no git repository is configured"
SCANNING_OFF = "--registry-disable-scanning: no registry is asked"


def automation(*, repository: bool, read_only: bool, scans: bool) -> Feature:
    """Whether images are released by themselves, and what is in the way of that."""
    obstacles = ((NO_REPOSITORY, not repository), (READ_ONLY, read_only), (SCANNING_OFF, not scans))
    reason = next((reason for reason, present in obstacles if present), "")
    return Feature(enabled=not reason, reason=reason)


def scanning(*, enabled: bool, trouble: str = "", brief: str = "") -> Feature:
    """Whether registries are scanned, and what is in the way of some; `brief` is that without names."""
    return Feature(enabled, trouble, brief) if enabled else Feature(reason=SCANNING_OFF)
