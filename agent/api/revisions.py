"""GetRevision and WaitForRevision: how far a commit has come, now or as soon as it has come further.

What was found about a commit's ancestors is remembered, and so is each answer with the version since which it holds:
a long poll costs no git process at a wake-up, and one that would say the same again goes on waiting.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Protocol

from agent.api import convert
from agent.api.call import Call
from agent.api.progress import Place, Progress, progress
from agent.api.remembered import Remembered
from agent.api.visibility import candidates
from agent.model.access import LIST_WORKLOADS, Visible
from agent.model.status import Status
from agent.model.workloads import WorkloadSnapshot
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

MAX_WAIT = 25.0
"""Seconds of a long poll."""
HEARTBEAT = 15.0
"""Seconds after which a stream says again what it said last."""

_REMEMBERED = 1_000
"""Answers that are kept of each kind."""


class Reads(Protocol):
    """Where the state comes from, and how to wait until it has changed."""

    def status(self) -> Status:
        """How the cluster stands to git."""

    def workloads(self) -> WorkloadSnapshot:
        """What the cluster runs."""

    def version(self) -> int:
        """Counts the changes of both."""

    def wait(self, after: int, timeout: float, over: Callable[[], bool]) -> int:
        """The version, as soon as it is past `after` or after so many seconds."""


class Commits(Protocol):
    """The mirror's commits."""

    def resolve(self, ref: str) -> str:
        """The full id of what a ref names; empty where nothing has that name."""

    def contains(self, revision: str, commit: str) -> bool:
        """Whether a commit is a revision or one of its ancestors."""


class Revisions:
    """Answers both methods."""

    def __init__(self, reads: Reads, commits: Commits) -> None:
        self._reads = reads
        self._commits = commits
        self._meanings = Remembered[tuple[str, str, str], str](_REMEMBERED)
        self._ancestors = Remembered[tuple[str, str], bool](_REMEMBERED)
        self._told = _Told()

    def get(self, request: pb.GetRevisionRequest, call: Call) -> pb.GetRevisionResponse:
        """How far a commit has come, or how far once it has come further."""
        since, found = self._look(request.ref, call)
        patience = call.patience(min(request.wait.seconds + request.wait.nanos / 1e9, MAX_WAIT))
        if request.after_version == since and patience:
            with call.slots.hold():
                since, found = self._wait(request.ref, since, patience, call)
            if since == request.after_version:
                call.check()
        return pb.GetRevisionResponse(progress=convert.revision(request.ref, since, found))

    def wait(self, request: pb.WaitForRevisionRequest, call: Call) -> Iterator[pb.WaitForRevisionResponse]:
        """Every change of how far a commit has come, until it is rolled out or something must be mended first."""
        with call.slots.hold():
            since, found = self._look(request.ref, call)
            yield pb.WaitForRevisionResponse(progress=convert.revision(request.ref, since, found))
            while not (found.ended or call.over()):
                since, found = self._wait(request.ref, since, HEARTBEAT, call)
                yield pb.WaitForRevisionResponse(progress=convert.revision(request.ref, since, found))
        if not found.ended:
            call.check()

    def _wait(self, ref: str, since: int, timeout: float, call: Call) -> tuple[int, Progress]:
        """The answer as soon as it is another than the one given at `since`."""
        end = time.monotonic() + timeout
        while True:
            version = self._reads.version()
            now, found = self._look(ref, call)
            left = end - time.monotonic()
            if now != since or left <= 0 or call.over():
                return now, found
            self._reads.wait(version, left, call.over)

    def _look(self, ref: str, call: Call) -> tuple[int, Progress]:
        """How far a commit has come, and the version since which that is so."""
        version = self._reads.version()
        status = self._reads.status()
        snapshot = self._reads.workloads()
        visible = call.access.visible(LIST_WORKLOADS, candidates(status, snapshot))
        found = progress(self._place(ref, status), status, snapshot, visible)
        return self._told.since((ref, visible), found, version), found

    def _place(self, ref: str, status: Status) -> Place:
        revision = self._meaning(ref, status) if status.revision_seen else ""
        return Place(
            revision,
            self._holds(status.revision_seen, revision),
            self._holds(status.last_sync.revision if status.last_sync else "", revision),
            self._holds(status.revision_applied, revision),
        )

    def _meaning(self, ref: str, status: Status) -> str:
        """The commit; what a name means is remembered until something was fetched or the tag was moved."""
        if not ref:
            return status.revision_seen
        key = (ref, status.revision_seen, status.revision_marked)
        return self._meanings.get(key, lambda: (self._commits.resolve(ref), math.inf))

    def _holds(self, revision: str, commit: str) -> bool:
        if revision == commit or not (revision and commit):
            return bool(revision and commit)
        key = (revision, commit)
        return self._ancestors.get(key, lambda: (self._commits.contains(revision, commit), math.inf))


class _Told:
    """Since which version each answer is what it is; bounded, for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, Visible], tuple[int, Progress]] = OrderedDict()

    def since(self, key: tuple[str, Visible], found: Progress, version: int) -> int:
        """The version since which this is the answer; `version` where it is new."""
        with self._lock:
            known = self._known.get(key)
            if known is None or known[1] != found:
                known = max(version, known[0] + 1 if known else 0), found
            self._known[key] = known
            self._known.move_to_end(key)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return known[0]
