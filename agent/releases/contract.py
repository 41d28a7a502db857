"""What a change of git is asked with, what it needs, and what comes of it: values, and Protocols of the adapters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agent.git.authors import Author
from agent.git.records import Record
from agent.manifests.load import TreeFile
from agent.model.errors import GitError
from agent.model.ids import WorkloadId
from agent.model.updates import Cause, ContainersSpec, Outcomes, PoliciesSpec, ReleaseSpec
from agent.model.workloads import WorkloadSnapshot
from agent.registry.library import Library


class Tree(Protocol):
    """What is read of the repository; every call may raise `GitError`."""

    def files(self, revision: str, paths: Collection[str]) -> Iterable[TreeFile]:
        """Every file of a revision under these paths."""

    def read(self, shas: Collection[str]) -> Mapping[str, bytes]:
        """The content of blobs."""


class Writer(Protocol):
    """What writes to it."""

    def author(self, text: str, base: str) -> Author:
        """The author that a text names."""

    def commit(
        self,
        base: str,
        changes: Mapping[str, bytes | None],
        message: str,
        author: Author | None = None,
        *,
        allow_empty: bool = False,
    ) -> str:
        """Make a commit, not yet seen by anybody.

        Raises:
            UneditableError: A path is no plain file.
            EmptyChangeError: Nothing would change.
            GitError: It cannot be written.
        """

    def push(self, commit: str) -> None:
        """Send it.

        Raises:
            PushRaceError: Somebody else was faster.
            PushRefusedError: The server does not take it.
            GitError: There was no answer, so it may have arrived.
        """

    def is_on_branch(self, commit: str) -> bool:
        """Whether it arrived."""


class Notes(Protocol):
    """What keeps notes on commits."""

    def write(self, commit: str, text: str) -> None:
        """Put a note on a commit."""

    def push(self) -> GitError | None:
        """Send them; what hindered it."""


class Records(Protocol):
    """The agent's own commits; every call may raise `GitError`."""

    def since(self, known: str, head: str) -> tuple[bool, Iterator[Record]]:
        """Those up to `head`, the oldest first, and whether they go on where `known` ends."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A change that somebody asked for.

    Attributes:
        job_id: Whose job it is.
        spec: What is asked for.
        cause: Who asks and why, as they say themselves.
        caller: Who was proven to ask; empty where nobody was asked to prove it.
        credential_id: What the API server's audit log calls their token.
        dry_run: Tell what would be done, and do nothing.
        accept: Workloads whose marks are lifted.
    """

    job_id: str
    spec: ReleaseSpec | ContainersSpec | PoliciesSpec
    cause: Cause = field(default_factory=Cause)
    caller: str = ""
    credential_id: str = ""
    dry_run: bool = False
    accept: frozenset[WorkloadId] = frozenset()


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it; the commit is empty where nothing was written, `head` is where the branch was after it."""

    outcomes: Outcomes = field(default_factory=dict, hash=False)
    commit: str = ""
    head: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Style:
    """How commits are made: who their author is, and what is appended to their messages."""

    set_author: bool = False
    ci_skip: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a performer works with.

    Attributes:
        tree: Reads the repository.
        writer: Writes to it.
        notes: Keeps notes on commits.
        records: The agent's own commits.
        fetch: Fetches; the head of the branch.
        workloads: What the cluster runs.
        library: What is known of images; None where registries are not scanned.
        paths: The folders that are read; none means all.
        default_namespace: That of objects which name none.
        style: How commits are made.
        stop: Set when the agent is shutting down.
    """

    tree: Tree
    writer: Writer
    notes: Notes
    records: Records
    fetch: Callable[[], str]
    workloads: Callable[[], WorkloadSnapshot]
    library: Library | None
    paths: tuple[str, ...] = ()
    default_namespace: str = "default"
    style: Style = field(default_factory=Style)
    stop: threading.Event = field(default_factory=threading.Event)


class ChangeTicket(Protocol):
    """One requested change: what is told of it is seen by all who watch its job. No call blocks or raises."""

    @property
    def asked(self) -> Asked:
        """What is asked for."""

    def running(self) -> None:
        """The change has begun."""

    def succeeded(self, done: Done) -> None:
        """It is done."""

    def failed(self, error: str, hint: str) -> None:
        """It is not done, and nothing was changed."""
