"""What can go wrong with a registry, as one type whose `cause` says what kind of trouble it is."""

from __future__ import annotations

import enum

from agent.model.errors import FluxError


class Cause(enum.Enum):
    """Kinds of trouble; they differ in what helps and in when to try again."""

    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not found"
    BUSY = "rate limited"
    UNREACHABLE = "unreachable"
    MALFORMED = "malformed answer"
    REFUSED = "refused"


class RegistryError(FluxError):
    """A registry refused, could not be reached, or answered with something else than what was asked for.

    Attributes:
        cause: The kind of trouble.
        retry_after: Seconds the registry asked to wait; 0 where it did not.
    """

    def __init__(self, message: str, cause: Cause, *, retry_after: float = 0.0, hint: str = "") -> None:
        super().__init__(message, hint=hint, temporary=cause in (Cause.BUSY, Cause.UNREACHABLE))
        self.cause = cause
        self.retry_after = retry_after
