"""The agent's API as typed calls, over the Connect protocol (https://connectrpc.com/docs/protocol).

Reads are GETs and changes POSTs, so that Kubernetes' RBAC tells them apart. Messages are binary protobuf: its import
takes longer than json's, but runs while kubectl starts, and spares the agent 24 ms of a list of 1,000 workloads.
`connect` is the plugin's composition root: it chooses the way and ends it again.
"""

from __future__ import annotations

import base64
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from kubectl_flux.errors import UnreachableError
from kubectl_flux.replies import OK, error_of
from kubectl_flux.transport import Reply, Request
from kubectl_flux.wait import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from kubectl_flux.options import Globals
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

    Answer = TypeVar("Answer", bound=Message)

SERVICE = "flux.v1.Flux"
PAGE_SIZE = 1000
ANSWER_MARGIN = 10.0


class Agent(Protocol):
    """A way to the agent."""

    @property
    def where(self) -> str:
        """The agent as an error sentence calls it."""

    def send(self, request: Request, timeout: float) -> Reply:
        """Send one request; the path is the method's."""

    def close(self) -> None:
        """Close the connection."""


class WorkloadList(NamedTuple):
    """A list of workloads, the version of the agent's view that it shows, and whether there are others, not shown."""

    version: int
    workloads: list[pb.Workload]
    restricted: bool = False


