"""HTTP to the agent: straight to an address, or to the API server through `kubectl proxy`.

kubectl does every kind of authentication there is, so the plugin needs no Kubernetes library and starts fast. What is
said over HTTP is not known here: `locate` knows the API server's paths, `client` the agent's protocol.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from kubectl_flux.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPConnection

    from kubectl_flux.kubectl import KubectlProxy
    from kubectl_flux.wait import Deadline

LARGEST_ANSWER = 64 * 1024 * 1024
HIDDEN_DETAIL = 300


class Request(NamedTuple):
    """One HTTP request, its path without the connection's prefix; a request with a body is a POST."""

    path: str
    headers: Mapping[str, str]
    body: bytes | None = None


class Reply(NamedTuple):
    """What came back; `json` tells whether the body claims to be JSON."""

    status: int
    json: bool
    body: bytes

    def excerpt(self) -> str:
        """The beginning of the body as text, for error sentences."""
        return self.body[:HIDDEN_DETAIL].decode(errors="replace").strip()


class Link:
    """One kept HTTP connection, made on first use and remade when the other side closed it in between."""

    def __init__(self, connect: Callable[[float], HTTPConnection], where: str, prefix: str = "") -> None:
        self._connect = connect
        self._connection: HTTPConnection | None = None
        self._prefix = prefix
        self.where = where
        """The other side as an error sentence calls it."""

    def send(self, request: Request, timeout: float) -> Reply:
        """Send one request and read its answer; `timeout` is in seconds, per read.

        Raises:
            UnreachableError: There was no answer.
        """
        from http.client import HTTPException  # noqa: PLC0415 - 20 ms, spent while kubectl starts

        kept = self._connection is not None
        try:
            return self._exchange(request, timeout)
        except TimeoutError as error:
            self.close()
            raise UnreachableError(f"{self.where} did not answer within {timeout:.0f} s") from error
        except (OSError, HTTPException) as error:
            self.close()
            if kept and request.body is None and not isinstance(error, ConnectionRefusedError):
                return self.send(request, timeout)
            raise UnreachableError(f"{self.where} cannot be reached: {error or type(error).__name__}") from error

    def _exchange(self, request: Request, timeout: float) -> Reply:
        if self._connection is None:
            self._connection = self._connect(timeout)
        connection = self._connection
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        method = "GET" if request.body is None else "POST"
        connection.request(method, self._prefix + request.path, body=request.body, headers=dict(request.headers))
        with connection.getresponse() as response:
            body = response.read(LARGEST_ANSWER + 1)
            if len(body) > LARGEST_ANSWER:
                raise OSError(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
            kind = response.headers.get_content_type()
            return Reply(response.status, kind == "application/json", body)

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def direct_link(url: str) -> Link:
    """A link straight to an address; certificates are checked against the system's authorities."""
    parts = urlsplit(url)

    def connect(timeout: float) -> HTTPConnection:
        import http.client  # noqa: PLC0415 - 20 ms

        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=timeout)

    return Link(connect, f"the agent at {url}", parts.path)


def proxied_link(proxy: KubectlProxy, deadline: Deadline) -> Link:
    """A link to the API server through a starting `kubectl proxy`, which is waited for on the first request."""

    def connect(timeout: float) -> HTTPConnection:
        from http.client import HTTPConnection  # noqa: PLC0415 - 20 ms, spent while kubectl starts

        address = proxy.address(deadline)
        connection = HTTPConnection("localhost", timeout=timeout)
        connection.sock = _dial(address, timeout)
        connection.auto_open = 0
        return connection

    return Link(connect, "the cluster's API server", proxy.prefix)


def _dial(address: str, timeout: float) -> socket.socket:
    """Connect to a unix socket's path, or to `host:port`."""
    if address.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(address)
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout)
