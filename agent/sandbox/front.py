"""The HTTP side of the sandbox: paths to verbs, and objects, lists, watches and proxied answers to bytes."""

from __future__ import annotations

import http.client
import http.server
import json
import select
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from agent.sandbox import answers, discovery, forms
from agent.sandbox.callers import Callers
from agent.sandbox.calls import Call
from agent.sandbox.kinds import Catalogue, Kind
from agent.sandbox.proxy import Forward, Routes, forward
from agent.sandbox.reviews import Reviews
from agent.sandbox.selectors import selector
from agent.sandbox.store import Store
from agent.sandbox.verbs import Verbs
from agent.sandbox.watch import Watch, run

Object = dict[str, Any]

MAX_BODY = 8 * 1024 * 1024
"""Bytes of a request's body, at most."""

IDLE_TIMEOUT = 300.0
"""Seconds a kept connection may be silent."""


@dataclass(frozen=True, slots=True)
class State:
    """What every request may need; `sockets` are those in use, to be shut when the sandbox stops."""

    store: Store
    verbs: Verbs
    callers: Callers
    reviews: Reviews
    catalogue: Catalogue
    routes: Routes
    stopping: threading.Event = field(default_factory=threading.Event)
    sockets: set[Any] = field(default_factory=set)


class Server(Protocol):
    """The server behind a handler."""

    state: State


