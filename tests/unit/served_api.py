"""The API served on loopback, and small callers of both fronts: what the tests of the servers share."""

import base64
import contextlib
import http.client
import json
import struct
import threading
from dataclasses import dataclass, field, replace

import grpc

from agent.api.auth import admit_everybody
from agent.api.call import Unmeasured
from agent.api.http import Health
from agent.api.jobs import Jobs
from agent.api.revisions import Revisions
from agent.api.server import ApiServer, Beside
from agent.api.service import Handlers, Service
from agent.changes import Changes
from agent.model.errors import NotReadyError
from agent.model.ids import WorkloadId
from agent.model.status import RepositoryStatus, Status
from agent.model.workloads import Container, Rollout, Workload, WorkloadSnapshot
from agent.settings import ApiSettings
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.rpc.flux.v1.flux_pb2_grpc import FluxStub

LOOPBACK = ApiSettings(listen="127.0.0.1:0", listen_grpc="127.0.0.1:0", auth="none")


@dataclass
class Reads:
    """What the reads show; replaced at will."""

    state: Status = field(
        default_factory=lambda: Status(repository=RepositoryStatus("ssh://git@h/a", "master", ready=True))
    )
    snapshot: WorkloadSnapshot = field(default_factory=WorkloadSnapshot)
    changes: Changes = field(default_factory=Changes)

    def status(self):
        return self.state

    def workloads(self):
        return self.snapshot

    def version(self):
        return self.changes.version

    def wait(self, after, timeout, over):
        return self.changes.wait(after, timeout, over)


def many_workloads(number):
    """A cluster of so many deployments, as wide as usual ones."""
    labels = {"app": "shop", "fluxcd.io/sync-gc-mark": "sha256.oenxVziS5OXJeRGrJVzEoMq6ZE10_Ud9Y0Oftev2MLQ"}
    containers = (Container("web", "registry.example.com/acme/shop:1.2.3"), Container("side", "acme/side:v2"))
    return WorkloadSnapshot(
        tuple(
            Workload(
                WorkloadId(f"team-{n % 20}", "deployment", f"app-{n:05}"),
                containers,
                "ready",
                Rollout(2, 2, 2, 2),
                labels,
            )
            for n in range(number)
        )
    )


def absent_handlers(**present):
    """Handlers that answer nothing, but for those given."""

    def absent(_request, _call):
        raise NotReadyError("not in this test")

    return Handlers(**(dict.fromkeys(Handlers.__dataclass_fields__, absent) | present))


class Served:
    """An agent's API on free ports."""

    def __init__(self, settings=LOOPBACK, pages=None, hooks=None, admit=admit_everybody, observer=None):
        self.reads, self.tickets, self.stop, self.health = Reads(), [], threading.Event(), Health()
        self.jobs = Jobs(self.tickets.append)
        revisions = Revisions(self.reads, None)  # nothing was fetched, so nobody is asked about commits
        self.service = Service(self.reads, self.jobs, absent_handlers(get_revision=revisions.get), "1.2.3")
        metrics = lambda: b"flux_git_ready 1.0\n"  # noqa: E731
        observer = observer or Unmeasured()
        beside = Beside(lambda: self.health, metrics, pages or {}, hooks or {}, observer)
        self.server = ApiServer(self.service, settings, admit, beside, self.stop)
        self.server.start()

    def close(self):
        self.stop.set()
        self.server.stop()

    def get(self, path, port=0, method="GET"):
        """Status and body of a plain page."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port or self.server.http_port, 10)) as link:
            link.request(method, path)
            answer = link.getresponse()
            return answer.status, answer.read().decode()

    def post(self, method, body=b"{}", content_type="application/json", **headers):
        """Status, headers and body of a Connect call."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=30)) as link:
            link.request("POST", f"/flux.v1.Flux/{method}", body, {"Content-Type": content_type, **headers})
            answer = link.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def channel(self):
        """A channel to the gRPC front, not shared with any other test."""
        options = (("grpc.use_local_subchannel_pool", 1),)
        return grpc.insecure_channel(f"127.0.0.1:{self.server.grpc_port}", options)

    def stub(self, channel):
        return FluxStub(channel)

    def watch(self, job_id):
        """An open Connect stream."""
        return ConnectWatch(self.server.http_port, job_id)


class ConnectWatch:
    """One WatchJob over the Connect protocol, read message by message."""

    def __init__(self, port, job_id):
        self.link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        message = pb.WatchJobRequest(job_id=job_id).SerializeToString()
        headers = {"Content-Type": "application/connect+proto"}
        self.link.request("POST", "/flux.v1.Flux/WatchJob", struct.pack(">BI", 0, len(message)) + message, headers)
        self.answer = None

    def next(self):
        """The next message, or the end of the stream as a dict."""
        self.answer = self.answer or self.link.getresponse()
        flags, length = struct.unpack(">BI", self.answer.read(5))
        data = self.answer.read(length)
        return json.loads(data) if flags & 2 else pb.WatchJobResponse.FromString(data).job

    def close(self):
        if self.answer:
            self.answer.close()
        self.link.close()


def as_get(method, message):
    """The path of a Connect GET with a binary message."""
    packed = base64.urlsafe_b64encode(message.SerializeToString()).decode().rstrip("=")
    return f"/flux.v1.Flux/{method}?connect=v1&encoding=proto&base64=1&message={packed}"


def with_settings(**changes):
    """The loopback settings, but for these."""
    return replace(LOOPBACK, **changes)
