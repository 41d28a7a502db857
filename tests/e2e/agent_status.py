"""What an agent says of itself, read past the plugin, and waiting until it says something."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controlplane.deployed import DeployedAgent

_GET_STATUS = "/flux.v1.Flux/GetStatus?connect=v1&encoding=json&message=%7B%7D"
PATIENCE = 60.0
"""Seconds that anything is waited for; a busy machine may need some of them."""


def status_of(agent: DeployedAgent) -> dict[str, Any]:
    """GetStatus as JSON: fields with empty values are left out."""
    code, body = agent.http(_GET_STATUS)
    assert code == 200, body
    answer: dict[str, Any] = json.loads(body)
    return answer


def repository_error(agent: DeployedAgent) -> str:
    """Why the repository cannot be used at present; empty where it can."""
    return str(status_of(agent)["repository"].get("error", ""))


def is_ready(agent: DeployedAgent) -> bool:
    """Whether the agent would get requests."""
    return agent.http("/readyz")[0] == 200


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Ask until the answer is true, because what is waited for happens in another process; the answer."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.02)
    return answer


def log_lines(agent: DeployedAgent, *words: str) -> list[str]:
    """The lines of the agent's log that hold all of these words."""
    return [line for line in agent.log.read_text().splitlines() if all(word in line for word in words)]


def told_of(stderr: str, word: str) -> str:
    """The one line of the plugin's output that holds this word."""
    lines = [line for line in stderr.splitlines() if word in line]
    assert len(lines) == 1, stderr
    return lines[0]
