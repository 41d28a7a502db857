"""An embedded stand-in for a Kubernetes API server: one object to start, use by HTTP, and stop.

It is for `make demo` and fast tests, and does what the agent, the plugin and kubectl use of an API server; the suite
in `tests/conformance` holds it to what a real one answers. RBAC is enforced, but Roles and bindings may be written
without the rights they grant: there is no escalation check. It validates next to nothing, speaks next to no protobuf,
runs no pods, makes no default ServiceAccounts, aggregates no ClusterRoles, collects no dependents of deleted owners,
converts nothing between versions, and keeps all in memory. `docs/decisions.md` tells why it exists.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agent.sandbox import rbac
from agent.sandbox.callers import Callers, Users
from agent.sandbox.calls import now
from agent.sandbox.controllers import Controllers
from agent.sandbox.front import Handler, State
from agent.sandbox.kinds import Catalogue
from agent.sandbox.proxy import Routes
from agent.sandbox.reviews import Reviews
from agent.sandbox.store import Kept, Store
from agent.sandbox.strategies import Addresses, created
from agent.sandbox.tokens import Tokens
from agent.sandbox.verbs import NAMESPACES, Verbs

Object = dict[str, Any]

STOP_WITHIN = 1.0
"""Seconds in which everything has stopped."""


class _Server(http.server.HTTPServer):
    """One thread a connection, all of them known, so that they can be joined."""

    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, state: State, port: int) -> None:
        self.state = state
        self._threads: list[threading.Thread] = []
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self) -> None:
        """Bind without the base class's look-up of the host's name."""
        socket_server = self.socket
        socket_server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        socket_server.bind(self.server_address)
        self.server_address = socket_server.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a new connection on a thread of its own."""
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="sandbox-connection", daemon=True
        )
        self._threads = [known for known in self._threads if known.is_alive()] + [thread]
        thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            self.finish_request(request, client_address)
        self.shutdown_request(request)

    def join(self, deadline: float) -> None:
        """Wait until a monotonic time for the connections' threads."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


class SandboxCluster:
    """The stand-in; also a context manager that starts and stops it.

    Args:
        port: On loopback; 0 takes a free one.
        ready_after: Seconds from a change of a workload until its status says that it is rolled out.
        history: How many changes watches can look back.
        users: People by their tokens: name and groups. Who shows no token is the administrator.
    """

    def __init__(
        self, *, port: int = 0, ready_after: float = 0.05, history: int = 20_000, users: Users | None = None
    ) -> None:
        self.store = Store(history)
        self._catalogue = Catalogue()
        self._routes = Routes()
        tokens = Tokens(self.store)
        callers = Callers(self.store, tokens, users or {})
        reviews = Reviews(self.store, tokens, callers)
        self._state = State(self.store, Verbs(self.store), callers, reviews, self._catalogue, self._routes)
        self._server = _Server(self._state, port)
        self._controllers = Controllers(self.store, self._catalogue, ready_after)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="sandbox-listener", daemon=True
        )
        self._seed()

    @property
    def url(self) -> str:
        """The server's address: `http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> Self:
        """Serve. It answers as soon as this returns."""
        self._controllers.start()
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving, cut all connections and join all threads, within `STOP_WITHIN` seconds."""
        deadline = time.monotonic() + STOP_WITHIN
        self._state.stopping.set()
        self.store.wake()
        self._server.shutdown()
        for sock in tuple(self._state.sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._controllers.stop(max(0.0, deadline - time.monotonic()))
        self._server.join(deadline)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._server.server_close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def route(self, namespace: str, service: str, host: str, port: int) -> None:
        """Let the services proxy lead to an address, once there is a Service of this name; all its ports go there."""
        self._routes.set(namespace, service, host, port)

    def kubeconfig(self, path: Path, namespace: str = "default", *, token: str = "") -> Path:
        """Write a kubeconfig, readable by its owner only, for this cluster; give back its path.

        kubectl sends no token over plain HTTP, other programs do.
        """
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": {"server": self.url}}],
            "users": [{"name": "sandbox", "user": {"token": token} if token else {}}],
            "contexts": [
                {"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox", "namespace": namespace}}
            ],
            "current-context": "sandbox",
        }
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
        return path

    def get(self, plural: str, namespace: str, name: str, *, group: str = "") -> Object | None:
        """One stored object, or None; for tests. It must not be changed."""
        return self.store.get((group, plural), namespace, name)

    def _seed(self) -> None:
        for name in ("default", "kube-node-lease", "kube-public", "kube-system"):
            labels = {"kubernetes.io/metadata.name": name}
            obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
            self._put(NAMESPACES, obj)
        for plural, obj in rbac.bootstrap():
            self._put((rbac.GROUP, plural), obj)

    def _put(self, kept: Kept, obj: Object) -> None:
        if kind := self._catalogue.kept_as(kept):
            self.store.put(kept, created(obj, kind, now(), Addresses()))