@dataclass(frozen=True, slots=True)
class Target:
    """A path under a group and version, taken apart."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def target_of(path: str, catalogue: Catalogue) -> Target:
    """Take a path such as `/apis/apps/v1/namespaces/demo/deployments/web/scale` apart.

    Raises:
        Refusal: Nothing is served there.
    """
    parts = path.split("/")[1:]
    core = parts[0] == "api"
    group, version, tail = ("", parts[1], parts[2:]) if core else (parts[1], parts[2], parts[3:])
    namespace = ""
    if len(tail) > 2 and tail[0] == "namespaces" and tail[2] not in ("status", "finalize"):
        namespace, tail = unquote(tail[1]), tail[2:]
    kind = catalogue.find(group, version, tail[0]) if tail else None
    name = unquote(tail[1]) if len(tail) > 1 else ""
    subresource = tail[2] if len(tail) > 2 else ""
    if kind is None or (subresource and subresource not in kind.subresources):
        raise answers.no_such_path()
    if (namespace and not kind.namespaced) or ((name or kind.is_review) and kind.namespaced and not namespace):
        raise answers.no_such_path()
    if name and kind.is_review:
        raise answers.no_such_path()
    return Target(kind, namespace, name, subresource)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection; its requests come one after another."""

    protocol_version = "HTTP/1.1"
    server_version = "flux-sandbox"
    timeout = IDLE_TIMEOUT
    disable_nagle_algorithm = True
    wbufsize = -1

    @property
    def state(self) -> State:
        """The sandbox's state."""
        return cast("Server", self.server).state

    def setup(self) -> None:
        """Remember the socket, so that it can be shut."""
        super().setup()
        self.state.sockets.add(self.connection)

    def finish(self) -> None:
        """Forget the socket."""
        self.state.sockets.discard(self.connection)
        super().finish()

    def handle(self) -> None:
        """Serve the connection; a client that goes away is no fault."""
        try:
            super().handle()
        except (OSError, http.client.HTTPException):  # HTTPException: a proxied service broke off
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing: requests may carry secrets."""

    def _serve(self) -> None:
        self._answered = False
        try:
            self._body = self._read_body()
            url = urlsplit(self.path)
            self._user = self.state.callers.admit(self.command, url.path, url.query, self.headers)
            self._route(url)
        except answers.Refusal as refusal:
            if self._answered:
                raise ConnectionAbortedError from refusal
            self._send(refusal.code, refusal.body)

    do_GET = _serve  # noqa: N815 - the base class's names
    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def _read_body(self) -> bytes:
        try:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                return self._read_chunks()
            return self.rfile.read(self._bounded(int(self.headers.get("Content-Length") or 0)))
        except ValueError as error:
            self.close_connection = True
            raise answers.bad_request("the body's length is no number") from error

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            self._bounded(len(body) + size)
            body += self.rfile.read(size)
            self.rfile.readline(8)
        self.rfile.readline(8)
        return body

    def _bounded(self, length: int) -> int:
        if length > MAX_BODY:
            self.close_connection = True
            raise answers.Refusal(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MAX_BODY}")
        return length

    def _route(self, url: Any) -> None:
        path = url.path
        if path in ("/healthz", "/readyz", "/livez"):
            self._send_bytes(200, b"ok", "text/plain; charset=utf-8")
        elif path == "/version":
            self._send(200, discovery.VERSION)
        elif (document := self._discovery(path.rstrip("/"))) is not None:
            self._send(200, document)
        elif path.startswith("/api/v1/") or (path.startswith("/apis/") and path.count("/") > 3):
            self._resource(target_of(path.rstrip("/"), self.state.catalogue), url)
        else:
            self._send_bytes(404, b"404 page not found\n", "text/plain; charset=utf-8")

    def _discovery(self, path: str) -> Object | None:
        kinds = self.state.catalogue.all()
        if path in ("/api", "/apis"):
            core = path == "/api"
            if forms.form_of(self.headers.get("Accept", "")).as_ == "APIGroupDiscoveryList":
                return discovery.aggregated(kinds, core=core)
            return discovery.core_versions(self.headers.get("Host", "")) if core else discovery.group_list(kinds)
        match path.split("/")[1:]:
            case ["api", version]:
                return discovery.resource_list(kinds, "", version)
            case ["apis", group]:
                return discovery.group_document(kinds, group)
            case ["apis", group, version]:
                return discovery.resource_list(kinds, group, version)
            case ["openapi", "v3"]:
                return discovery.openapi_root(kinds)
            case ["openapi", "v3", *root]:
                return discovery.openapi(kinds, "/".join(root))
        return None

    def _resource(self, target: Target, url: Any) -> None:
        if target.subresource == "proxy":
            self._proxy(target, url)
            return
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        call = Call(
            kind=target.kind,
            namespace=target.namespace,
            name=target.name,
            subresource=target.subresource,
            query=query,
            body=self._body,
            media=self.headers.get("Content-Type", "").partition(";")[0].strip(),
            agent=self.headers.get("User-Agent", ""),
        )
        form = forms.form_of(self.headers.get("Accept", ""), query.get("includeObject", ""))
        if target.subresource == "token" or target.kind.is_review:
            self._review(call)
        elif target.name:
            self._object(call, form)
        else:
            self._collection(call, form)

    def _review(self, call: Call) -> None:
        if self.command != "POST":
            raise answers.method_not_allowed()
        reviews = self.state.reviews
        self._send(201, reviews.token(call) if call.subresource else reviews.review(call, self._user))

    def _object(self, call: Call, form: forms.Form) -> None:
        verbs, code = self.state.verbs, 200
        if self.command in ("GET", "HEAD"):
            obj = verbs.get(call)
        elif self.command == "PUT":
            code, obj = verbs.update(call)
        elif self.command == "PATCH":
            code, obj = verbs.patch(call)
        elif self.command == "DELETE" and not call.subresource:
            obj = verbs.delete(call)
        else:
            raise answers.method_not_allowed()
        plain = obj["kind"] in ("Status", "Scale")
        self._send(code, obj if plain else forms.one(form, call.kind, obj))

    def _collection(self, call: Call, form: forms.Form) -> None:
        if self.command == "POST" and (call.namespace or not call.kind.namespaced):
            self._send(201, forms.one(form, call.kind, self.state.verbs.create(call)))
        elif self.command == "DELETE" and (call.namespace or not call.kind.namespaced):
            self._send(200, forms.many(form, call.kind, self.state.verbs.delete_all(call)))
        elif self.command not in ("GET", "HEAD"):
            raise answers.method_not_allowed()
        elif call.query.get("watch") in ("1", "true"):
            self._watch(call, form)
        else:
            self._send(200, forms.many(form, call.kind, self.state.verbs.page(call)))

    def _watch(self, call: Call, form: forms.Form) -> None:
        timeout = call.query.get("timeoutSeconds", "")
        watch = Watch(
            kind=call.kind,
            namespace=call.namespace,
            test=selector(call.query.get("labelSelector", ""), call.query.get("fieldSelector", "")),
            revision=call.query.get("resourceVersion", ""),
            timeout=float(timeout) if timeout.isdigit() else 0.0,
            bookmarks=call.query.get("allowWatchBookmarks") in ("1", "true"),
        )
        put = forms.events(form, call.kind)
        events = run(self.state.store, watch, self._over)
        lines = (json.dumps(put(event), separators=(",", ":")).encode() + b"\n" for event in events)
        self._send_chunks(200, [("Content-Type", "application/json")], lines)

    def _over(self) -> bool:
        """Whether a stream has no reader any more, or the sandbox stops."""
        if self.state.stopping.is_set():
            return True
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return bool(poll.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)

    def _proxy(self, target: Target, url: Any) -> None:
        address = self.state.routes.find(self.state.store, target.namespace, target.name)
        path = url.path[len("/".join(url.path.split("/")[:8])) :]  # what follows …/services/NAME/proxy
        if not path and self.command in ("GET", "HEAD"):
            query = f"?{url.query}" if url.query else ""
            self._send_bytes(301, b"", "", [("Location", f"{url.path}/{query}")])
            return
        request = Forward(self.command, path + (f"?{url.query}" if url.query else ""), self.headers.items(), self._body)
        peer = {"X-Forwarded-For": str(self.client_address[0]), "X-Forwarded-Uri": url.path}
        peer |= {"X-Forwarded-Host": self.headers.get("Host", ""), "X-Forwarded-Proto": "http"}
        answer = forward(request, address, peer, self.state.sockets)
        if answer.length is not None:
            self._send_parts(answer.status, [*answer.headers, ("Content-Length", str(answer.length))], answer.body)
        elif answer.status in (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED):
            self._send_parts(answer.status, answer.headers, answer.body)
        else:
            self._send_chunks(answer.status, answer.headers, answer.body)

    def _send(self, code: int, obj: Object) -> None:
        kind = "application/json"
        if obj.get("kind") == "APIGroupDiscoveryList":
            kind = discovery.AGGREGATED
        self._send_bytes(code, json.dumps(obj, separators=(",", ":")).encode() + b"\n", kind)

    def _send_bytes(self, code: int, body: bytes, kind: str, more: Iterable[tuple[str, str]] = ()) -> None:
        headers = [*more, *([("Content-Type", kind)] if kind else []), ("Content-Length", str(len(body)))]
        self._send_parts(code, headers, [body])

    def _send_parts(self, code: int, headers: Iterable[tuple[str, str]], parts: Iterable[bytes]) -> None:
        self._head(code, headers)
        for part in parts:
            if self.command != "HEAD":
                self.wfile.write(part)
                self.wfile.flush()
        self.wfile.flush()

    def _send_chunks(self, code: int, headers: Iterable[tuple[str, str]], parts: Iterable[bytes]) -> None:
        self._head(code, [*headers, ("Transfer-Encoding", "chunked")])
        self.wfile.flush()
        if self.command == "HEAD":
            return
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _head(self, code: int, headers: Iterable[tuple[str, str]]) -> None:
        self._answered = True
        self.send_response_only(code)
        self.send_header("Date", self.date_time_string())
        for name, value in headers:
            if name.lower() != "date":
                self.send_header(name, value)
        self.end_headers()
