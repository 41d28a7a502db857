"""What can go wrong in a call, and the one table that turns an error into a code on the wire.

The codes carry gRPC's names; both fronts look them up in their own enumerations. An error that is none of ours is a
bug: the caller learns that there was one and where, the log learns the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agent import telemetry
from agent.model.access import ForbiddenError
from agent.model.errors import ClusterError, FluxError, StoppedError, UsageError

MAX_MESSAGE = 2_000
"""Characters of an error's message; gRPC sends it in a header."""

_log = telemetry.logger("api")


class NotFoundError(FluxError):
    """What was asked for does not exist, or not any more."""


class BusyError(FluxError):
    """All room for this kind of call is taken."""


class UnavailableError(FluxError):
    """It cannot be answered yet, or not at present."""


class UnauthenticatedError(FluxError):
    """The caller did not prove who they are."""


CODES: Mapping[type[FluxError], str] = MappingProxyType(
    {
        UsageError: "INVALID_ARGUMENT",
        NotFoundError: "NOT_FOUND",
        BusyError: "RESOURCE_EXHAUSTED",
        UnauthenticatedError: "UNAUTHENTICATED",
        ForbiddenError: "PERMISSION_DENIED",
        UnavailableError: "UNAVAILABLE",
        StoppedError: "UNAVAILABLE",
        FluxError: "FAILED_PRECONDITION",
    }
)
"""Error type → gRPC code; the nearest ancestor counts. An API server that does not answer now is UNAVAILABLE, too."""


def outcome(error: Exception, method: str) -> tuple[str, str]:
    """The code and the message for the caller; a bug is logged with its trace and told without."""
    if isinstance(error, FluxError):
        code = next(CODES[ancestor] for ancestor in type(error).__mro__ if ancestor in CODES)
        if isinstance(error, ClusterError) and error.temporary:
            code = "UNAVAILABLE"
        return code, str(error)[:MAX_MESSAGE]
    _log.error("unexpected error in a call", method=method, exc_info=error)
    return "INTERNAL", f"{method} ran into a bug of flux-agent (its log holds the trace)"
