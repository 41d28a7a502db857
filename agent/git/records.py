"""The agent's own commits, found again by their trailers."""

from __future__ import annotations

from agent.git.repository import Repository
from agent.git.trailers import trailers_of

MOST = 500
"""Commits that are looked back at."""


class Records:
    """Reads them from a mirror, for any thread."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def before(self, head: str) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        """The newest of the agent's commits up to `head`, by id and trailers, the newest first.

        Raises:
            GitError: The mirror cannot be read.
        """
        listing = self._repository.local(
            "log", f"--max-count={MOST}", "--grep=^Flux-Job: ", "-z", "--format=%H%n%B", head, "--"
        )
        found = []
        for entry in listing.decode(errors="replace").split("\0"):
            commit, _, message = entry.partition("\n")
            if commit:
                found.append((commit, trailers_of(message)))
        return found
