"""The API's servers: what is served where, how it starts and how it stops.

    --listen           waitress   Connect and gRPC-Web, /healthz, /readyz, /metrics
    --listen-grpc      grpcio     native gRPC, health, reflection
    --listen-metrics   waitress   /metrics, which then is only here

Calls that wait (streams, long polls) hold at most half of a front's threads, so that others find one; probes and
metrics have threads of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent import telemetry
from agent.api.auth import Admit
from agent.api.call import Observer, Slots, Unmeasured
from agent.api.connect import ConnectFront
from agent.api.http import Health, Hook, Page, Router, metrics_only, metrics_page, probe
from agent.api.listen import Address
from agent.api.native import NativeFront
from agent.api.service import Service
from agent.api.web import WebServer
from agent.settings import ApiSettings

HTTP_THREADS = 32
"""Threads of `--listen`: 16 may wait, which is more people than watch one agent at a time; the rest answers in
milliseconds. A thread that has done nothing yet costs about 30 KB."""

PROBES = ("/healthz", "/readyz", "/metrics")
"""What is asked by machines that take silence for death."""

_METRICS_THREADS = 2

GRACE = 1.0
"""Seconds that running calls have to end when the agent stops; streams look every half second."""

_log = telemetry.logger("api")


@dataclass(frozen=True, slots=True)
class Beside:
    """What is served beside the API.

    Attributes:
        health: How the agent is.
        metrics: The metrics in Prometheus' text format.
        pages: More plain pages by their path.
        hooks: What takes POSTs, by its path.
        observer: Is told of every call of the API.
    """

    health: Callable[[], Health]
    metrics: Callable[[], bytes]
    pages: Mapping[str, Page] = field(default_factory=dict)
    hooks: Mapping[str, Hook] = field(default_factory=dict)
    observer: Observer = field(default_factory=Unmeasured)


class ApiServer:
    """Everything the agent serves.

    Args:
        service: Answers the calls.
        settings: Where to listen.
        admit: Finds out who calls.
        beside: What is served beside them.
        stop: Set when the agent is shutting down.

    Raises:
        UsageError: An address makes no sense.
    """

    def __init__(
        self,
        service: Service,
        settings: ApiSettings,
        admit: Admit,
        beside: Beside,
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        health, metrics = beside.health, metrics_page(beside.metrics)
        pages: dict[str, Page] = {
            **beside.pages,
            "/healthz": probe(health, lambda state: state.live),
            "/readyz": probe(health, lambda state: state.ready),
        }
        if not settings.listen_metrics:
            pages["/metrics"] = metrics
        connect = ConnectFront(service, admit, Slots(HTTP_THREADS // 2), stop, beside.observer)
        router = Router(connect.path, connect, pages, beside.hooks)
        self._http = WebServer("api-http", router, HTTP_THREADS, stop, aside=PROBES)
        self._metrics = WebServer("api-metrics", metrics_only(metrics), _METRICS_THREADS, stop)
        self._native = NativeFront(service, admit, stop, lambda: health().ready, beside.observer)

    @property
    def http_port(self) -> int:
        """The port of `--listen`."""
        return self._http.port

    @property
    def grpc_port(self) -> int:
        """The port of `--listen-grpc`."""
        return self._native.port

    @property
    def metrics_port(self) -> int:
        """The port of `--listen-metrics`; 0 where there is none of its own."""
        return self._metrics.port

    def start(self) -> None:
        """Listen and serve on every address, in threads of their own.

        Raises:
            UsageError: An address cannot be listened on; nothing is served then.
        """
        settings = self._settings
        try:
            self._http.start(Address.parse("listen", settings.listen))
            self._native.start(Address.parse("listen-grpc", settings.listen_grpc))
            if settings.listen_metrics:
                self._metrics.start(Address.parse("listen-metrics", settings.listen_metrics))
        except BaseException:
            self.stop()
            raise
        _log.info("serving", http=self.http_port, grpc=self.grpc_port, metrics=self.metrics_port or self.http_port)
        if settings.auth == "none":
            _log.warning("--auth=none: whoever reaches these ports may use the agent; nobody is asked who they are")

    def stop(self) -> None:
        """End every call and close every port, within about two seconds; the stop event should be set before."""
        fronts = [
            threading.Thread(target=front.stop, args=(GRACE,), daemon=True)
            for front in (self._http, self._native, self._metrics)
        ]
        for thread in fronts:
            thread.start()
        for thread in fronts:
            thread.join(2 * GRACE + 1)
