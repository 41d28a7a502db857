"""The proxy to Services: a request to `…/services/NAME:PORT/proxy/PATH` is forwarded, its answer streamed back.

The sandbox runs no pods, so a Service's address is what `Routes` was told. As with the real server, the Service must
be there and have the port, and neither `Authorization` nor `Impersonate-…` travels on.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.sandbox.answers import Refusal, unavailable
from agent.sandbox.store import Store

Object = dict[str, Any]

TIMEOUT = 60.0
"""Seconds a service may be silent."""

_CHUNK = 65536
_OURS = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that end at a hop."""

_SPOKEN_FOR = ("x-forwarded-", "impersonate-")
"""How the headers start that the proxy writes itself, or that were meant for it alone."""


class Routes:
    """Which address stands behind a Service. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._addresses: dict[tuple[str, str], tuple[str, int]] = {}

    def set(self, namespace: str, service: str, host: str, port: int) -> None:
        """Let every port of a Service lead to one address."""
        with self._lock:
            self._addresses[namespace, service] = (host, port)

    def find(self, store: Store, namespace: str, target: str) -> tuple[str, int]:
        """The address of `NAME`, `NAME:PORT` or `http:NAME:PORT`.

        Raises:
            Refusal: There is no such Service, it has no such port, or no address was set.
        """
        parts = target.split(":")
        name, port = (parts[0], "") if len(parts) == 1 else (parts[-2], parts[-1])
        service = store.get(("", "services"), namespace, name)
        if service is None:
            details = {"name": name, "kind": "services"}
            raise Refusal(404, "NotFound", f'services "{name}" not found', details)
        ports = service["spec"].get("ports") or []
        if port.isdigit() and all(str(known.get("port")) != port for known in ports):
            raise unavailable(f'no service port {port} found for service "{name}"')
        with self._lock:
            address = self._addresses.get((namespace, name))
        if address is None:
            raise unavailable(f'no endpoints available for service "{name}"')
        if not port.isdigit() and all(known.get("name", "") != port for known in ports):
            raise unavailable(f'no endpoints available for service "{target}"')
        return address


@dataclass(frozen=True, slots=True)
class Forward:
    """A request to pass on: `path` with its query, `headers` as they came."""

    method: str
    path: str
    headers: Iterable[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answers: `length` is None where it does not say; `body` must be read to its end or closed."""

    status: int
    headers: tuple[tuple[str, str], ...]
    length: int | None
    body: Iterator[bytes]


def forward(request: Forward, address: tuple[str, int], peer: Mapping[str, str], open_: set[Any]) -> Answer:
    """Send a request to a service.

    Args:
        request: What to send.
        address: Host and port.
        peer: Headers that tell of the client: `X-Forwarded-…`.
        open_: The connection's socket is in this set while it is used, so that it can be shut from outside.

    Raises:
        Refusal: The service cannot be reached.
    """
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT)
    try:
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        open_.add(connection.sock)
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            if name.lower() not in _OURS and not name.lower().startswith(_SPOKEN_FOR):
                connection.putheader(name, value)
        for name, value in peer.items():
            connection.putheader(name, value)
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body or None)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        open_.discard(connection.sock)
        connection.close()
        raise unavailable(f"error trying to reach service: {error}") from error
    length = response.getheader("Content-Length")
    headers = tuple((name, value) for name, value in response.getheaders() if name.lower() not in _OURS)
    body = _stream(connection, response, open_)
    return Answer(response.status, headers, int(length) if length and length.isdigit() else None, body)


def _stream(connection: http.client.HTTPConnection, response: Any, open_: set[Any]) -> Iterator[bytes]:
    sock = connection.sock
    try:
        while chunk := response.read1(_CHUNK):
            yield chunk
        if response.length:  # what `read1` does not tell: the service ended before the length it promised
            raise http.client.IncompleteRead(b"", response.length)
    finally:
        open_.discard(sock)
        response.close()
        connection.close()
