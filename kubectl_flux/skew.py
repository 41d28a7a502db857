"""Whether the plugin and the agent are of versions that were made for each other. Pure."""

from __future__ import annotations

import re

_MINOR = re.compile(r"v?(\d+)\.(\d+)\b")


def skew(plugin: str, agent: str) -> str:
    """A sentence where the two differ by more than a patch; empty where they do not, or one of them is none."""
    ours, theirs = _MINOR.match(plugin), _MINOR.match(agent)
    if ours is None or theirs is None or ours.groups() == theirs.groups():
        return ""
    older = "plugin" if tuple(map(int, ours.groups())) < tuple(map(int, theirs.groups())) else "agent"
    return f"the plugin is of version {plugin} and the agent of {agent}: update the {older}"
