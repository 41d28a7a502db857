"""Who may call what: the seam every call of either front passes before it reaches the service."""

from __future__ import annotations

from collections.abc import Callable

from agent.api.call import Call
from agent.api.errors import UnauthenticatedError
from agent.model.errors import UsageError

Authorize = Callable[[Call, str], None]
"""Lets a call of the method so named pass, or raises a FluxError."""


def authorizer(mode: str) -> Authorize:
    """The check for `--auth`.

    Raises:
        UsageError: There is no such mode.
    """
    modes: dict[str, Authorize] = {"none": _let_pass, "token": _refuse}
    if mode not in modes:
        raise UsageError(f"there is no --auth={mode}", hint="say --auth=token or --auth=none")
    return modes[mode]


def _let_pass(_call: Call, _method: str) -> None:
    """Whoever reaches the port is trusted."""


def _refuse(_call: Call, _method: str) -> None:
    raise UnauthenticatedError(
        "this version of flux-agent cannot check who is calling, so it answers nobody",
        hint="--auth=none is the only mode of this version that answers: whoever reaches the agent may then use it",
    )
