"""Requests to the API server, against a server that answers as the test says."""

import http.server
import json
import threading

import pytest

from agent.cluster.client import ApiClient
from agent.cluster.connection import Connection, default_namespace
from agent.cluster.discovery import discover
from agent.cluster.secrets import ANNOTATION, SecretMarker
from agent.model.errors import ClusterError, StoppedError, UsageError
from agent.settings import ClusterSettings


class Server:
    """Answers each request with the next of its answers: (status, body, headers); the last one stays."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.seen = []
        self.waiting = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                server.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
                answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                if answer == "hang":
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.write(b'1d\r\n{"type":"ADDED","object":{}}\n\r\n')
                    self.wfile.flush()
                    server.waiting.wait(30)
                    self.close_connection = True
                    return
                status, body, headers = answer
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_PATCH = do_POST = do_DELETE = do_GET  # noqa: N815 # the library's names

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http.server_port}"

    def close(self):
        self.waiting.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def serve(tmp_path):
    servers, connections = [], []

    def start(*answers, token="one", path=""):
        server = Server(answers)
        servers.append(server)
        (tmp_path / "token").write_text(token)
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
            "clusters": [{"name": "c", "cluster": {"server": server.url + path}}],
            "users": [{"name": "u", "user": {"tokenFile": str(tmp_path / "token")}}],
        }
        (tmp_path / "config").write_text(json.dumps(config))
        connection = Connection(ClusterSettings(kubeconfig=str(tmp_path / "config")))
        connections.append(connection)
        stop = threading.Event()
        return server, ApiClient(connection, stop), stop

    yield start
    for connection in connections:
        connection.close()
    for server in servers:
        server.close()


def ok(body):
    return 200, body, {}


def refused(code, message="no", reason="", **headers):
    return (
        code,
        {"kind": "Status", "message": message, "reason": reason},
        {key.replace("_", "-"): value for key, value in headers.items()},
    )


def test_a_refusal_is_an_error_in_the_servers_own_words(serve):
    _, client, _ = serve(refused(403, "pods is forbidden", "Forbidden"))
    with pytest.raises(ClusterError, match="pods is forbidden") as caught:
        client.get("/api/v1/pods")
    assert (caught.value.status, caught.value.reason, caught.value.temporary) == (403, "Forbidden", False)


def test_a_busy_server_is_asked_again_after_the_time_it_says(serve):
    server, client, _ = serve(refused(429, Retry_After="0"), refused(503, Retry_After="1"), ok({"a": 1}))
    assert client.get("/x") == {"a": 1}
    assert len(server.seen) == 3


def test_waiting_for_a_busy_server_ends_with_the_agent(serve):
    _, client, stop = serve(refused(429, Retry_After="10"))
    stop.set()
    with pytest.raises(StoppedError):
        client.get("/x")


def test_a_rotated_token_is_used_without_a_restart(serve, tmp_path, monkeypatch):
    server, client, _ = serve(ok({}), refused(401), ok({"a": 1}))
    client.get("/x")
    (tmp_path / "token").write_text("two")
    monkeypatch.setattr("agent.cluster.connection._RELOAD_EVERY", 0.0)
    assert client.get("/x") == {"a": 1}
    assert [headers["Authorization"].split()[1] for _, _, headers, _ in server.seen] == ["one", "one", "two"]


def test_a_list_goes_through_its_pages(serve):
    page = {"metadata": {"resourceVersion": "5", "continue": "t/1"}, "items": [{"n": 1}]}
    server, client, _ = serve(ok(page), ok({"metadata": {}, "items": [{"n": 2}]}))
    assert list(client.list_metadata("/api/v1/pods", label_selector="a")) == [{"n": 1}, {"n": 2}]
    assert [path for _, path, _, _ in server.seen] == [
        "/api/v1/pods?limit=500&labelSelector=a",
        "/api/v1/pods?limit=500&labelSelector=a&continue=t%2F1",
    ]


def test_a_servers_own_path_stands_before_every_path(serve):
    server, client, _ = serve(ok({}), path="/k8s/clusters/c-1")
    client.get("/api")
    assert server.seen[0][1] == "/k8s/clusters/c-1/api"


def test_a_delete_names_the_one_object_it_means(serve):
    server, client, _ = serve(ok({}))
    client.delete("/x", uid="u-1")
    assert json.loads(server.seen[0][3])["preconditions"] == {"uid": "u-1"}


def test_an_unreachable_server_is_a_temporary_error(serve):
    server, client, _ = serve(ok({}))
    server.close()
    server.http.server_close()
    with pytest.raises(ClusterError, match="cannot be reached") as caught:
        client.get("/x")
    assert caught.value.temporary
    server.close = lambda: None


def test_a_watch_ends_at_once_when_interrupted(serve):
    _, client, _ = serve("hang")
    events = client.watch("/x", "1", seconds=300)
    assert next(events) == {"type": "ADDED", "object": {}}
    threading.Timer(0.1, client.interrupt).start()
    with pytest.raises((ClusterError, StopIteration)):
        next(events)


def test_discovery_asks_group_by_group_where_the_server_knows_no_better(serve):
    deployments = {"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": ["list"]}
    status = {**deployments, "name": "deployments/status"}
    groups = [
        {"name": "apps", "versions": [{"version": "v1"}], "preferredVersion": {"version": "v1"}},
        {"name": "gone", "versions": [{"version": "v1"}]},
    ]
    _, client, _ = serve(
        ok({"versions": ["v1"]}),
        ok({"resources": []}),
        ok({"groups": groups}),
        ok({"resources": [deployments, status]}),
        refused(503),
    )
    found = discover(client)
    assert found.find("apps/v1", "Deployment").path("demo", "web") == "/apis/apps/v1/namespaces/demo/deployments/web"
    assert found.broken_groups == {"gone"}


def test_the_default_namespace_is_the_contexts(serve, tmp_path):
    serve(ok({}))
    settings = ClusterSettings(kubeconfig=str(tmp_path / "config"))
    assert default_namespace(settings) == "team"
    assert default_namespace(ClusterSettings(default_namespace="given")) == "given"


def test_a_configuration_that_makes_no_sense_is_a_usage_error(tmp_path):
    (tmp_path / "config").write_text("clusters: 7")
    with pytest.raises(UsageError, match="cannot be used"):
        Connection(ClusterSettings(kubeconfig=str(tmp_path / "config")))


def test_the_marker_can_live_in_a_secret(serve):
    server, client, _ = serve(
        ok({"metadata": {"annotations": {ANNOTATION: "abc"}}}), refused(404), ok({}), refused(403, "forbidden")
    )
    marker = SecretMarker(client, "flux", "flux-git-deploy")
    assert (marker.read(), marker.read()) == ("abc", "")
    marker.advance("def")
    assert json.loads(server.seen[2][3]) == {"metadata": {"annotations": {ANNOTATION: "def"}}}
    with pytest.raises(ClusterError, match="Secret flux/flux-git-deploy: forbidden"):
        marker.advance("ghi")
