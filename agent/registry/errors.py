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


MAX_MESSAGE = 500
"""Characters: what registries say gets into messages, and they may say anything."""


class RegistryError(FluxError):
    """A registry refused, could not be reached, or answered with something else than what was asked for.

    Attributes:
        cause: The kind of trouble.
    """

    def __init__(self, message: str, cause: Cause, *, hint: str = "") -> None:
        shown = "".join(each if each.isprintable() else "?" for each in message[:MAX_MESSAGE])
        super().__init__(shown, hint=hint, temporary=cause in (Cause.BUSY, Cause.UNREACHABLE))
        self.cause = cause
