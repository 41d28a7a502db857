"""Which parts of the agent are at work, and why others are not: what GetStatus tells of them. Pure."""

from __future__ import annotations

from agent.model.status import Feature

AUTOMATION_LATER = "image automation comes in a later release"
SCANNING_LATER = "registry scanning comes in a later release"


def automation(*, read_only: bool) -> Feature:
    """Whether images are released by themselves."""
    return Feature(reason="--git-readonly: nothing may be written to git" if read_only else AUTOMATION_LATER)


def scanning() -> Feature:
    """Whether registries are scanned."""
    return Feature(reason=SCANNING_LATER)
