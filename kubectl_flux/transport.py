"""HTTP to the agent: straight to an address, or to the API server through `kubectl proxy`.

kubectl does every kind of authentication there is, so the plugin needs no Kubernetes library and starts fast. What is
said over HTTP is not known here: `locate` knows the API server's paths, `client` the agent's protocol.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from kubectl_flux.errors import PluginError, SilentError, UnreachableError
from kubectl_flux.replies import fault_of_kubectl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPConnection
    from ssl import SSLContext

    from kubectl_flux.kubectl import KubectlProxy, PortForward
    from kubectl_flux.wait import Deadline

LARGEST_ANSWER = 64 * 1024 * 1024
HIDDEN_DETAIL = 300
HANDSHAKE = 10.0
"""Seconds for a TLS connection to stand: a port that speaks plain HTTP would wait for ever for the rest of it."""
_SCHEME = "Is it http:// and not https://?"
_SILENT = "Give it longer with --timeout, or look whether the agent's pod is well: it may be what says nothing."


class Request(NamedTuple):
    """One HTTP request, its path without the connection's prefix; a request with a body is a POST.

    `waits` is for how many seconds the other side may hold it back on purpose.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes | None = None
    waits: float = 0.0

    def __repr__(self) -> str:
        """Without headers and body: they hold tokens."""
        return f"Request(path={self.path!r})"

    def with_header(self, name: str, value: str) -> Request:
        """The same request with one header more."""
        return self._replace(headers={**self.headers, name: value})


class Reply(NamedTuple):
    """What came back; `json` tells whether the body claims to be JSON."""

    status: int
    json: bool
    body: bytes

    def excerpt(self) -> str:
        """The beginning of the body as text, for error sentences."""
        return self.body[:HIDDEN_DETAIL].decode(errors="replace").strip()


class Link:
    """One kept HTTP connection, made on first use and remade when the other side closed it in between.

    Args:
        connect: Makes the connection, within so many seconds.
        where: The other side as an error sentence calls it.
        prefix: What stands before every path.
        fault: The error that an answer of something in between means; None where it is the other side's own.
    """

    def __init__(
        self,
        connect: Callable[[float], HTTPConnection],
        where: str,
        prefix: str = "",
        fault: Callable[[Reply], PluginError | None] = lambda _reply: None,
    ) -> None:
        self._connect = connect
        self._fault = fault
        self._connection: HTTPConnection | None = None
        self._prefix = prefix
        self.where = where

    def send(self, request: Request, timeout: float) -> Reply:
        """Send one request and read its answer; `timeout` is in seconds, per read.

        Raises:
            SilentError: There was no answer in time.
            UnreachableError: There was none at all.
        """
        from http.client import HTTPException  # noqa: PLC0415 - 20 ms, spent while kubectl starts

        kept = self._connection is not None
        try:
            return self._exchange(request, timeout)
        except TimeoutError as error:
            self.close()
            raise SilentError(f"{self.where} did not answer within {timeout:.0f} s", hint=_SILENT) from error
        except (OSError, HTTPException) as error:
            self.close()
            if kept and request.body is None and not isinstance(error, ConnectionRefusedError):
                return self.send(request, timeout)
            raise _unreachable(error, self.where) from error

    def _exchange(self, request: Request, timeout: float) -> Reply:
        if self._connection is None:
            self._connection = self._connect(timeout)
        connection = self._connection
        connection.timeout = timeout  # where the other side has closed it, it connects again by itself
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        method = "GET" if request.body is None else "POST"
        connection.request(method, self._prefix + request.path, body=request.body, headers=dict(request.headers))
        with connection.getresponse() as response:
            body = response.read(LARGEST_ANSWER + 1)
            if len(body) > LARGEST_ANSWER:
                raise OSError(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
            reply = Reply(response.status, response.headers.get_content_type() == "application/json", body)
        fault = self._fault(reply)
        if fault is not None:
            raise fault
        return reply

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Tls(NamedTuple):
    """How an address's certificate is checked: by which file of authorities, empty for the system's, or not at all."""

    authority: str = ""
    insecure: bool = False


def direct_link(url: str, tls: Tls = Tls()) -> Link:  # noqa: B008 - a frozen value
    """A link straight to an address.

    Raises:
        PluginError: The file of authorities cannot be used.
    """
    parts = urlsplit(url)
    context = _tls_context(tls) if parts.scheme == "https" else None

    where = f"the agent at {url}"

    def connect(timeout: float) -> HTTPConnection:
        import http.client  # noqa: PLC0415 - 20 ms

        host, port = parts.hostname or "", parts.port
        if context is None:
            return http.client.HTTPConnection(host, port, timeout=timeout)
        patience = min(timeout, HANDSHAKE)
        connection = http.client.HTTPSConnection(host, port, timeout=patience, context=context)
        try:
            connection.connect()
        except TimeoutError as error:
            connected = connection.sock is not None
            connection.close()
            if not connected:
                raise UnreachableError(f"{where} cannot be reached: no answer within {patience:.0f} s") from error
            raise UnreachableError(f"{where} did not answer to TLS within {patience:.0f} s", hint=_SCHEME) from error
        return connection

    return Link(connect, where, parts.path)


def proxied_link(proxy: KubectlProxy, deadline: Deadline) -> Link:
    """A link to the API server through a starting `kubectl proxy`, which is waited for on the first request."""

    def connect(timeout: float) -> HTTPConnection:
        from http.client import HTTPConnection  # noqa: PLC0415 - 20 ms, spent while kubectl starts

        address = proxy.address(deadline)
        connection = HTTPConnection("localhost", timeout=timeout)
        connection.sock = _dial(address, timeout)
        connection.auto_open = 0
        return connection

    return Link(connect, "the cluster's API server", proxy.prefix, fault_of_kubectl)


def forwarded_link(forward: PortForward, where: str, deadline: Deadline) -> Link:
    """A link through a starting `kubectl port-forward`, which is waited for on the first request."""

    def connect(timeout: float) -> HTTPConnection:
        from http.client import HTTPConnection  # noqa: PLC0415 - loaded by now

        host, _, port = forward.address(deadline).rpartition(":")
        return HTTPConnection(host, int(port), timeout=timeout)

    return Link(connect, where)


def _tls_context(tls: Tls) -> SSLContext:
    import ssl  # noqa: PLC0415 - for https addresses only

    try:
        context = ssl.create_default_context(cafile=tls.authority or None)
    except (OSError, ValueError) as error:
        why = "it holds no certificate"
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
            why = error.strerror or str(error)
        raise PluginError(
            f"the certificate authority {tls.authority} cannot be used: {why}",
            hint="--certificate-authority names a file of certificates in PEM form.",
        ) from error
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _unreachable(error: Exception, where: str) -> UnreachableError:
    """The sentence for a connection that failed; TLS has words of its own."""
    import ssl  # noqa: PLC0415 - loaded by now, with http.client

    if isinstance(error, ssl.SSLCertVerificationError):
        return UnreachableError(
            f"the certificate of {where} is not trusted: {error.verify_message.rstrip('.')}",
            hint="--certificate-authority names the file of the authority that signed it.",
        )
    if isinstance(error, ssl.SSLError):
        return UnreachableError(
            f"{where} does not speak TLS as is needed: {(error.reason or str(error)).replace('_', ' ').lower()}",
            hint=_SCHEME,
        )
    return UnreachableError(f"{where} cannot be reached: {error or type(error).__name__}")


def _dial(address: str, timeout: float) -> socket.socket:
    """Connect to a unix socket's path, or to `host:port`."""
    if address.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(address)
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout)