class FluxClient:
    """What a command can ask of the agent; every call ends by the deadline, a long poll soon after its wait.

    All methods raise UnreachableError where nothing answers, RefusedError where the answer is no, and TimedOutError.
    """

    def __init__(self, agent: Agent, deadline: Deadline) -> None:
        from kubectl_flux.rpc.flux.v1 import flux_pb2  # noqa: PLC0415 - 40 ms, spent while kubectl starts

        self._pb = flux_pb2
        self._agent = agent
        self.deadline = deadline

    def version(self) -> pb.VersionResponse:
        """What is running."""
        return self._read("Version", self._pb.VersionRequest(), self._pb.VersionResponse)

    def repository(self) -> pb.Repository:
        """Which repository is followed."""
        return self._read("GetRepository", self._pb.GetRepositoryRequest(), self._pb.GetRepositoryResponse).repository

    def workloads(self, namespace: str) -> Iterator[pb.Workload]:
        """The workloads of a namespace, empty for all, ordered by id; read page by page."""
        for page in self._workload_pages(namespace, 0, 0.0):
            yield from page.workloads

    def workload_list(self, namespace: str, after_version: int, wait: float) -> WorkloadList:
        """All workloads of a namespace, once something has changed since this version or after `wait` seconds."""
        pages = list(self._workload_pages(namespace, after_version, wait))
        workloads = [workload for page in pages for workload in page.workloads]
        return WorkloadList(pages[0].version, workloads, any(page.restricted for page in pages))

    def status(self) -> pb.GetStatusResponse:
        """How the cluster stands to git."""
        return self._read("GetStatus", self._pb.GetStatusRequest(), self._pb.GetStatusResponse)

    def revision(self, ref: str, after_version: int = 0, wait: float = 0.0) -> pb.RevisionProgress:
        """How far a commit has come, empty for the newest seen, once it has come further or after `wait` seconds."""
        request = self._pb.GetRevisionRequest(ref=ref, after_version=after_version)
        request.wait.FromNanoseconds(int(wait * 1e9))
        return self._read("GetRevision", request, self._pb.GetRevisionResponse, wait=wait).progress

    def export(self, namespace: str) -> Iterator[pb.ExportResponse]:
        """The Namespaces and workloads of a namespace, empty for all, as manifests; page by page."""
        token = ""
        while True:
            request = self._pb.ExportRequest(namespace=namespace, page_token=token)
            page = self._read("Export", request, self._pb.ExportResponse)
            yield page
            if not page.next_page_token or page.next_page_token == token:
                return
            token = page.next_page_token

    def diff(self, ref: str) -> Iterator[pb.DiffResponse]:
        """What a sync of a revision would change, empty for the newest that the agent has seen; page by page."""
        token = ""
        while True:
            page = self._read("Diff", self._pb.DiffRequest(ref=ref, page_token=token), self._pb.DiffResponse)
            yield page
            if not page.next_page_token or page.next_page_token == token:
                return
            token = page.next_page_token

    def images(self, namespace: str, workload: str, limit: int, wait: float) -> Iterator[pb.ListImagesResponse]:
        """The images of a namespace, empty for all, or of one workload; page by page.

        Args:
            namespace: Counts where no workload is named.
            workload: Its id, with namespace; empty for all.
            limit: The most images of each container, the newest; 0 for all.
            wait: Seconds that each page may take to find out what is not known yet.
        """
        token = ""
        while True:
            request = self._pb.ListImagesRequest(
                namespace=namespace, workload=workload, limit=limit, page_size=PAGE_SIZE, page_token=token
            )
            request.wait.FromNanoseconds(int(wait * 1e9))
            page = self._read("ListImages", request, self._pb.ListImagesResponse, wait=wait)
            yield page
            if not page.next_page_token or page.next_page_token == token:
                return
            token = page.next_page_token

    def explain(self, workload: str, container: str, image: str, wait: float) -> pb.ExplainResponse:
        """Which image a workload's policies pick and why, once what is not known yet was found out.

        Args:
            workload: Its id, with namespace.
            container: Only this one; empty for all.
            image: A reference or a tag to judge besides; empty for none.
            wait: Seconds that finding out may take.

        Raises:
            NotFoundError: The cluster has no such workload or container.
        """
        request = self._pb.ExplainRequest(workload=workload, container=container, image=image)
        request.wait.FromNanoseconds(int(wait * 1e9))
        return self._read("Explain", request, self._pb.ExplainResponse, wait=wait)

    def public_key(self) -> pb.GetPublicKeyResponse:
        """The public half of the agent's deploy key; everything is empty where it has none."""
        return self._read("GetPublicKey", self._pb.GetPublicKeyRequest(), self._pb.GetPublicKeyResponse)

    def sync(self, allow_deletions: str = "") -> str:
        """Ask for a sync that lets the held deletions of this hash through; returns the id of its job."""
        request = self._pb.SyncRequest(allow_deletions=allow_deletions)
        return self._change("Sync", request, self._pb.SyncResponse).job_id

    def release(self, request: pb.ReleaseRequest) -> str:
        """Ask for images to be changed in git; returns the id of its job."""
        return self._change("Release", request, self._pb.ReleaseResponse).job_id

    def update_policies(self, request: pb.UpdatePoliciesRequest) -> str:
        """Ask for policies to be changed in git; returns the id of its job."""
        return self._change("UpdatePolicies", request, self._pb.UpdatePoliciesResponse).job_id

    def job(self, job_id: str, after_version: int = 0, wait: float = 0.0) -> pb.Job:
        """How a job stands, once it has moved past this version or after `wait` seconds.

        Raises:
            NotFoundError: The agent does not know the job.
        """
        request = self._pb.GetJobRequest(job_id=job_id, after_version=after_version)
        request.wait.FromNanoseconds(int(wait * 1e9))
        return self._read("GetJob", request, self._pb.GetJobResponse, wait=wait).job

    def _workload_pages(self, namespace: str, after_version: int, wait: float) -> Iterator[pb.ListWorkloadsResponse]:
        """Page after page; only the first is waited for."""
        token = ""
        while True:
            request = self._pb.ListWorkloadsRequest(namespace=namespace, page_size=PAGE_SIZE, page_token=token)
            if after_version and not token:
                request.after_version = after_version
                request.wait.FromNanoseconds(int(wait * 1e9))
            page = self._read("ListWorkloads", request, self._pb.ListWorkloadsResponse, wait=wait)
            yield page
            if not page.next_page_token or page.next_page_token == token:
                return
            token = page.next_page_token

    def _read(self, method: str, message: Message, answer: type[Answer], wait: float = 0.0) -> Answer:
        text = base64.urlsafe_b64encode(message.SerializeToString()).rstrip(b"=").decode()
        path = f"/{SERVICE}/{method}?connect=v1&encoding=proto&base64=1&message={text}"
        return self._call(Request(path, {}), answer, wait)

    def _change(self, method: str, message: Message, answer: type[Answer]) -> Answer:
        headers = {"Content-Type": "application/proto"}
        return self._call(Request(f"/{SERVICE}/{method}", headers, message.SerializeToString()), answer, 0.0)

    def _call(self, request: Request, answer: type[Answer], wait: float) -> Answer:
        timeout = wait + ANSWER_MARGIN if wait else self.deadline.left()
        headers = {
            **request.headers,
            "Connect-Protocol-Version": "1",
            "Connect-Timeout-Ms": str(int(timeout * 1000)),
        }
        reply = self._agent.send(request._replace(headers=headers, waits=wait), timeout)
        if reply.status != OK:
            raise error_of(reply, self._agent.where, changes=request.body is not None)
        return self._decoded(reply, answer)

    def _decoded(self, reply: Reply, answer: type[Answer]) -> Answer:
        from google.protobuf.message import DecodeError  # noqa: PLC0415 - loaded with the stubs

        try:
            return answer.FromString(reply.body)
        except DecodeError as error:
            raise UnreachableError(
                f"{self._agent.where} is not kubectl-flux's agent: its answer is no protobuf message",
                hint="Is the address right?",
            ) from error


@contextmanager
def connect(settings: Globals, timeout: float | None = None) -> Iterator[FluxClient]:
    """Open the way to the agent for one command, and end it.

    kubectl is started first and everything else is loaded meanwhile.

    Args:
        settings: The global flags.
        timeout: Seconds for all calls together; None for --timeout.
    """
    from kubectl_flux.ways import direct_agent, proxied_agent  # noqa: PLC0415 - not needed by who only types

    deadline = Deadline(timeout or settings.timeout)
    if settings.url:
        with direct_agent(settings) as agent:
            yield FluxClient(agent, deadline)
        return
    with proxied_agent(settings, deadline) as agent:
        yield FluxClient(agent, deadline)
