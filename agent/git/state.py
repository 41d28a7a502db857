"""The sync marker in git: an annotated tag that the agent moves to the revision it has synced, as Flux v1 did.

The tag in the mirror stands for the server's: `Mirror.fetch` brings it, and it moves here only after the server has
taken it. Belongs to the thread that fetches.
"""

from __future__ import annotations

from agent.git.command import CommandError
from agent.git.mirror import Mirror
from agent.model.errors import GitError
from agent.settings import GitSettings

_MESSAGE = "Sync pointer"


class TagMarker:
    """Reads and moves the tag `settings.sync_tag`."""

    def __init__(self, mirror: Mirror, settings: GitSettings) -> None:
        self._repository = mirror.repository
        self._settings = settings
        self._ref = f"refs/tags/{settings.sync_tag}"

    def read(self) -> str:
        """The commit the server's tag pointed to at the last fetch; empty where there is none."""
        try:
            answer = self._repository.local("rev-parse", "--verify", "--quiet", f"{self._ref}^{{commit}}")
        except CommandError as error:
            if error.status is None:
                raise
            return ""
        return answer.decode().strip()

    def advance(self, revision: str) -> None:
        """Move the tag to this commit and push it; nothing is pushed when it is there already.

        Raises:
            GitError: The server refused it (not temporary, with its own words), or could not be reached.
            StoppedError: The agent is shutting down.
        """
        if self.read() == revision:
            return
        tag = self._tag_object(revision)
        try:
            self._repository.remote(
                "push", "--quiet", "--force", "--no-verify", "--no-follow-tags", "origin", f"{tag}:{self._ref}"
            )
        except CommandError as error:
            if error.temporary:
                raise
            raise GitError(
                f"the git server refused to move the tag {self._settings.sync_tag}: {error.complaint}",
                hint="allow the agent to push it, or keep the marker in the cluster with --sync-state=secret",
            ) from error
        self._repository.local("update-ref", self._ref, tag)

    def _tag_object(self, revision: str) -> str:
        """Write an annotated tag and return its id; no ref names it before the server has it.

        Git makes the tagger's line itself, so that names are cleaned as it does it, and the time is its own.
        """
        tagger = self._repository.local("var", "GIT_COMMITTER_IDENT")
        head = f"object {revision}\ntype commit\ntag {self._settings.sync_tag}\ntagger ".encode()
        content = head + tagger.strip() + f"\n\n{_MESSAGE}\n".encode()
        return self._repository.local("mktag", stdin=content).decode().strip()
