"""What answers over HTTP: the Connect endpoints, the probes, the metrics, and a last word to Flux v1's clients.

Two WSGI applications, both plain functions of a request: `Router` for `--listen`, `metrics_only` for
`--listen-metrics`. An exception never leaves them: waitress would say it in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from agent import telemetry

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

MAX_HOOK_BODY = 64 * 1024
"""Bytes of a POST to a plain page."""

_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_GONE = "Flux v1's HTTP API is gone: use `kubectl flux`, or the API of this agent under /flux.v1.Flux/."
_NO_GRPC = "Native gRPC is served at --listen-grpc; here speak Connect or gRPC-Web."

_log = telemetry.logger("api")


@dataclass(frozen=True, slots=True)
class Health:
    """How the agent is.

    Attributes:
        live: Whether it works; where not, it should be restarted.
        ready: Whether it can serve.
        reason: Why it is not live or not ready; empty where it is both.
    """

    live: bool = True
    ready: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A short plain answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = _TEXT


Page = Callable[[], Answer]
Hook = Callable[[bytes], Answer]
"""Takes the body of a POST."""


class Router:
    """The application behind `--listen`.

    Args:
        service_path: Where the Connect endpoints are, such as `/flux.v1.Flux`.
        service: The Connect endpoints.
        pages: The plain pages by their path.
        hooks: What takes POSTs, by its path.
    """

    def __init__(
        self, service_path: str, service: WSGIApplication, pages: Mapping[str, Page], hooks: Mapping[str, Hook]
    ) -> None:
        self._prefix = f"{service_path}/"
        self._service = service
        self._pages = pages
        self._hooks = hooks

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        if not path.startswith(self._prefix):
            return _send(self._plain(path, environ), environ, start_response)
        content_type = environ.get("CONTENT_TYPE", "")
        if content_type == "application/grpc" or content_type.startswith("application/grpc+"):
            return _send(said(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _NO_GRPC), environ, start_response)
        environ["wsgi.errors"] = _ErrorLog()
        return self._service(environ, start_response)

    def _plain(self, path: str, environ: WSGIEnvironment) -> Answer:
        method = environ["REQUEST_METHOD"]
        hook, page = self._hooks.get(path), self._pages.get(path)
        if hook is not None:
            if method != "POST":
                return said(HTTPStatus.METHOD_NOT_ALLOWED, "Only POST is answered here.")
            return _safely(lambda: _taken(hook, environ), path)
        if page is not None:
            if method not in ("GET", "HEAD"):
                return said(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered here.")
            return _safely(page, path)
        if path == "/api/flux" or path.startswith("/api/flux/"):
            return said(HTTPStatus.GONE, _GONE)
        return said(HTTPStatus.NOT_FOUND, "There is nothing here.")


def metrics_only(metrics: Page) -> WSGIApplication:
    """The application behind `--listen-metrics`."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        answer = _safely(metrics, path) if path == "/metrics" else said(HTTPStatus.NOT_FOUND, "Only /metrics is here.")
        return _send(answer, environ, start_response)

    return application


def probe(health: Callable[[], Health], healthy: Callable[[Health], bool]) -> Page:
    """A page for kubelet: 200 where all is well, 503 with the reason where not."""

    def page() -> Answer:
        state = health()
        if healthy(state):
            return said(HTTPStatus.OK, "ok")
        return said(HTTPStatus.SERVICE_UNAVAILABLE, state.reason or "not yet")

    return page


def metrics_page(render: Callable[[], bytes]) -> Page:
    """The page for Prometheus."""
    return lambda: Answer(HTTPStatus.OK, render(), _METRICS)


def said(status: HTTPStatus, sentence: str) -> Answer:
    """A sentence as an answer."""
    return Answer(status, f"{sentence}\n".encode())


def _taken(hook: Hook, environ: WSGIEnvironment) -> Answer:
    body = environ["wsgi.input"].read(MAX_HOOK_BODY + 1)
    if len(body) > MAX_HOOK_BODY:
        return said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {MAX_HOOK_BODY >> 10} KiB are read here.")
    return hook(body)


def _safely(page: Page, path: str) -> Answer:
    try:
        return page()
    except Exception as error:  # noqa: BLE001 # the edge: a bug is told in the log, not to the caller
        _log.error("unexpected error in a page", path=path, exc_info=error)
        return said(HTTPStatus.INTERNAL_SERVER_ERROR, "flux-agent ran into a bug; its log holds the trace.")


def _send(answer: Answer, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response(
        f"{answer.status.value} {answer.status.phrase}",
        [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))],
    )
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]


class _ErrorLog:
    """`wsgi.errors`: what an application cannot tell its caller goes to the log."""

    def write(self, text: str) -> None:
        _log.error("unexpected error in a request", said=text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        """Nothing is held back."""
