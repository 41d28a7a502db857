"""Sending one ref to the git server, and telling apart why it was not taken.

Nothing is ever overwritten: a ref moves from the commit that the new one was made on, or not at all. When an error is
neither of the two types here, the outcome is unknown: the server may have taken the ref before the connection broke.
"""

from __future__ import annotations

from agent.git.command import CommandError
from agent.git.diagnosis import PushVerdict, diagnose_push
from agent.git.repository import Repository
from agent.model.errors import GitError

_OPTIONS = ("--quiet", "--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")
_ECHO = "error: failed to push some refs to "


class PushRaceError(GitError):
    """Somebody else moved the ref first: fetch, plan again, try again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="somebody else pushed at the same time; the agent tries again", temporary=True)


class PushRefusedError(GitError):
    """The server does not take it, whatever is done here; carries the words of the server and its hooks."""


def push(repository: Repository, commit: str, ref: str, expected: str = "") -> None:
    """Move the server's `ref` to this commit by a fast-forward.

    Args:
        repository: Where the commit is.
        commit: What to send: an id, or a local ref.
        ref: The server's ref by its full name.
        expected: The commit that the server's ref must be at, an ancestor of `commit`; without it any ancestor will do.

    Raises:
        PushRaceError: The ref is elsewhere by now.
        PushRefusedError: The server refused it.
        GitError: The server could not be reached, or the connection broke, so that the outcome is unknown.
        StoppedError: The agent is shutting down; the outcome is unknown.
    """
    # From an ancestor this moves the ref forward only. It is stricter than a plain push: a branch that was meanwhile
    # set back or deleted is not brought back with the commits that somebody took out of it.
    lease = (f"--force-with-lease={ref}:{expected}",) if expected else ()
    try:
        repository.remote("push", *_OPTIONS, *lease, "origin", f"{commit}:{ref}")
    except CommandError as error:
        if error.status is None:
            raise
        explained = _explained(error, ref.removeprefix("refs/").removeprefix("heads/"))
        if explained is None:
            raise
        raise explained from error


def _explained(error: CommandError, name: str) -> GitError | None:
    """The error by what became of the push; None where the words do not tell."""
    words = "; ".join(part for part in error.complaint.split("; ") if not part.startswith(_ECHO))
    match diagnose_push(error.complaint):
        case PushVerdict.LOST_RACE:
            return PushRaceError(f"{name} was moved on the git server before our push: {words}")
        case PushVerdict.REFUSED:
            return PushRefusedError(
                f"the git server refused the push to {name}: {words}",
                hint=f"let the agent's key or token push to {name} at the git server",
            )
        case PushVerdict.SERVER_TROUBLE:
            return GitError(
                f"the git server could not store the push to {name}: {words}",
                hint="look at the server's disk and log; the agent tries again",
                temporary=True,
            )
        case PushVerdict.OTHER:
            return None
