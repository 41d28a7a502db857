"""The service itself: every method of the contract, in terms of the model.

It knows neither gRPC nor Connect: it takes a message and a `Call`, answers with a message, and raises FluxErrors. The
fronts find the methods by name: `ListWorkloads` is `list_workloads`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from agent.api import convert, views
from agent.api.call import Call
from agent.api.jobs import Jobs
from agent.model.errors import NotReadyError
from agent.model.status import Status
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


@dataclass(frozen=True, slots=True)
class Handlers:
    """What answers the methods that have a module of their own."""

    get_revision: Callable[[pb.GetRevisionRequest, Call], pb.GetRevisionResponse]
    wait_for_revision: Callable[[pb.WaitForRevisionRequest, Call], Iterator[pb.WaitForRevisionResponse]]
    diff: Callable[[pb.DiffRequest, Call], pb.DiffResponse]
    export: Callable[[pb.ExportRequest, Call], pb.ExportResponse]
    get_public_key: Callable[[pb.GetPublicKeyRequest, Call], pb.GetPublicKeyResponse]


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
        self._version = version

    def version(self, _request: pb.VersionRequest, _call: Call) -> pb.VersionResponse:
        """What is running."""
        return pb.VersionResponse(version=self._version, python_version=platform.python_version())

    def get_status(self, _request: pb.GetStatusRequest, _call: Call) -> pb.GetStatusResponse:
        """How the cluster stands to git."""
        return convert.status(self._reads.status(), self._reads.workloads())

    def get_repository(self, _request: pb.GetRepositoryRequest, _call: Call) -> pb.GetRepositoryResponse:
        """Which repository is followed."""
        return pb.GetRepositoryResponse(repository=convert.repository(self._reads.status().repository))

    def list_workloads(self, request: pb.ListWorkloadsRequest, _call: Call) -> pb.ListWorkloadsResponse:
        """The workloads of the cluster."""
        window = views.Window(request.namespace, request.page_size, request.page_token)
        page = views.list_workloads(self._reads.workloads(), self._reads.status(), window)
        return pb.ListWorkloadsResponse(workloads=map(convert.workload, page.rows), next_page_token=page.next_token)

    def sync(self, request: pb.SyncRequest, call: Call) -> pb.SyncResponse:
        """A job that brings the cluster to git."""
        call.check()
        if not self._reads.status().repository.url:
            raise NotReadyError("no git repository is configured", hint="start flux-agent with --git-url")
        return pb.SyncResponse(job_id=self._jobs.submit_sync(request.allow_deletions).id)

    def get_job(self, request: pb.GetJobRequest, call: Call) -> pb.GetJobResponse:
        """How a job stands, or how it stands once it has moved on."""
        job, patience = self._jobs.get(request.job_id), call.patience(min(_seconds(request), MAX_WAIT))
        if request.after_version >= job.version and not job.state.ended and patience:
            with call.slots.hold():
                job = self._jobs.wait(job.id, request.after_version, patience, call.over)
            if job.version <= request.after_version:
                call.check()
        return pb.GetJobResponse(job=convert.job(job))

    def watch_job(self, request: pb.WatchJobRequest, call: Call) -> Iterator[pb.WatchJobResponse]:
        """Every change of a job until it has ended."""
        with call.slots.hold():
            job = self._jobs.get(request.job_id)
            yield pb.WatchJobResponse(job=convert.job(job))
            while not (job.state.ended or call.over()):
                job = self._jobs.wait(job.id, job.version, HEARTBEAT, call.over)
                yield pb.WatchJobResponse(job=convert.job(job))
        if not job.state.ended:
            call.check()


def _seconds(request: pb.GetJobRequest) -> float:
    return request.wait.seconds + request.wait.nanos / 1e9
