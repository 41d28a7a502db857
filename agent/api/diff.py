"""`Diff`: what a sync of a revision would change, page by page.

The plan of a revision is made for the first page and kept for the others; what an object would look like is asked of
the API server when its page is. Reads only: it runs beside the lanes and shares nothing with them that changes.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from agent.api import convert
from agent.api.call import Call
from agent.api.errors import NotFoundError
from agent.api.visibility import Discretion, candidates, namespace_of
from agent.model.access import GET_MANIFESTS, Visible
from agent.model.errors import NotReadyError, StoppedError, UsageError
from agent.model.resources import Failure, Loaded
from agent.model.status import Status
from agent.model.workloads import WorkloadSnapshot
from agent.sync.cluster import Cluster
from agent.sync.dryrun import Action, Difference, difference
from agent.sync.preview import Change, Outlook, Preview
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

PAGE = 100
"""Objects that are looked at for one page unless the caller says otherwise."""
MAX_PAGE = 500
MAX_BYTES = 2 * 1024 * 1024
"""Characters of objects after which a page ends early: gRPC clients take messages of 4 MiB."""
MAX_KEPT = 8
"""Plans that are kept for their later pages, the ones used last."""
KEPT_FOR = 300.0
"""Seconds after its last page that a plan is kept."""

_THREADS = 8
"""Requests to the API server at a time, for one call."""
_AT_ONCE = 4
"""Calls at work at a time; others wait their turn."""
_LOOK = 0.5
"""Seconds after which a call that waits looks whether somebody still waits for it."""
_BATCH = 2 * _THREADS

_ACTIONS = {
    Action.CREATE: pb.DIFF_ACTION_CREATE,
    Action.UPDATE: pb.DIFF_ACTION_UPDATE,
    Action.DELETE: pb.DIFF_ACTION_DELETE,
    Action.HOLD: pb.DIFF_ACTION_HOLD,
}


class Reads(Protocol):
    """What is known of git and of the cluster."""

    def status(self) -> Status:
        """How things stand."""

    def workloads(self) -> WorkloadSnapshot:
        """The workloads of the cluster."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What diffs are made from.

    Attributes:
        reads: How things stand, and the workloads of the cluster.
        resolve: The full id of the commit that a ref names, empty where none does.
        load: What a revision holds; safe for many threads.
        preview: Plans.
        cluster: The API server.
        blame: The same failures of a revision with the commits that brought them, as far as that is known.
    """

    reads: Reads
    resolve: Callable[[str], str]
    load: Callable[[str], Loaded]
    preview: Preview
    cluster: Cluster
    blame: Callable[[str, Iterable[Failure]], tuple[Failure, ...]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A revision, and what a sync of it would attempt."""

    revision: str
    outlook: Outlook

    @property
    def namespaces(self) -> frozenset[str]:
        """The namespaces of everything in it."""
        failed = {namespace_of(failure.object_id) for failure in self.outlook.failures}
        return frozenset({change.key.namespace for change in self.outlook.changes} | failed) - {""}


