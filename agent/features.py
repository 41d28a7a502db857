"""Which parts of the agent are at work, and why others are not: what GetStatus tells of them. Pure."""

from __future__ import annotations

from agent.model.status import Feature

AUTOMATION_LATER = "image automation comes in a later release"
SCANNING_OFF = "--registry-disable-scanning: no registry is asked"


def automation(*, read_only: bool) -> Feature:
    """Whether images are released by themselves."""
    return Feature(reason="--git-readonly: nothing may be written to git" if read_only else AUTOMATION_LATER)


def scanning(*, enabled: bool, trouble: str = "") -> Feature:
    """Whether registries are scanned, and what is in the way of some."""
    return Feature(enabled=enabled, reason=trouble if enabled else SCANNING_OFF)
