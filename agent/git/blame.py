"""Who brought what failed: the commit that last touched its lines, and that commit's author."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from agent.model.errors import FluxError
from agent.model.resources import Failure

MAX_BLAMED = 50
"""Failures at a time that are looked up in git's history; a broken revision should not cost more than that …"""
PATIENCE = 20.0
"""… and seconds after which no other one is looked up: a large file of a long history takes git long."""


class Commit(Protocol):
    """A commit, as blame tells it."""

    @property
    def sha(self) -> str:
        """The full commit id."""

    @property
    def author(self) -> str:
        """`Name <email>`."""


class Repository(Protocol):
    """The mirror; safe for many threads."""

    def blame(self, revision: str, path: str, line: int, last: int) -> Commit | None:
        """The last commit that touched these lines."""


def blamed(repository: Repository, revision: str, failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """The same failures, the first ones with commit and author where their lines have any; never fails itself."""
    deadline = time.monotonic() + PATIENCE
    return tuple(
        _blamed(repository, revision, failure) if index < MAX_BLAMED and time.monotonic() < deadline else failure
        for index, failure in enumerate(failures)
    )


def _blamed(repository: Repository, revision: str, failure: Failure) -> Failure:
    place = failure.origin
    if place is None:
        return failure
    try:
        commit = repository.blame(revision, place.path, place.line, place.last)
    except FluxError:
        return failure
    return replace(failure, commit=commit.sha, author=commit.author) if commit else failure