class Diffs:
    """Answers `Diff`; safe for many threads."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._kept = _Kept()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def __call__(self, request: pb.DiffRequest, call: Call) -> pb.DiffResponse:
        """One page of what a sync would change.

        Raises:
            UsageError: The request makes no sense.
            NotReadyError: The repository cannot be used yet.
            NotFoundError: There is no such revision, or the plan of an earlier page is not kept any more.
            ForbiddenError: The caller may see manifests nowhere.
            StoppedError: The agent is shutting down, or nobody waits for the answer.
        """
        if request.page_size < 0:
            raise UsageError(f"page_size is {request.page_size}", hint=f"say 1 to {MAX_PAGE}, or 0 for {PAGE}")
        size = min(request.page_size or PAGE, MAX_PAGE)
        with call.slots.hold(), self._turn(call), ThreadPoolExecutor(_THREADS, thread_name_prefix="diff") as pool:
            token, start = _read_token(request.page_token)
            plan = self._kept.get(token) if token else self._plan(request.ref, call, pool)
            visible = call.access.visible(GET_MANIFESTS, plan.namespaces | self._known())
            page = _Page(plan, visible, self._sources.cluster, pool)
            answer, failures, position = page.filled(start, size, call)
            answer.failures.extend(map(convert.failure, self._sources.blame(plan.revision, failures)))
            if position:
                answer.next_page_token = f"{self._kept.put(token, plan)}.{position}"
            return answer

    def _plan(self, ref: str, call: Call, pool: Executor) -> _Plan:
        """What a sync of a revision would attempt; the cluster is asked only for those who may see something of it."""
        revision = self._revision(ref)
        loaded = self._sources.load(revision)
        call.access.visible(GET_MANIFESTS, self._sources.preview.namespaces(loaded) | self._known())
        return _Plan(revision, self._sources.preview.outlook(loaded, pool))

    def _known(self) -> frozenset[str]:
        """Every namespace that the agent knows of: who may see one of them may ask, though nothing differs there."""
        return frozenset(candidates(self._sources.reads.status(), self._sources.reads.workloads()))

    def _revision(self, ref: str) -> str:
        status = self._sources.reads.status()
        if not (status.repository.ready and status.revision_seen):
            raise NotReadyError(status.repository.error or "the repository has not been fetched yet", temporary=True)
        if not ref:
            return status.revision_seen
        revision = self._sources.resolve(ref)
        if not revision:
            raise NotFoundError(
                f"the agent knows no commit, branch or tag {ref!r}",
                hint=f"it knows what branch {status.repository.branch} held when it fetched last",
            )
        return revision

    @contextlib.contextmanager
    def _turn(self, call: Call) -> Iterator[None]:
        while not self._turns.acquire(timeout=_LOOK):
            _require_listener(call)
        try:
            yield
        finally:
            self._turns.release()


class _Page:
    """Fills one page for one caller."""

    def __init__(self, plan: _Plan, visible: Visible, cluster: Cluster, pool: Executor) -> None:
        self._plan = plan
        self._visible = visible
        self._cluster = cluster
        self._pool = pool

    def filled(self, start: int, size: int, call: Call) -> tuple[pb.DiffResponse, list[Failure], int]:
        """The page that begins at a change of the plan, its failures, and where the next one does; 0 for nowhere."""
        outlook = self._plan.outlook
        wanted = [index for index, change in enumerate(outlook.changes) if self._visible.shows(change.key.namespace)]
        told = [failure for failure in outlook.failures if self._tells(failure)]
        answer = pb.DiffResponse(
            revision=self._plan.revision,
            restricted=len(wanted) < len(outlook.changes) or len(told) < len(outlook.failures),
        )
        failures = [] if start else told
        rest = [index for index in wanted if index >= start]
        looked = length = 0
        while looked < min(size, len(rest)) and length <= MAX_BYTES:
            _require_listener(call)
            batch = rest[looked : min(looked + _BATCH, size)]
            for found in self._pool.map(self._look, (outlook.changes[index] for index in batch)):
                length += _add(answer, failures, found)
            looked += len(batch)
        for each in answer.objects:
            each.reason = Discretion(self._visible).told(each.reason)
        return answer, failures, rest[looked] if looked < len(rest) else 0

    def _tells(self, failure: Failure) -> bool:
        """Whether the caller learns of it; what failed as a whole file is everybody's."""
        return not failure.object_id or self._visible.shows(namespace_of(failure.object_id))

    def _look(self, change: Change) -> Difference | Failure | None:
        return difference(self._cluster, change, self._plan.outlook.brings)


class _Kept:
    """The plans whose later pages may be asked for: a few, for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: OrderedDict[str, tuple[_Plan, float]] = OrderedDict()

    def put(self, token: str, plan: _Plan) -> str:
        """Keep a plan under its token, or a new one where it has none; returns the token."""
        token, now = token or secrets.token_urlsafe(12), time.monotonic()
        with self._lock:
            self._plans[token] = (plan, now + KEPT_FOR)
            self._plans.move_to_end(token)
            for old in [old for old, (_, until) in self._plans.items() if until < now]:
                del self._plans[old]
            while len(self._plans) > MAX_KEPT:
                self._plans.popitem(last=False)
        return token

    def get(self, token: str) -> _Plan:
        with self._lock:
            plan, until = self._plans.get(token, (None, 0.0))
        if plan is None or until < time.monotonic():
            raise NotFoundError(
                "what this page_token goes on with is not kept any more", hint="start again from the first page"
            )
        return plan


def _add(answer: pb.DiffResponse, failures: list[Failure], found: Difference | Failure | None) -> int:
    """Put one result on the page or to its failures; the characters it takes there."""
    if isinstance(found, Failure):
        failures.append(found)
        return len(found.reason)
    if found is None:
        return 0
    answer.objects.append(_object_diff(found))
    return len(found.live) + len(found.planned)


def _object_diff(found: Difference) -> pb.ObjectDiff:
    change = found.change
    return pb.ObjectDiff(
        object=str(change.key),
        api_version=change.api_version,
        kind=change.key.kind,
        namespace=change.key.namespace,
        name=change.key.name,
        action=_ACTIONS[found.action],
        live=found.live,
        planned=found.planned,
        path=change.desired.origin.shown if change.desired else "",
        reason=change.held,
    )


def _read_token(token: str) -> tuple[str, int]:
    """The key of a kept plan and the change to go on with; empty for a first page.

    Raises:
        UsageError: It is none of ours.
    """
    if not token:
        return "", 0
    key, _, position = token.rpartition(".")
    if not key or not (position.isascii() and position.isdigit()):
        raise UsageError(
            f"page_token {token[:64]!r} is none of this agent's",
            hint="send next_page_token of the page before, or none for the first page",
        )
    return key, int(position)


def _require_listener(call: Call) -> None:
    call.check()
    if call.over():
        raise StoppedError("nobody waits for this answer any more", temporary=True)
