"""A gate in the API server: while it is closed, writes of some ConfigMaps wait at it.

So "in the middle of a sync" is a state that lasts until the test ends it, however fast or slow the machine is. The gate
is an admission webhook of this process.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agent_status import until
from config_repository import config_map
from controlplane.plane import HOST, PlaneError
from controlplane.programs import NEW_KEY

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane

ARRIVAL = 60.0
HELD = 25.0
"""Seconds, a little less than the API server waits for a webhook at most."""
_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class AdmissionGate:
    """Before the ConfigMaps of a namespace whose names are `first` or come later in the alphabet; open at first."""

    def __init__(self, plane: ControlPlane, folder: Path, namespace: str, first: str) -> None:
        """`folder` must exist; the gate's certificate is put there."""
        self._plane = plane
        self._folder = folder
        self._namespace = namespace
        self._first = first
        self._opened = threading.Event()
        self._opened.set()
        self._reached = threading.Event()

    def close(self) -> None:
        """From now on writes wait, for `HELD` seconds, and are refused then."""
        self._reached.clear()
        self._opened.clear()

    def open(self) -> None:
        """Let everything through, what waits and what comes."""
        self._opened.set()

    def wait_until_reached(self) -> None:
        """Wait until a write has come to the closed gate."""
        assert self._reached.wait(ARRIVAL), f"nothing was written within {ARRIVAL:.0f} s"

    def admits(self, request: dict[str, Any]) -> bool:
        """The webhook's answer; a dry run is always refused, so that it can be told whether the gate stands."""
        if request.get("dryRun"):
            return False
        if not self._opened.is_set():
            self._reached.set()
        return self._opened.wait(HELD)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            server = _Server(self, self._plane.door.listen(HOST), self._context())
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            stack.callback(self.open)
            self._plane.api("POST", _CONFIGURATIONS, self._configuration(server.socket.getsockname()[1]))
            stack.callback(self._plane.api, "DELETE", f"{_CONFIGURATIONS}/{self._namespace}")
            until(self._stands, "the gate")
            self._closing = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _stands(self) -> bool:
        try:
            probe = config_map(self._namespace, self._first)
            self._plane.api("POST", f"/api/v1/namespaces/{self._namespace}/configmaps?dryRun=All", probe)
        except PlaneError as error:
            return "denied the request" in str(error)
        return False

    def _context(self) -> ssl.SSLContext:
        certificate, key = self._folder / "gate.crt", self._folder / "gate.key"
        who = ["-subj", "/CN=gate", "-addext", f"subjectAltName=IP:{HOST}"]
        self._plane.run(["openssl", "req", "-x509", *NEW_KEY, *who, "-keyout", key, "-out", certificate])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def _configuration(self, port: int) -> dict[str, Any]:
        authority = base64.b64encode((self._folder / "gate.crt").read_bytes()).decode()
        webhook = {
            "name": "gate.e2e.example.com",
            "clientConfig": {"url": f"https://{HOST}:{port}/", "caBundle": authority},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]},
            ],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}},
            "matchConditions": [{"name": "later", "expression": f"request.name >= '{self._first}'"}],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 30,
            "admissionReviewVersions": ["v1"],
        }
        return {"metadata": {"name": self._namespace}, "webhooks": [webhook]}


class _Server(http.server.ThreadingHTTPServer):
    """The webhook, a connection for each review."""

    daemon_threads = False

    def __init__(self, gate: AdmissionGate, listener, context: ssl.SSLContext) -> None:
        super().__init__((HOST, 0), _Review, bind_and_activate=False)
        self.socket.close()
        self.socket = context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
        self.gate = gate


class _Review(http.server.BaseHTTPRequestHandler):
    """One admission review."""

    timeout = 60

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        response = {"uid": request["uid"], "allowed": self.server.gate.admits(request)}
        answer = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        content = json.dumps(answer).encode()
        with contextlib.suppress(OSError):  # an agent that was killed waits for nothing
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_):
        pass
