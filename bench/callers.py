"""Callers of the agent's API, run inside the control plane's network; each sends the token of $FLUX_TOKEN.

    callers.py sync HTTP RATE CONNECTIONS         asks for a sync, and until it has ended for other things, steadily
    callers.py probe HTTP GRPC WATCHERS PROBES    times /healthz while so many watchers are attached
    callers.py releases HTTP N WORKLOAD IMAGE...  releases N times to a workload, the images in turn, waiting for each
    callers.py attach HTTP GRPC WATCHERS          what `probe` starts: attaches them until its stdin ends

HTTP and GRPC are the agent's own addresses, `host:port`. Prints one JSON object. Watchers do as the plugin does: one
that is refused for want of room asks again a second later.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import histogram
from google.protobuf.message import Message

from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.rpc.flux.v1.flux_pb2_grpc import FluxStub

TIMEOUT = 60.0
LONGEST_SYNC = 1800.0
ATTACH_TIMEOUT = 120.0
RETRY_AFTER = 1.0
HELD = 0.2
POLL = 25
PROBE_EVERY = 0.1
HISTOGRAM = "flux_api_request_duration_seconds"
STEADY = ("ListWorkloads", "GetStatus", "GetJob")
UNKNOWN_COMMIT = "f" * 40
SERVICE = "/flux.v1.Flux/"
_BUSY = 429
_LAST = 2  # the flag of Connect's last frame, which says how the stream ended


class Caller:
    """One kept connection to the agent's HTTP port."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
        self._headers = {"X-Flux-Token": os.environ["FLUX_TOKEN"]}

    def read(self, method: str, message: Message) -> tuple[int, bytes]:
        """A read as the plugin sends it: the status and the answer's body."""
        packed = base64.urlsafe_b64encode(message.SerializeToString()).decode().rstrip("=")
        return self.get(f"{SERVICE}{method}?connect=v1&encoding=proto&base64=1&message={packed}")

    def get(self, path: str) -> tuple[int, bytes]:
        """GETs a path."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def post(self, method: str, body: bytes, content_type: str) -> http.client.HTTPResponse:
        """POSTs a message; its answer is still to be read."""
        self._connection.request("POST", f"{SERVICE}{method}", body, {**self._headers, "Content-Type": content_type})
        return self._connection.getresponse()

    def close(self) -> None:
        """Hangs up."""
        self._connection.close()


# -- steady calls while a sync goes on --------------------------------------------------------------------------------


class Steady:
    """Calls at a steady rate over a few connections, until a job has ended.

    A call that had to wait for the one before it counts from the moment when it was due.
    """

    def __init__(self, address: str, rate: float, connections: int) -> None:
        self._address, self._rate, self._connections = address, rate, connections
        self._turns = itertools.count()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.seconds: dict[str, list[float]] = {name: [] for name in STEADY}
        self.failures: list[str] = []

    def run(self, job_id: str) -> None:
        """Calls until the job has ended."""
        threads = [threading.Thread(target=self._calls, args=(job_id, n)) for n in range(self._connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONGEST_SYNC)

    def _calls(self, job_id: str, number: int) -> None:
        caller, interval = Caller(self._address), self._connections / self._rate
        due, free = time.monotonic() + number / self._rate, 0.0
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            with self._lock:
                name = STEADY[next(self._turns) % len(STEADY)]
            self._call(caller, name, job_id, due if free > due else time.monotonic())
            due, free = due + interval, time.monotonic()

    def _call(self, caller: Caller, name: str, job_id: str, begun: float) -> None:
        request = pb.GetJobRequest(job_id=job_id) if name == "GetJob" else getattr(pb, f"{name}Request")()
        status, body = caller.read(name, request)
        taken = time.monotonic() - begun
        with self._lock:
            if status == http.HTTPStatus.OK:
                self.seconds[name].append(taken)
            else:
                self.failures.append(f"{name}: HTTP {status}: {body[:200].decode(errors='replace')}")
        if name == "GetJob" and status == http.HTTPStatus.OK:
            job = pb.GetJobResponse.FromString(body).job
            if job.state in (pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED):
                self._ended.set()


def sync(address: str, rate: float, connections: int) -> dict[str, Any]:
    """Asks for a sync and calls steadily until it has ended."""
    caller, steady = Caller(address), Steady(address, rate, connections)
    before = _counted(caller)
    started = time.monotonic()
    answer = caller.post("Sync", pb.SyncRequest().SerializeToString(), "application/proto")
    body = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise SystemExit(f"Sync: HTTP {answer.status}: {body[:500].decode(errors='replace')}")
    steady.run(pb.SyncResponse.FromString(body).job_id)
    return {
        "sync": time.monotonic() - started,
        "seconds": steady.seconds,
        "failures": steady.failures,
        "buckets": histogram.between(before, _counted(caller)),
    }


def _counted(caller: Caller) -> histogram.Buckets:
    return histogram.buckets(caller.get("/metrics")[1].decode(), HISTOGRAM, STEADY)


# -- releases one after the other -------------------------------------------------------------------------------------


def releases(address: str, number: int, workload: str, images: Sequence[str]) -> dict[str, Any]:
    """Releases the images in turn; the seconds until each was done."""
    caller, taken = Caller(address), []
    for image, _ in zip(itertools.cycle(images), range(number), strict=False):
        started = time.monotonic()
        request = pb.ReleaseRequest(workloads=[workload], image=image, cause=pb.Cause(user="Ann <ann@example.com>"))
        answer = caller.post("Release", request.SerializeToString(), "application/proto")
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise SystemExit(f"Release: HTTP {answer.status}: {body[:500].decode(errors='replace')}")
        _wait_for(caller, pb.ReleaseResponse.FromString(body).job_id)
        taken.append(time.monotonic() - started)
    return {"seconds": taken}


def _wait_for(caller: Caller, job_id: str) -> None:
    version = 0
    while True:
        request = pb.GetJobRequest(job_id=job_id, after_version=version)
        request.wait.seconds = POLL
        status, body = caller.read("GetJob", request)
        job = pb.GetJobResponse.FromString(body).job if status == http.HTTPStatus.OK else None
        if job is None or job.state == pb.JOB_STATE_FAILED:
            raise SystemExit(f"GetJob: HTTP {status}: {body[:500].decode(errors='replace')}")
        if job.state == pb.JOB_STATE_SUCCEEDED:
            return
        version = job.version


# -- watchers ---------------------------------------------------------------------------------------------------------


class Refused(Exception):  # noqa: N818 # what happens to a watcher, and no fault
    """There is no room for one more that waits."""


class Watchers:
    """Watchers of all kinds: of five, three poll over HTTP, one has a stream over HTTP, one a native gRPC stream."""

    def __init__(self, address: str, native: str, number: int) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, float] = {}
        self._met: set[int] = set()
        self.all_met = threading.Event()
        self.refused = 0
        self.errors: list[str] = []
        ways: tuple[Callable[[int], None], ...] = (*[lambda n: self._poll(n, address)] * 3,)
        ways += (lambda n: self._stream(n, address), lambda n: self._native(n, native))
        self._number = number
        for index in range(number):
            threading.Thread(target=self._watch, args=(index, ways[index % len(ways)]), daemon=True).start()

    def told(self) -> dict[str, Any]:
        """How they are: those that have been waiting for a while are held by the agent."""
        with self._lock:
            waiting = sum(time.monotonic() - since > HELD for since in self._waiting.values())
            return {"waiting": waiting, "refused": self.refused, "errors": self.errors[:5]}

    def _watch(self, index: int, way: Callable[[int], None]) -> None:
        while True:
            try:
                way(index)
            except Refused:
                self._is_met(index, refused=1)
            except Exception as error:  # noqa: BLE001 # told at the end
                with self._lock:
                    self.errors.append(f"{type(error).__name__}: {error}")
            finally:
                with self._lock:
                    self._waiting.pop(index, None)
            time.sleep(RETRY_AFTER)

    def _is_met(self, index: int, *, refused: int = 0) -> None:
        """The agent has answered this one, if only to refuse it."""
        with self._lock:
            self.refused += refused
            self._met.add(index)
            if len(self._met) == self._number:
                self.all_met.set()

    def _waits(self, index: int) -> None:
        with self._lock:
            self._waiting[index] = time.monotonic()

    def _poll(self, index: int, address: str) -> None:
        version = 0
        with contextlib.closing(Caller(address)) as caller:
            while True:
                request = pb.GetRevisionRequest(after_version=version)
                request.wait.seconds = POLL
                status, body = caller.read("GetRevision", request)
                if status == _BUSY:
                    raise Refused
                if status != http.HTTPStatus.OK:
                    raise ConnectionError(f"HTTP {status}: {body[:200].decode(errors='replace')}")
                version = pb.GetRevisionResponse.FromString(body).progress.version
                self._is_met(index)
                self._waits(index)

    def _stream(self, index: int, address: str) -> None:
        message = pb.WaitForRevisionRequest(ref=UNKNOWN_COMMIT).SerializeToString()
        with contextlib.closing(Caller(address)) as caller:
            packed = struct.pack(">BI", 0, len(message)) + message
            answer = caller.post("WaitForRevision", packed, "application/connect+proto")
            while head := answer.read(5):
                flags, length = struct.unpack(">BI", head)
                data = answer.read(length)
                if flags & _LAST:
                    self._ended(json.loads(data))
                self._is_met(index)
                self._waits(index)

    @staticmethod
    def _ended(said: Mapping[str, Any]) -> None:
        if said.get("error", {}).get("code") == "resource_exhausted":
            raise Refused
        raise ConnectionError(f"a stream ended: {said}")

    def _native(self, index: int, address: str) -> None:
        request = pb.WaitForRevisionRequest(ref=UNKNOWN_COMMIT)
        metadata = [("x-flux-token", os.environ["FLUX_TOKEN"])]
        with grpc.insecure_channel(address, (("grpc.use_local_subchannel_pool", 1),)) as channel:
            try:
                for _ in FluxStub(channel).WaitForRevision(request, metadata=metadata):
                    self._is_met(index)
                    self._waits(index)
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise Refused from error
                raise


def attach(address: str, native: str, number: int) -> dict[str, Any]:
    """Attaches watchers, says so when the agent has answered each of them, and ends with stdin."""
    watchers = Watchers(address, native, number)
    if not watchers.all_met.wait(ATTACH_TIMEOUT):
        raise SystemExit(f"not every watcher was answered: {watchers.told()}")
    print("attached", flush=True)
    sys.stdin.read()
    return watchers.told()


def probe(address: str, native: str, watchers: int, probes: int) -> dict[str, Any]:
    """Times /healthz over new connections, as a kubelet asks it, beside watchers of another process."""
    command = [sys.executable, __file__, "attach", address, native, str(watchers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        try:
            if crowd.stdout is None or crowd.stdout.readline() != "attached\n":
                raise SystemExit("the watchers did not attach")
            seconds = [_probed(address) for _ in range(probes)]
            told, _ = crowd.communicate(timeout=TIMEOUT)
        finally:
            crowd.kill()
    return {"seconds": seconds, **json.loads(told)}


def _probed(address: str) -> float:
    time.sleep(PROBE_EVERY)
    started = time.monotonic()
    with contextlib.closing(Caller(address)) as caller:
        status, body = caller.get("/healthz")
    if status != http.HTTPStatus.OK:
        raise SystemExit(f"/healthz: HTTP {status}: {body[:200].decode(errors='replace')}")
    return time.monotonic() - started


def main(arguments: list[str]) -> None:
    """Does what the first argument says."""
    match arguments:
        case ["sync", address, rate, connections]:
            answer = sync(address, float(rate), int(connections))
        case ["probe", address, native, watchers, probes]:
            answer = probe(address, native, int(watchers), int(probes))
        case ["releases", address, number, workload, *images]:
            answer = releases(address, int(number), workload, images)
        case ["attach", address, native, watchers]:
            answer = attach(address, native, int(watchers))
        case _:
            raise SystemExit(__doc__)
    print(json.dumps(answer), flush=True)
    os._exit(0)  # watchers wait for ever


if __name__ == "__main__":
    main(sys.argv[1:])
