"""The agent's errors: each a finished sentence and the next thing to try.

    FluxError
    ├── UsageError        the settings or the request make no sense
    ├── GitError          git could not be reached, read or written
    │   └── NotReadyError the repository is not configured or not usable yet
    ├── ClusterError      the API server refused or could not be reached
    └── StoppedError      the agent is shutting down

Whether trying again can help is the attribute `temporary`, never something read out of the message.
"""

from __future__ import annotations


class FluxError(Exception):
    """What happened, to which object, and what to try next.

    Attributes:
        message: One sentence, without secrets.
        hint: The next thing to try; empty where there is none.
        temporary: Whether the same call may succeed later without anyone's doing.
    """

    def __init__(self, message: str, *, hint: str = "", temporary: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.temporary = temporary

    def __str__(self) -> str:
        """The sentence, and the hint behind it."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(FluxError):
    """The settings or the request make no sense as they stand."""


class GitError(FluxError):
    """Git could not be reached, read or written; carries git's own words."""


class NotReadyError(GitError):
    """The repository is not configured or not usable yet."""


class ClusterError(FluxError):
    """The API server refused, or could not be reached.

    Attributes:
        status: The HTTP status code; 0 where there was no answer.
        reason: The `reason` of the API server's Status object, such as `Forbidden`; may be empty.
        retry_after: Seconds the server asked to wait; 0 where it did not.
    """

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", retry_after: float = 0.0, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint, temporary=status in (0, 429, 502, 503, 504))
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class StoppedError(FluxError):
    """The agent is shutting down; the work was not done."""
