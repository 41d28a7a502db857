"""Which parts of the agent are at work, and why others are not: what GetStatus tells of them. Pure."""

from __future__ import annotations

from agent.model.status import Feature

READ_ONLY = "--git-readonly: nothing may be written to git"
SCANNING_OFF = "--registry-disable-scanning: no registry is asked"


def automation(*, read_only: bool, scans: bool, trouble: str = "") -> Feature:
    """Whether images are released by themselves, and what is in the way of that."""
    reason = READ_ONLY if read_only else "" if scans else SCANNING_OFF
    return Feature(enabled=not reason, reason=reason or trouble)


def scanning(*, enabled: bool, trouble: str = "") -> Feature:
    """Whether registries are scanned, and what is in the way of some."""
    return Feature(enabled=enabled, reason=trouble if enabled else SCANNING_OFF)
