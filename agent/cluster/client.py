"""Requests to the API server, each with a timeout and its refusals as `ClusterError`.

Knows the protocol (Status objects, 429 with Retry-After, continue tokens, apply patches) and no kinds. Paths come
from `Resource.path`.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import urllib3

from agent.cluster.connection import Connection
from agent.cluster.discovery import Catalog, discover
from agent.model.errors import ClusterError, StoppedError

FIELD_MANAGER = "flux"
PAGE = 500
"""Objects asked for in one LIST request."""
CATALOG_AGE = 600.0
"""Seconds after which the served kinds are asked for again even where nothing is missing."""
MAX_BODY = 64 * 1024 * 1024
_ATTEMPTS = 5
_MAX_PAUSE = 10.0
_TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_TOO_BUSY = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Request:
    """One call: the path with its query, and what goes with it."""

    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)
    content_type: str = _JSON
    accept: str = _JSON

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no harm, as with reads, applies and deletes guarded by uid."""
        return self.method in ("GET", "PATCH", "DELETE")


class ApiClient:
    """The API server's REST interface; safe for many threads."""

    def __init__(self, connection: Connection, stop: threading.Event) -> None:
        self._connection = connection
        self._stop = stop
        self._watches: set[urllib3.BaseHTTPResponse] = set()
        self._watches_lock = threading.Lock()
        self._catalog_lock = threading.Lock()
        self._catalog: Catalog | None = None
        self._catalog_at = 0.0

    def kinds(self, *, refresh: bool = False) -> Catalog:
        """What the server serves, remembered for ten minutes; asked for again where `refresh`.

        Raises:
            ClusterError: The server does not answer.
        """
        with self._catalog_lock:
            old = time.monotonic() - self._catalog_at > CATALOG_AGE
            if self._catalog is None or refresh or old:
                self._catalog = discover(self)
                self._catalog_at = time.monotonic()
            return self._catalog

    def get(self, path: str, *, accept: str = _JSON) -> dict[str, Any]:
        """One object or document.

        Raises:
            ClusterError: The server refused or could not be reached.
        """
        return self.send(Request("GET", path, accept=accept))

    def list_metadata(self, path: str, *, label_selector: str = "") -> Iterator[dict[str, Any]]:
        """The metadata of every object of a collection, one page of 500 at a time.

        Raises:
            ClusterError: A page was refused.
        """
        yield from self._pages(path, label_selector, _METADATA)[1]

    def list_objects(self, path: str) -> tuple[str, Iterator[dict[str, Any]]]:
        """The collection's resourceVersion, to watch from, and its objects."""
        return self._pages(path, "", _JSON)

    def _pages(self, path: str, label_selector: str, accept: str) -> tuple[str, Iterator[dict[str, Any]]]:
        query = {"limit": str(PAGE)} | ({"labelSelector": label_selector} if label_selector else {})
        first = self.get(f"{path}?{urlencode(query)}", accept=accept)

        def items() -> Iterator[dict[str, Any]]:
            page = first
            while True:
                yield from page.get("items") or ()
                token = page.get("metadata", {}).get("continue")
                if not token:
                    return
                page = self.get(f"{path}?{urlencode({**query, 'continue': token})}", accept=accept)

        return str(first.get("metadata", {}).get("resourceVersion", "")), items()

    def apply(self, path: str, body: bytes) -> dict[str, Any]:
        """Server-side apply, forced; the object as it then stands."""
        query = f"fieldManager={FIELD_MANAGER}&force=true"
        return self.send(Request("PATCH", f"{path}?{query}", body, "application/apply-patch+yaml"))

    def dry_run(self, path: str, body: bytes) -> dict[str, Any]:
        """As `apply`, but nothing is kept: the object as it would stand."""
        query = f"fieldManager={FIELD_MANAGER}&force=true&dryRun=All"
        return self.send(Request("PATCH", f"{path}?{query}", body, "application/apply-patch+yaml"))

    def dry_replace(self, path: str, body: bytes) -> dict[str, Any]:
        """What replacing the object as a whole would make of it; nothing is kept."""
        return self.send(Request("PUT", f"{path}?fieldManager={FIELD_MANAGER}&dryRun=All", body))

    def json_patch(self, path: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
        """A JSON patch (RFC 6902), all of it or nothing."""
        body = json.dumps(operations).encode()
        return self.send(Request("PATCH", f"{path}?fieldManager={FIELD_MANAGER}", body, "application/json-patch+json"))

    def merge_patch(self, path: str, change: bytes) -> dict[str, Any]:
        """A JSON merge patch (RFC 7386)."""
        return self.send(
            Request("PATCH", f"{path}?fieldManager={FIELD_MANAGER}", change, "application/merge-patch+json")
        )

    def delete(self, path: str, *, uid: str) -> None:
        """Delete the object with this uid and no other; its children follow in the background."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        self.send(Request("DELETE", path, json.dumps(options).encode()))

    def send(self, request: Request) -> dict[str, Any]:
        """Send, waiting and trying again where the server asks for it.

        Raises:
            ClusterError: The server refused, or could not be reached.
            StoppedError: The agent is shutting down.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            if self._stop.is_set():
                break
            try:
                return self._once(request)
            except ClusterError as error:
                last = attempt == _ATTEMPTS
                if error.status == 401 and not last and self._connection.reload():
                    continue
                busy = error.status in _TOO_BUSY and bool(error.retry_after or error.status == 429)
                dropped = error.status == 0 and request.repeatable and attempt == 1
                if last or not (busy or dropped):
                    raise
                pause = min(error.retry_after or 0.1 * 2**attempt, _MAX_PAUSE)
            self._stop.wait(pause)
        raise StoppedError("the agent is shutting down")

    def _once(self, request: Request) -> dict[str, Any]:
        headers = {"Accept": request.accept, "User-Agent": "flux-agent", **self._connection.headers()}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        try:
            response = self._connection.pool.urlopen(
                request.method,
                self._connection.prefix + request.path,
                body=request.body,
                headers=headers,
                timeout=_TIMEOUT,
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(f"the API server cannot be reached: {error}") from error
        if response.status >= 300:
            raise _refusal(request, response.status, response.headers, response.data)
        try:
            return json.loads(response.data)  # type: ignore[no-any-return]
        except ValueError as error:
            raise ClusterError(f"{request.path.partition('?')[0]} was not answered by an API server") from error

    def watch(self, path: str, resource_version: str, *, seconds: int) -> Iterator[dict[str, Any]]:
        """Changes of a collection since a resourceVersion, until the server ends the watch.

        The socket's own timeout is a little longer than the server's, so that a silent connection is noticed.

        Raises:
            ClusterError: The watch was refused or broke; status 410 asks for a new list.
        """
        query = urlencode(
            {"watch": 1, "resourceVersion": resource_version, "timeoutSeconds": seconds, "allowWatchBookmarks": "true"}
        )
        try:
            response = self._connection.pool.urlopen(
                "GET",
                f"{self._connection.prefix}{path}?{query}",
                headers={"Accept": _JSON, "User-Agent": "flux-agent", **self._connection.headers()},
                timeout=urllib3.Timeout(connect=5.0, read=seconds + 15.0),
                retries=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(f"the API server cannot be reached: {error}") from error
        with self._watches_lock:
            self._watches.add(response)
        try:
            if response.status >= 300:
                request = Request("GET", path)
                raise _refusal(request, response.status, response.headers, response.read(MAX_BODY))
            yield from _lines(response)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ClusterError(f"the watch of {path} broke: {error}") from error
        finally:
            with self._watches_lock:
                self._watches.discard(response)
            response.close()
            response.release_conn()

    def interrupt(self) -> None:
        """End every watch at once, for shutdown: its reader finds the connection closed."""
        with self._watches_lock:
            for response in self._watches:
                sock = getattr(response.connection, "sock", None)
                if sock is not None:
                    with suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[dict[str, Any]]:
    """The JSON objects of a watch, one a line."""
    buffer = bytearray()
    for chunk in response.stream(65536):
        buffer += chunk
        *lines, rest = buffer.split(b"\n")
        for line in lines:
            if line:
                yield json.loads(line)
        buffer = bytearray(rest)
        if len(buffer) > MAX_BODY:
            raise ClusterError("the watch sent a line without end")


def _refusal(request: Request, status: int, headers: Mapping[str, str], body: bytes) -> ClusterError:
    """The server's own words as an error."""
    try:
        answer = json.loads(body)
        message, reason = str(answer.get("message", "")), str(answer.get("reason", ""))
    except (ValueError, AttributeError):
        message, reason = body[:300].decode("utf-8", "replace").strip(), ""
    return ClusterError(
        message or f"{request.method} {request.path.partition('?')[0]} was answered with status {status}",
        status=status,
        reason=reason,
        retry_after=_seconds(headers.get("Retry-After", "")),
    )


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0
