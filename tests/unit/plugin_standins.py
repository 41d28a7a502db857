"""Stand-ins for the plugin's tests, over real HTTP: an agent that answers the Connect protocol, and an API server.

`ScriptedAgent` takes answers by method and records what it was asked. `ApiServer` knows Services by namespace and name,
and passes proxied requests on to the agents behind them, as far as the real kubectl proxy and the plugin need it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

READS = (
    "Version",
    "GetStatus",
    "GetRepository",
    "ListWorkloads",
    "GetJob",
    "GetRevision",
    "Diff",
    "Export",
    "ListImages",
    "Explain",
    "GetPublicKey",
)


@dataclass
class ConnectError(Exception):
    """An answer of the agent that is an error."""

    code: str
    message: str
    status: int = 400


@dataclass
class Call:
    """One call as it arrived at the agent."""

    verb: str
    method: str
    message: object
    headers: dict[str, str]


@dataclass
class ScriptedAgent:
    """Answers calls: each method's answer is a message, an error, or a function of the request."""

    answers: dict[str, object] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    refusal: Callable[[str], ConnectError | None] = lambda _token: None
    """Why a call with this token is refused; None where it is not."""

    def methods(self):
        return [call.method for call in self.calls]

    def handle(self, handler: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        parts = urlsplit(path)
        method = parts.path.rpartition("/")[2]
        if handler.command == "GET":
            query = {key: value[0] for key, value in parse_qs(parts.query, keep_blank_values=True).items()}
            assert (query["connect"], query["encoding"], query["base64"]) == ("v1", "proto", "1")
            body = base64.urlsafe_b64decode(query["message"] + "=" * (-len(query["message"]) % 4))
        else:
            assert handler.headers["Content-Type"] == "application/proto"
        assert handler.headers["Connect-Protocol-Version"] == "1"
        message = getattr(pb, f"{method}Request").FromString(body)
        self.calls.append(Call(handler.command, method, message, dict(handler.headers)))
        try:
            refused = self.refusal(handler.headers.get("X-Flux-Token", ""))
            if refused is not None:
                raise refused
            answer = self.answers.get(method)
            answer = answer(message) if isinstance(answer, Callable) else answer
            if isinstance(answer, Exception):
                raise answer
        except ConnectError as error:
            text = json.dumps({"code": error.code, "message": error.message}).encode()
            reply(handler, error.status, "application/json", text)
            return
        answer = getattr(pb, f"{method}Response")() if answer is None else answer
        reply(handler, 200, "application/proto", answer.SerializeToString())


def reply(handler: BaseHTTPRequestHandler, status: int, kind: str, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def status(code: int, reason: str, message: str) -> bytes:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
    return json.dumps({**body, "code": code}).encode()


@dataclass
class ApiServer:
    """Services by `namespace/name`: a scripted agent, None where no pod is ready, or a function of the handler.

    `accounts` are the ServiceAccounts by `namespace/name`; each token that was asked for is `NAME-NUMBER`. `forbidden`
    holds namespaces whose Services may not be asked for, `*` for lists of all, and `namespace/name` of accounts.
    """

    services: dict[str, object] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=set)
    token_requests: list[tuple[str, dict]] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    prefix: str = ""
    ports: tuple[str, ...] = ("metrics", "http")
    """The names of every Service's ports; of any other the API server says that no endpoints are available."""

    def paths(self):
        return [path.partition("?")[0] for _, path, _ in self.requests]

    def handle(self, handler: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        path = path.removeprefix(self.prefix)
        if path.startswith("/version?"):  # some vendors' kubectl asks, to choose the program of the server's version
            version = {"major": "1", "minor": "32", "gitVersion": "v1.32.4"}
            reply(handler, 200, "application/json", json.dumps(version).encode())
            return
        self.requests.append((handler.command, path, dict(handler.headers)))
        if "/proxy/" in path:
            self._proxy(handler, path, body)
        elif path.endswith("/token"):
            self._token(handler, path, body)
        else:
            self._list(handler, path)

    def _proxy(self, handler, path, body):
        _, _, _, _, namespace, _, service, *_ = path.split("/", 7)
        name, _, port = service.partition(":")
        key = f"{namespace}/{name}"
        if namespace in self.forbidden:
            text = f'services "{service}" is forbidden: User "bob" cannot get resource "services/proxy"'
            reply(handler, 403, "application/json", status(403, "Forbidden", text))
        elif key not in self.services:
            text = f'services "{name}" not found'
            reply(handler, 404, "application/json", status(404, "NotFound", text))
        elif self.services[key] is None or port not in self.ports:
            text = f'no endpoints available for service "{service}"'
            reply(handler, 503, "application/json", status(503, "ServiceUnavailable", text))
        elif isinstance(self.services[key], ScriptedAgent):
            self.services[key].handle(handler, path.partition("/proxy")[2], body)
        else:
            self.services[key](handler)

    def _token(self, handler, path, body):
        _, _, _, _, namespace, _, name, _ = path.split("/")
        key, spec = f"{namespace}/{name}", json.loads(body)["spec"]
        self.token_requests.append((key, spec))
        if key in self.forbidden:
            text = f'serviceaccounts "{name}" is forbidden: User "bob" cannot create resource "serviceaccounts/token"'
            reply(handler, 403, "application/json", status(403, "Forbidden", text))
        elif key not in self.accounts:
            text = f'serviceaccounts "{name}" not found'
            reply(handler, 404, "application/json", status(404, "NotFound", text))
        else:
            answer = {
                "kind": "TokenRequest",
                "spec": spec,
                "status": {"token": f"{name}-{len(self.token_requests)}", "expirationTimestamp": ""},
            }
            reply(handler, 201, "application/json", json.dumps(answer).encode())

    def _list(self, handler, path):
        parts = urlsplit(path)
        words = parts.path.split("/")
        namespace = words[4] if words[3] == "namespaces" else ""
        if (namespace or "*") in self.forbidden:
            reply(handler, 403, "application/json", status(403, "Forbidden", "services is forbidden"))
            return
        selector = parse_qs(parts.query)["labelSelector"][0]
        items = []
        for key in self.services:
            there, name = key.split("/")
            labels = self.labels.get(key, {"app": "flux"})
            if (not namespace or there == namespace) and selects(selector, labels):
                ports = [{"name": name, "port": 3030 + number} for number, name in enumerate(self.ports)]
                items.append({"metadata": {"namespace": there, "name": name}, "spec": {"ports": ports}})
        reply(handler, 200, "application/json", json.dumps({"kind": "ServiceList", "items": items}).encode())


def selects(selector: str, labels: dict[str, str]) -> bool:
    """Whether a selector of the two forms that the plugin uses fits: `a=b,c=d` and `a in (b, c)`."""
    key, among, values = selector.partition(" in ")
    if among:
        return labels.get(key) in values.strip("()").split(", ")
    return dict(pair.split("=") for pair in selector.split(",")).items() <= labels.items()


def write_kubeconfig(path, url, user="{token: anns-token}"):
    """A kubeconfig with two clusters, of which one is away, and a context and a namespace in the other."""
    path.write_text(
        f"""
apiVersion: v1
kind: Config
current-context: here
clusters:
- {{name: here, cluster: {{server: "{url}", insecure-skip-tls-verify: true}}}}
- {{name: away, cluster: {{server: "http://127.0.0.1:1"}}}}
users: [{{name: ann, user: {user}}}]
contexts:
- {{name: here, context: {{cluster: here, user: ann, namespace: team}}}}
- {{name: away, context: {{cluster: away, user: ann}}}}
"""
    )


def listing(*names):
    """An agent with workloads of these names."""
    return ScriptedAgent({"ListWorkloads": pb.ListWorkloadsResponse(workloads=[workload(name) for name in names])})


@contextlib.contextmanager
def serving(server: ScriptedAgent | ApiServer, tls: ssl.SSLContext | None = None):
    """Serve on a free port of loopback; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.handle(self, self.path, body)

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server asks for

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    if tls is not None:
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def self_signed(folder) -> ssl.SSLContext:
    """A TLS context with a certificate of its own making, in `cert.pem` of the folder."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    kind = ["-x509", "-nodes", "-days", "1", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", *kind, *names, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def workload(identity: str, *containers: str, **more):
    """A workload; each container is `name=image`, an init container `init:name=image`."""
    made = pb.Workload(id=identity, **more)
    for text in containers:
        name, _, image = text.removeprefix("init:").partition("=")
        made.containers.add(name=name, image=image, init=text.startswith("init:"))
    return made


def one_ready():
    return pb.Rollout(desired=1, updated=1, ready=1, available=1)
