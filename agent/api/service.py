"""The service itself: every method of the contract, in terms of the model.

It knows neither gRPC nor Connect: it takes a message and a `Call`, answers with a message, and raises FluxErrors. The
fronts find the methods by name: `ListWorkloads` is `list_workloads`.

The rights each takes: Version none, the other reads to list workloads somewhere, and they show what is where. Sync to
create syncs somewhere, because it only hastens what comes by itself; approved deletions take it where they are.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from agent.api import convert, views, visibility
from agent.api.audit import log_change
from agent.api.call import Call
from agent.api.errors import UnavailableError
from agent.api.jobs import Jobs
from agent.model.access import CREATE_SYNCS, LIST_WORKLOADS, Right, Visible
from agent.model.errors import NotReadyError
from agent.model.status import Job, Status, SyncReport
from agent.model.workloads import WorkloadSnapshot
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

MAX_WAIT = 25.0
"""Seconds of a long poll: below the 30 s after which proxies on the way give up."""

HEARTBEAT = 15.0
"""Seconds after which a stream says again what it said last."""


class Reads(Protocol):
    """Where the reads come from: values that are replaced as a whole and never changed."""

    def status(self) -> Status:
        """How the cluster stands to git."""

    def workloads(self) -> WorkloadSnapshot:
        """What the cluster runs."""

    def version(self) -> int:
        """Counts the changes of both; never 0."""

    def wait(self, after: int, timeout: float, over: Callable[[], bool]) -> int:
        """The version, as soon as it is past `after` or after so many seconds."""


@dataclass(frozen=True, slots=True)
class Handlers:
    """What answers the methods that have a module of their own."""

    get_revision: Callable[[pb.GetRevisionRequest, Call], pb.GetRevisionResponse]
    wait_for_revision: Callable[[pb.WaitForRevisionRequest, Call], Iterator[pb.WaitForRevisionResponse]]
    diff: Callable[[pb.DiffRequest, Call], pb.DiffResponse]
    export: Callable[[pb.ExportRequest, Call], pb.ExportResponse]
    get_public_key: Callable[[pb.GetPublicKeyRequest, Call], pb.GetPublicKeyResponse]
    list_images: Callable[[pb.ListImagesRequest, Call], pb.ListImagesResponse]
    explain: Callable[[pb.ExplainRequest, Call], pb.ExplainResponse]
    release: Callable[[pb.ReleaseRequest, Call], pb.ReleaseResponse]
    update_policies: Callable[[pb.UpdatePoliciesRequest, Call], pb.UpdatePoliciesResponse]


class Service:
    """The methods of `flux.v1.Flux`.

    Args:
        reads: Where the reads come from.
        jobs: Keeps what was asked for.
        handlers: Answer the methods that have a module of their own.
        version: The agent's version.
    """

    def __init__(self, reads: Reads, jobs: Jobs, handlers: Handlers, version: str) -> None:
        self._reads = reads
        self._jobs = jobs
        self.get_revision = handlers.get_revision
        self.wait_for_revision = handlers.wait_for_revision
        self.diff = handlers.diff
        self.export = handlers.export
        self.get_public_key = handlers.get_public_key
        self.list_images = handlers.list_images
        self.explain = handlers.explain
        self.release = handlers.release
        self.update_policies = handlers.update_policies
        self._version = version

    def version(self, _request: pb.VersionRequest, _call: Call) -> pb.VersionResponse:
        """What is running."""
        return pb.VersionResponse(version=self._version, python_version=platform.python_version())

    def get_status(self, _request: pb.GetStatusRequest, call: Call) -> pb.GetStatusResponse:
        """How the cluster stands to git."""
        status, snapshot = self._reads.status(), self._reads.workloads()
        notices = (*status.notices, *snapshot.notices)
        return convert.status(status, snapshot, self._details(call, status.last_sync, notices))

    def get_repository(self, _request: pb.GetRepositoryRequest, call: Call) -> pb.GetRepositoryResponse:
        """Which repository is followed."""
        self._visible(call, LIST_WORKLOADS)
        return pb.GetRepositoryResponse(repository=convert.repository(self._reads.status().repository))

    def list_workloads(self, request: pb.ListWorkloadsRequest, call: Call) -> pb.ListWorkloadsResponse:
        """The workloads of the cluster."""
        visible = self._listable(call, request.namespace)
        version = self._moved(request, call)
        snapshot, restricted = visibility.workloads(self._reads.workloads(), visible)
        window = views.Window(request.namespace, request.page_size, request.page_token)
        page = views.list_workloads(snapshot, self._reads.status(), window)
        return pb.ListWorkloadsResponse(
            workloads=map(convert.workload, page.rows),
            next_page_token=page.next_token,
            version=version,
            restricted=restricted,
        )

    def sync(self, request: pb.SyncRequest, call: Call) -> pb.SyncResponse:
        """A job that brings the cluster to git."""
        call.check()
        self._visible(call, CREATE_SYNCS)
        status = self._reads.status()
        if request.allow_deletions:
            call.access.require(CREATE_SYNCS, visibility.approved(status.last_sync, request.allow_deletions))
        if not status.repository.url:
            raise NotReadyError("no git repository is configured", hint="start flux-agent with --git-url")
        job = self._jobs.submit_sync(request.allow_deletions)
        approved = {"allow_deletions": request.allow_deletions} if request.allow_deletions else {}
        log_change("Sync", call, job.id, **approved)
        return pb.SyncResponse(job_id=job.id)

    def get_job(self, request: pb.GetJobRequest, call: Call) -> pb.GetJobResponse:
        """How a job stands, or how it stands once it has moved on."""
        self._visible(call, LIST_WORKLOADS)
        job, patience = self._jobs.get(request.job_id), call.patience(min(_seconds(request), MAX_WAIT))
        if request.after_version >= job.version and not job.state.ended and patience:
            with call.slots.hold():
                job = self._jobs.wait(job.id, request.after_version, patience, call.over)
            if job.version <= request.after_version:
                call.check()
        return pb.GetJobResponse(job=self._shown(job, call))

    def watch_job(self, request: pb.WatchJobRequest, call: Call) -> Iterator[pb.WatchJobResponse]:
        """Every change of a job until it has ended."""
        self._visible(call, LIST_WORKLOADS)
        with call.slots.hold():
            job = self._jobs.get(request.job_id)
            yield pb.WatchJobResponse(job=self._shown(job, call))
            while not (job.state.ended or call.over()):
                job = self._jobs.wait(job.id, job.version, HEARTBEAT, call.over)
                yield pb.WatchJobResponse(job=self._shown(job, call))
        if not job.state.ended:
            call.check()

    def _moved(self, request: pb.ListWorkloadsRequest, call: Call) -> int:
        """The version of what there is to list, once it is past the one that the caller has seen."""
        patience = call.patience(min(_seconds(request), MAX_WAIT))
        if not (request.after_version and patience):
            return self._reads.version()
        with call.slots.hold():
            version = self._reads.wait(request.after_version, patience, call.over)
        call.check()
        return version

    def _visible(self, call: Call, right: Right, report: SyncReport | None = None) -> Visible:
        """Where the caller has the right.

        Raises:
            ForbiddenError: Nowhere.
        """
        return call.access.visible(right, visibility.candidates(self._reads.status(), self._reads.workloads(), report))

    def _listable(self, call: Call, namespace: str) -> Visible:
        """What may be listed: of the one namespace that was asked for all or nothing, else what the caller may see.

        Raises:
            ForbiddenError: Nothing, or not that namespace.
            UnavailableError: The workloads have not been listed yet; an empty list would look like an empty cluster.
        """
        if namespace:
            call.access.require(LIST_WORKLOADS, [namespace])
            visible = call.access.visible(LIST_WORKLOADS, [namespace])
        else:
            visible = self._visible(call, LIST_WORKLOADS)
        if self._reads.workloads().not_ready:
            why = visibility.Discretion(visible).told(self._reads.workloads().not_ready)
            raise UnavailableError(why, hint="try again in a moment", temporary=True)
        return Visible() if namespace else visible

    def _details(self, call: Call, report: SyncReport | None, notices: Iterable[str] = ()) -> visibility.Details:
        """What of a sync the caller may see."""
        visible = self._visible(call, LIST_WORKLOADS, report)
        known = visibility.candidates(self._reads.status(), self._reads.workloads())
        return visibility.details(report, visible, known, notices)

    def _shown(self, job: Job, call: Call) -> pb.Job:
        return convert.job(job, self._details(call, job.sync.report if job.sync else None))


def _seconds(request: pb.GetJobRequest | pb.ListWorkloadsRequest) -> float:
    return request.wait.seconds + request.wait.nanos / 1e9
