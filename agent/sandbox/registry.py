"""An embedded stand-in for an image registry: one object to start, push made-up images to, and stop.

It speaks the parts of the OCI distribution API that readers use: tags with paging, manifests by tag and digest, blobs,
and the refusals of basic and token authentication, with a token server of its own. Images have no layers' content.
It counts what it is asked, and breaks on demand: `fault` is asked before each answer. For `make demo` and tests.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import json
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qs, urlsplit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
_CONFIG = {
    OCI_MANIFEST: "application/vnd.oci.image.config.v1+json",
    DOCKER_MANIFEST: "application/vnd.docker.container.image.v1+json",
}
_LAYER = {
    OCI_MANIFEST: "application/vnd.oci.image.layer.v1.tar+gzip",
    DOCKER_MANIFEST: "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    kind: str
    path: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Repository:
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)


class SandboxRegistry:
    """The stand-in; also a context manager that starts and stops it.

    Args:
        port: On loopback; 0 takes a free one.
        users: Names and passwords that may read; none lets everybody in.
        tokens: Whether a token server is asked for tokens, rather than the password sent each time.
        page: Tags on one page at most.
        listener: Where to listen instead; it is closed with the registry.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        users: Mapping[str, str] | None = None,
        tokens: bool = True,
        page: int = 1000,
        listener: socket.socket | None = None,
    ) -> None:
        self.users = dict(users or {})
        self.asked: list[Asked] = []
        self.fault: Callable[[Asked], Reply | None] = lambda _: None
        self._tokens = tokens
        self._page = page
        self._given: set[str] = set()
        self._repositories: dict[str, _Repository] = {}
        self._lock = threading.Lock()
        listener = listener or socket.create_server(("127.0.0.1", port))
        self.host = "{}:{}".format(*listener.getsockname()[:2])
        """`ADDRESS:PORT`, as it stands in references."""
        self._server = _Server(listener, self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="sandbox-registry", daemon=True
        )

    def start(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def counts(self) -> Counter[str]:
        """How often it was asked for what: `tags`, `digest`, `manifest`, `blob`, `token`, `other`."""
        with self._lock:
            return Counter(asked.kind for asked in self.asked)

    def push(
        self,
        repository: str,
        tag: str,
        created: float | str = 0.0,
        *,
        labels: Mapping[str, str] | None = None,
        media_type: str = OCI_MANIFEST,
        platforms: Sequence[str] = (),
    ) -> str:
        """Make an image up and let the tag stand for it.

        Args:
            repository: Such as `acme/shop`.
            tag: The tag, new or moved.
            created: When it says it was built: Unix seconds, or any text; 0 for no word of it.
            labels: Its labels.
            media_type: `DOCKER_SCHEMA_1` makes an old one.
            platforms: Architectures; with any, an index of one image each.

        Returns:
            The digest of what the tag now stands for.
        """
        moment = _written(created)
        with self._lock:
            home = self._repositories.setdefault(repository, _Repository())
            if media_type == DOCKER_SCHEMA_1:
                digest = _keep(home, DOCKER_SCHEMA_1, _schema_1(repository, tag, moment, labels or {}))
            elif platforms:
                digest = _index(home, media_type, moment, labels or {}, platforms)
            else:
                digest = _image(home, media_type, moment, labels or {})
            home.tags[tag] = digest
        return digest

    def push_manifest(self, repository: str, tag: str, document: Mapping[str, Any], media_type: str) -> str:
        """Keep any manifest under a tag; its digest."""
        with self._lock:
            home = self._repositories.setdefault(repository, _Repository())
            home.tags[tag] = digest = _keep(home, media_type, json.dumps(document).encode())
        return digest

    def delete(self, repository: str, tag: str) -> None:
        """Forget a tag; what it stood for stays."""
        with self._lock:
            del self._repositories[repository].tags[tag]

    def answer(self, asked: Asked) -> Reply:
        """The answer to one request."""
        with self._lock:
            self.asked.append(asked)
        broken = self.fault(asked)
        if broken is not None:
            return broken
        parts = urlsplit(asked.path)
        if asked.kind == "token":
            return self._token(asked)
        refused = self._refused(asked)
        if refused is not None:
            return refused
        words = parts.path.removeprefix("/v2/").split("/")
        with self._lock:
            home = self._repositories.get("/".join(words[:-2]))
        if home is None:
            return _error(404, "NAME_UNKNOWN")
        if asked.kind == "tags":
            return self._tags(home, "/".join(words[:-2]), parse_qs(parts.query))
        return _blob(home, words[-1]) if words[-2] == "blobs" else _manifest(home, words[-1])

    def _refused(self, asked: Asked) -> Reply | None:
        if not self.users:
            return None
        scheme, _, value = asked.headers.get("Authorization", "").partition(" ")
        if self._tokens:
            if scheme == "Bearer" and value in self._given:
                return None
            scope = "repository:" + "/".join(urlsplit(asked.path).path.removeprefix("/v2/").split("/")[:-2]) + ":pull"
            terms = f'Bearer realm="http://{self.host}/token",service="sandbox",scope="{scope}"'
        else:
            if scheme == "Basic" and self._knows(value):
                return None
            terms = 'Basic realm="sandbox"'
        return Reply(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', {"WWW-Authenticate": terms})

    def _token(self, asked: Asked) -> Reply:
        scheme, _, value = asked.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic" or not self._knows(value):
            return _error(401, "UNAUTHORIZED")
        token = secrets.token_urlsafe()
        self._given.add(token)
        return Reply(200, json.dumps({"token": token, "expires_in": 300}).encode())

    def _knows(self, basic: str) -> bool:
        name, _, password = base64.b64decode(basic).decode().partition(":")
        return self.users.get(name) == password

    def _tags(self, home: _Repository, name: str, query: Mapping[str, list[str]]) -> Reply:
        with self._lock:
            tags = sorted(home.tags)
        size = min(int(query.get("n", ["1000"])[0]), self._page)
        start = sum(tag <= query["last"][0] for tag in tags) if "last" in query else 0
        shown = tags[start : start + size]
        more = start + size < len(tags)
        link = {"Link": f'</v2/{name}/tags/list?n={size}&last={shown[-1]}>; rel="next"'} if more else {}
        return Reply(200, json.dumps({"name": name, "tags": shown}).encode(), link)


def _image(home: _Repository, media_type: str, created: str, labels: Mapping[str, str]) -> str:
    config: dict[str, Any] = {"architecture": "amd64", "os": "linux", "config": {"Labels": dict(labels)}}
    if created:
        config["created"] = created
    body = json.dumps(config | {"salt": secrets.token_hex(4)}).encode()
    name = _digest(body)
    home.blobs[name] = body
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": _CONFIG[media_type], "digest": name, "size": len(body)},
        "layers": [{"mediaType": _LAYER[media_type], "digest": "sha256:" + "0" * 64, "size": 1}],
    }
    return _keep(home, media_type, json.dumps(document).encode())


def _index(
    home: _Repository, media_type: str, created: str, labels: Mapping[str, str], platforms: Sequence[str]
) -> str:
    """An index of one image for each platform; its digest."""
    entries = [
        {
            "mediaType": media_type,
            "digest": _image(home, media_type, created, {**labels, "arch": one}),
            "size": 1,
            "platform": {"os": "linux", "architecture": one},
        }
        for one in platforms
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return _keep(home, OCI_INDEX, json.dumps(index).encode())


def _schema_1(repository: str, tag: str, created: str, labels: Mapping[str, str]) -> bytes:
    newest = {"created": created, "config": {"Labels": dict(labels)}, "salt": secrets.token_hex(4)}
    history = [{"v1Compatibility": json.dumps(newest)}, {"v1Compatibility": "{}"}]
    return json.dumps({"schemaVersion": 1, "name": repository, "tag": tag, "history": history}).encode()


def _keep(home: _Repository, media_type: str, body: bytes) -> str:
    digest = _digest(body)
    home.manifests[digest] = (media_type, body)
    return digest


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _written(created: float | str) -> str:
    if isinstance(created, str):
        return created
    return datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z") if created else ""


def _manifest(home: _Repository, reference: str) -> Reply:
    digest = home.tags.get(reference, reference)
    media_type, body = home.manifests.get(digest, ("", b""))
    if not media_type:
        return _error(404, "MANIFEST_UNKNOWN")
    return Reply(200, body, {"Content-Type": media_type, "Docker-Content-Digest": digest})


def _blob(home: _Repository, digest: str) -> Reply:
    body = home.blobs.get(digest)
    return _error(404, "BLOB_UNKNOWN") if body is None else Reply(200, body)


def _error(status: int, code: str) -> Reply:
    return Reply(status, json.dumps({"errors": [{"code": code}]}).encode())


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, listener: socket.socket, registry: SandboxRegistry) -> None:
        self.registry = registry
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.socket.listen(self.request_queue_size)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True
    wbufsize = -1

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        del body
        asked = Asked(self.command, _kind(self.command, self.path), self.path, dict(self.headers))
        reply = cast("_Server", self.server).registry.answer(asked)
        content, headers = reply.body, dict(reply.headers)
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(content) > 1000:
            content, headers["Content-Encoding"] = gzip.compress(content, 1), "gzip"
        self.send_response(reply.status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = _serve  # noqa: N815 - the names that http.server asks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


def _kind(method: str, path: str) -> str:
    path = urlsplit(path).path
    if path == "/token":
        return "token"
    if path.endswith("/tags/list"):
        return "tags"
    if "/blobs/" in path:
        return "blob"
    if "/manifests/" in path:
        return "digest" if method == "HEAD" else "manifest"
    return "other"
