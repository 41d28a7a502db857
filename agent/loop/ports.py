"""What the lanes need of the world, as Protocols: `wiring` gives them the real things."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from agent.manifests.load import TreeFile
from agent.model.status import SyncReport
from agent.sync.engine import SyncRequest


class Commit(Protocol):
    """A commit, as blame tells it."""

    @property
    def sha(self) -> str:
        """The full commit id."""

    @property
    def author(self) -> str:
        """`Name <email>`."""

    @property
    def subject(self) -> str:
        """The first line of its message."""


class Fetched(Protocol):
    """The revision that a fetch found."""

    @property
    def sha(self) -> str:
        """The full commit id."""


class Repository(Protocol):
    """The mirror. Every call may raise `GitError`, or `StoppedError` at shutdown."""

    def fetch(self) -> Fetched:
        """Fetch, and the head of the branch."""

    def files(self, revision: str, paths: Collection[str]) -> Iterable[TreeFile]:
        """Every file of a revision under these paths."""

    def read(self, shas: Collection[str]) -> Mapping[str, bytes]:
        """The content of blobs."""

    def commits_between(self, old: str, new: str, limit: int = ...) -> Sequence[Commit]:
        """The commits that `new` has and `old` has not, the newest first."""

    def blame(self, revision: str, path: str, line: int, last: int) -> Commit | None:
        """The last commit that touched these lines."""


class SyncMarker(Protocol):
    """Where it is kept which revision has been synced."""

    def read(self) -> str:
        """The marked revision; empty where there is none."""

    def advance(self, revision: str) -> None:
        """Move the marker."""


class Engine(Protocol):
    """What performs a sync."""

    def sync(self, request: SyncRequest) -> SyncReport:
        """Bring the cluster to a revision."""


class Log(Protocol):
    """A structured logger."""

    def info(self, event: str, **fields: Any) -> Any:
        """Something happened."""

    def warning(self, event: str, **fields: Any) -> Any:
        """Something is not as it should be."""


class Gauges(Protocol):
    """The metrics that the lanes keep."""

    def observe_sync(self, seconds: float, success: bool) -> None:  # noqa: FBT001 # the shape of every observer
        """A sync has ended; it failed where git could not be read or parsed, or the cluster not be reached."""

    def set_manifests(self, *, succeeded: int, failed: int) -> None:
        """How many objects of git the last sync brought to what git says, and how many not."""

    def set_git_ready(self, *, ready: bool) -> None:
        """Whether the repository can be used."""
