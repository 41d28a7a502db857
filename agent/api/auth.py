"""Who calls: the seam every call of either front passes before it reaches the service."""

from __future__ import annotations

from collections.abc import Callable

from agent.api.errors import UnauthenticatedError
from agent.model.access import Access, OpenAccess

TOKEN_HEADER = "x-flux-token"  # noqa: S105 # a header's name
"""The API server's proxy strips `Authorization`, so the token travels in a header of its own."""

Admit = Callable[[str], Access]
"""Takes the token of a call, empty where there is none; raises UnauthenticatedError where it proves nothing."""


def admit_everybody(_token: str) -> Access:
    """`--auth=none`: whoever reaches the port is trusted."""
    return OpenAccess()


def admit_nobody(_token: str) -> Access:
    """Refuse every call."""
    raise UnauthenticatedError(
        "this version of flux-agent cannot check who is calling, so it answers nobody",
        hint="--auth=none is the only mode of this version that answers: whoever reaches the agent may then use it",
    )
