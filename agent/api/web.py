"""A WSGI application on waitress, in a thread that can be stopped.

The only module that knows waitress, which brings no stop of its own for one listener: the loop is run here, step by
step, until it is asked to end. What probes ask has threads of its own, so that it is answered however long the calls
take: kubelet restarts what does not answer, and a restart mends no API server that hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.server import create_server
from waitress.task import ThreadedTaskDispatcher

from agent import telemetry
from agent.api.listen import Address

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_SETTINGS: dict[str, Any] = {
    "ident": "flux-agent",
    # Each watcher and each connection the API server keeps is one; select() ends at 1,024 files, poll() does not.
    "connection_limit": 512,
    "asyncore_use_poll": True,
    # Longer than the 90 s for which the API server keeps an idle connection: who is to reuse it must close it.
    "channel_timeout": 120,
    "max_request_header_size": 64 * 1024,
    "max_request_body_size": 1024 * 1024,
    # Requests never touch the disk; a long answer may (above 1 MiB), so that a slow reader costs no memory.
    "inbuf_overflow": 2 * 1024 * 1024,
    # The connection is read while its request is served, so a caller that hangs up is noticed.
    "channel_request_lookahead": 1,
    "log_socket_errors": False,
}

_ASIDE_THREADS = 2

_log = telemetry.logger("api")


class WebServer:
    """Serves one application at one address.

    Args:
        name: The name of its thread.
        application: What answers.
        threads: How many requests are served at a time.
        stop: Set when the agent is shutting down; set here where the server breaks.
        aside: Paths that are served beside those.
    """

    def __init__(
        self,
        name: str,
        application: WSGIApplication,
        threads: int,
        stop: threading.Event,
        aside: Collection[str] = (),
    ) -> None:
        self._application = application
        self._threads = threads
        self._aside = frozenset(aside)
        self._stop = stop
        self._ended = threading.Event()
        self._channels: dict[int, Any] = {}
        self._server: Any = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.port = 0

    def start(self, address: Address) -> None:
        """Listen and serve; `port` tells where.

        Raises:
            UsageError: The address cannot be listened on.
        """
        listener = address.bind()
        self.port = listener.getsockname()[1]
        lanes = _Lanes(self._threads, self._aside)
        self._server = create_server(
            self._application, map=self._channels, sockets=[listener], _dispatcher=lanes, **_SETTINGS
        )
        self._thread.start()

    def stop(self, grace: float) -> None:
        """Let running requests end within `grace` seconds, then close every connection.

        Where a request does not end, the files stay open to the end of the process: its thread would still write to
        them, by numbers that may be somebody else's by then.
        """
        server, self._server = self._server, None
        if server is None:
            return
        server.task_dispatcher.shutdown(timeout=grace)
        self._ended.set()
        server.pull_trigger()
        self._thread.join(grace)
        # Closed last and here: the loop's wake-up is a pipe that every other thread may still write to.
        if not (self._thread.is_alive() or server.task_dispatcher.threads):
            wasyncore.close_all(self._channels, ignore_all=True)

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                wasyncore.loop(timeout=1, use_poll=True, map=self._channels, count=1)
        except Exception as error:  # noqa: BLE001 # a server that quietly ended would look like a hanging agent
            _log.error("the HTTP server broke; the agent stops", exc_info=error)
            self._stop.set()


class _Lanes(ThreadedTaskDispatcher):
    """Waitress's dispatcher, and beside it another one, whose requests never wait behind the rest."""

    def __init__(self, threads: int, aside: frozenset[str]) -> None:
        super().__init__()
        self._aside = aside
        self._beside = ThreadedTaskDispatcher()
        self.set_thread_count(threads)
        self._beside.set_thread_count(_ASIDE_THREADS if aside else 0)

    def add_task(self, task: Any) -> None:
        """Have a connection's next request served; one that could not be read may have no path."""
        if getattr(task.requests[0], "path", "") in self._aside:
            self._beside.add_task(task)
        else:
            super().add_task(task)

    def shutdown(self, cancel_pending: bool = True, timeout: int = 5) -> bool:  # noqa: FBT001, FBT002 # waitress's
        """End the threads, those aside first: they are soon done."""
        self._beside.shutdown(cancel_pending, timeout)
        return super().shutdown(cancel_pending, timeout)
