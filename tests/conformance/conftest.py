"""One suite, two servers: each test runs against the sandbox and against the real API server."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import subprocess
import threading

import pytest
import requests
from conformance_api import Api, fresh

from agent.sandbox.cluster import SandboxCluster


def pytest_collection_modifyitems(items):
    """Tests of the real server use `plane` openly, so that it is built before the first of them starts."""
    for item in items:
        if hasattr(item, "callspec") and item.callspec.params.get("api") == "real":
            item.fixturenames = ["plane", *item.fixturenames]


@pytest.fixture(scope="session")
def sandbox_api(tmp_path_factory):
    """The sandbox, with kubectl where it is installed."""
    folder = tmp_path_factory.mktemp("sandbox")
    with SandboxCluster(ready_after=0.01) as cluster, requests.Session() as session:
        session.trust_env = False

        @contextlib.contextmanager
        def expose(namespace, service):
            with _serving(socket.create_server(("127.0.0.1", 0))) as port:
                cluster.route(namespace, service, "127.0.0.1", port)
                yield port

        def run(command, input=None):  # noqa: A002  # subprocess.run's own name
            environment = {
                "KUBECONFIG": str(cluster.kubeconfig(folder / "kubeconfig")),
                "HOME": str(folder),
                "PATH": "/usr/local/bin:/usr/bin:/bin",
            }
            return subprocess.run(
                command, env=environment, input=input or "", text=True, capture_output=True, check=False, timeout=60
            )

        yield Api(cluster.url, session, expose, run=run if shutil.which("kubectl") else None)


@pytest.fixture(scope="session")
def real_api(plane):
    """The API server of the control plane, as its administrator."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(plane.authority)
        session.headers["Authorization"] = "Bearer admin-token"

        @contextlib.contextmanager
        def expose(namespace, service):
            node = plane.add_node()
            with _serving(plane.door.listen(node.ip)) as port:
                plane.api("POST", f"/api/v1/namespaces/{namespace}/pods", _pod(service, node.name))
                yield port

        def run(command, input=None):  # noqa: A002  # subprocess.run's own name
            return plane.run(command, input=input, check=False)

        yield Api(plane.outside_url(), session, expose, run=run)


@pytest.fixture(scope="session", params=["sandbox", pytest.param("real", marks=pytest.mark.controlplane)])
def api(request):
    """An API server: the sandbox, or the real one."""
    return request.getfixturevalue(f"{request.param}_api")


@pytest.fixture
def namespace(api):
    """A namespace of this test's own; its name."""
    name = fresh("suite")
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    api.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def maps(namespace):
    """The path of the namespace's ConfigMaps."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def deployments(namespace):
    """The path of the namespace's Deployments."""
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


@pytest.fixture(scope="session")
def widgets(api):
    """A custom kind: a function that gives the path of a namespace's widgets."""
    api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.suite.example"

    def established(definition):
        conditions = definition.get("status", {}).get("conditions") or ()
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    api.until(path, established)
    api.until_served = api.get("/apis/suite.example/v1")
    yield lambda namespace: f"/apis/suite.example/v1/namespaces/{namespace}/widgets"
    api.call("DELETE", path)


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.suite.example"},
    "spec": {
        "group": "suite.example",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "size": {"type": "integer"},
                                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                    "tags": {"type": "object", "additionalProperties": {"type": "string"}},
                                    "plain": {"type": "array", "items": {"type": "string"}},
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
                                        },
                                    },
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def _pod(service, node):
    return {
        "metadata": {"name": service, "labels": {"app": service}},
        "spec": {
            "nodeName": node,
            "hostNetwork": True,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "c", "image": "registry.example/app:1"}],
        },
    }


class _Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked; below /stream in parts, below /teapot with 418."""

    protocol_version = "HTTP/1.1"

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/stream"):
            self._stream()
            return
        lines = [f"{self.command} {self.path}", *(f"{k.lower()}: {v}" for k, v in self.headers.items()), ""]
        content = "\n".join(lines).encode() + body
        self.send_response(418 if self.path.startswith("/teapot") else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Echo", "yes")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer

    def _stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        self.wfile.flush()
        self.server.carry_on.wait(10)
        self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")

    def log_message(self, *_):
        pass


carry_on = threading.Event()
"""Lets a stream of `_Echo` send its second part."""


@contextlib.contextmanager
def _serving(listener):
    with listener:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        server.carry_on = carry_on
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()
