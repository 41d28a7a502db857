"""The sandbox as a program: its start and end, its bounds, and what no real server can be made to show in a test."""

import contextlib
import http.client
import http.server
import json
import socket
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from agent.sandbox import cluster as cluster_module
from agent.sandbox.cluster import SandboxCluster
from agent.sandbox.front import MAX_BODY

APPLY = {"Content-Type": "application/apply-patch+yaml"}
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def cluster():
    with SandboxCluster(ready_after=0.0) as running:
        yield running


@pytest.fixture
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def _map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _workload(name, **spec):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}}


@pytest.fixture(autouse=True)
def _stops_wait_for_slow_machines(monkeypatch):
    monkeypatch.setattr(cluster_module, "STOP_WITHIN", 60.0)


@pytest.fixture
def left():
    """A function that gives the sandbox's threads which were not there before the test."""
    before = set(threading.enumerate())

    def count():
        return [t for t in threading.enumerate() if t.name.startswith("sandbox-") and t not in before]

    return count


class TestEnding:
    def test_it_stops_in_time_with_idle_connections_and_open_watches(self, session, left):
        with contextlib.ExitStack() as stack:
            cluster = SandboxCluster().start()
            session.get(f"{cluster.url}/healthz", timeout=60)
            for _ in range(5):
                idle = stack.enter_context(socket.create_connection(("127.0.0.1", int(cluster.url.rpartition(":")[2]))))
                idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert idle.recv(12) == b"HTTP/1.1 200"
                watch = stack.enter_context(requests.Session())
                watch.trust_env = False
                watch.get(f"{cluster.url}{MAPS}?watch=1", stream=True, timeout=60)
            cluster.stop()
        assert left() == []

    def test_it_stops_while_a_proxied_service_is_silent(self, session, left):
        with socket.create_server(("127.0.0.1", 0)) as silent, SandboxCluster() as cluster:
            cluster.route("default", "mute", *silent.getsockname())
            service = {"metadata": {"name": "mute"}, "spec": {"ports": [{"port": 80}]}}
            session.post(f"{cluster.url}/api/v1/namespaces/default/services", json=service, timeout=60)
            path = f"{cluster.url}/api/v1/namespaces/default/services/mute:80/proxy/x"
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(requests.get, path, timeout=60, proxies={"http": ""})
                accepted, _ = silent.accept()
                cluster.stop()
                accepted.close()
                assert isinstance(asked.exception(60), requests.ConnectionError) or asked.result().status_code == 503
        assert left() == []

    def test_it_may_be_stopped_without_having_served(self, left):
        with SandboxCluster():
            pass
        assert left() == []

    def test_it_is_stopped_once_and_for_all(self):
        cluster = SandboxCluster().start()
        cluster.stop()
        cluster.stop()

    def test_a_watch_ends_when_its_reader_goes(self, cluster, left):
        connection = http.client.HTTPConnection("127.0.0.1", int(cluster.url.rpartition(":")[2]), timeout=60)
        connection.request("GET", f"{MAPS}?watch=1")
        connection.getresponse()
        connection.sock.close()
        connection.close()
        deadline = time.monotonic() + 60
        while any(thread.name == "sandbox-connection" for thread in left()):
            cluster.store.wake()
            assert time.monotonic() < deadline
            time.sleep(0.01)


class TestForgetting:
    def test_a_watch_from_a_forgotten_revision_ends_with_an_error_event(self, cluster, session):
        session.post(cluster.url + MAPS, json=_map("a"), timeout=60)
        old = session.get(cluster.url + MAPS, timeout=60).json()["metadata"]["resourceVersion"]
        session.post(cluster.url + MAPS, json=_map("b"), timeout=60)
        cluster.store.forget()
        for revision in ("1", old):
            answer = session.get(f"{cluster.url}{MAPS}?watch=1&resourceVersion={revision}", timeout=60)
            (event,) = map(json.loads, answer.text.splitlines())
            assert (answer.status_code, event["type"]) == (200, "ERROR")
            assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
            assert event["object"]["message"].startswith(f"too old resource version: {revision} (")

    def test_a_token_of_a_forgotten_revision_is_gone(self, cluster, session):
        for name in "ab":
            session.post(cluster.url + MAPS, json=_map(name), timeout=60)
        token = session.get(f"{cluster.url}{MAPS}?limit=1", timeout=60).json()["metadata"]["continue"]
        session.post(cluster.url + MAPS, json=_map("c"), timeout=60)
        cluster.store.forget()
        answer = session.get(f"{cluster.url}{MAPS}?limit=1&continue={token}", timeout=60)
        assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")

    def test_history_is_bounded(self, session):
        with SandboxCluster(history=3) as cluster:
            start = cluster.store.revision
            for number in range(5):
                session.post(cluster.url + MAPS, json=_map(f"m{number}"), timeout=60)
            path = f"{cluster.url}{MAPS}?watch=1&timeoutSeconds=1&resourceVersion="
            assert json.loads(session.get(f"{path}{start}", timeout=60).text)["object"]["code"] == 410
            events = session.get(f"{path}{start + 2}", timeout=60).text.splitlines()
            assert [json.loads(line)["object"]["metadata"]["name"] for line in events] == ["m2", "m3", "m4"]

    def test_a_page_and_a_watch_from_it_miss_nothing(self, cluster, session):
        for name in "abc":
            session.post(cluster.url + MAPS, json=_map(name), timeout=60)
        first = session.get(f"{cluster.url}{MAPS}?limit=2", timeout=60).json()
        session.delete(f"{cluster.url}{MAPS}/c", timeout=60)
        session.post(cluster.url + MAPS, json=_map("d"), timeout=60)
        token, revision = first["metadata"]["continue"], first["metadata"]["resourceVersion"]
        rest = session.get(f"{cluster.url}{MAPS}?limit=2&continue={token}", timeout=60).json()
        assert rest["metadata"]["resourceVersion"] == revision
        watched = session.get(f"{cluster.url}{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={revision}", timeout=60)
        seen = [(e["type"], e["object"]["metadata"]["name"]) for e in map(json.loads, watched.text.splitlines())]
        assert seen == [("DELETED", "c"), ("ADDED", "d")]


class TestBookmarks:
    def test_one_comes_two_seconds_before_the_end(self, cluster, session):
        path = f"{cluster.url}{MAPS}?watch=1&timeoutSeconds=2&resourceVersion={cluster.store.revision}"
        assert session.get(path, timeout=60).text == ""
        path = path.replace("timeoutSeconds=2", "timeoutSeconds=3") + "&allowWatchBookmarks=true"
        with session.get(path, stream=True, timeout=60) as watch:
            event = json.loads(next(watch.iter_lines(chunk_size=1)))
        assert (event["type"], event["object"]["kind"], event["object"]["apiVersion"]) == (
            "BOOKMARK",
            "ConfigMap",
            "v1",
        )
        assert event["object"]["metadata"]["resourceVersion"] == str(cluster.store.revision)


class TestBounds:
    def test_a_body_that_is_too_large_is_refused(self, cluster):
        connection = http.client.HTTPConnection("127.0.0.1", int(cluster.url.rpartition(":")[2]), timeout=60)
        with contextlib.closing(connection):
            connection.putrequest("POST", MAPS)
            connection.putheader("Content-Length", str(MAX_BODY + 1))
            connection.endheaders()
            assert connection.getresponse().status == 413

    def test_a_body_in_chunks_is_read(self, cluster, session):
        parts = iter([b'{"metadata": {"name"', b': "chunked"}}'])
        answer = session.post(cluster.url + MAPS, data=parts, timeout=60)
        assert (answer.status_code, answer.json()["metadata"]["name"]) == (201, "chunked")

    def test_protobuf_is_refused(self, cluster, session):
        headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
        assert session.post(cluster.url + MAPS, data=b"k8s\x00", headers=headers, timeout=60).status_code == 415


class TestConcurrency:
    def test_parallel_applies_lose_nothing(self, cluster):
        def apply(number):
            with requests.Session() as own:
                own.trust_env = False
                url = f"{cluster.url}{MAPS}/shared?fieldManager=m{number}"
                return own.patch(url, json=_map("shared", **{f"k{number}": "1"}), headers=APPLY, timeout=60).status_code

        with ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(apply, range(24)))
        assert sorted(codes) == [200] * 23 + [201]
        live = cluster.get("configmaps", "default", "shared")
        assert live["data"] == {f"k{number}": "1" for number in range(24)}
        assert len(live["metadata"]["managedFields"]) == 24


class TestKubeconfig:
    def test_it_is_its_owners_alone_and_leads_to_the_cluster(self, cluster, tmp_path):
        path = cluster.kubeconfig(tmp_path / "config", namespace="demo")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        document = json.loads(path.read_text())
        assert document["clusters"][0]["cluster"] == {"server": cluster.url}
        assert document["contexts"][0]["context"]["namespace"] == "demo"


class TestRoutes:
    def test_a_service_that_refuses_connections_is_unavailable(self, cluster, session):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            address = closed.getsockname()
        cluster.route("default", "gone", *address)
        service = {"metadata": {"name": "gone"}, "spec": {"ports": [{"name": "http", "port": 80}]}}
        session.post(f"{cluster.url}/api/v1/namespaces/default/services", json=service, timeout=60)
        base = f"{cluster.url}/api/v1/namespaces/default/services"
        answer = session.get(f"{base}/gone:http/proxy/x", timeout=60)
        assert (answer.status_code, answer.json()["reason"]) == (503, "ServiceUnavailable")
        assert answer.json()["message"].startswith("error trying to reach service: ")
        assert session.get(f"{base}/gone:other/proxy/x", timeout=60).status_code == 503


class TestControllers:
    def test_a_rollout_takes_the_time_it_is_given(self, session):
        with SandboxCluster(ready_after=0.3) as cluster:
            body = _workload("s", replicas=2)
            url = f"{cluster.url}/apis/apps/v1/namespaces/default/statefulsets"
            made = session.post(url, json=body, timeout=60).json()
            assert "observedGeneration" not in made["status"]
            revision = made["metadata"]["resourceVersion"]
            with session.get(f"{url}?watch=1&resourceVersion={revision}", stream=True, timeout=60) as watch:
                status = json.loads(next(watch.iter_lines(chunk_size=1)))["object"]["status"]
            assert (status["observedGeneration"], status["readyReplicas"]) == (1, 2)
            assert status["currentRevision"] == status["updateRevision"]

    def test_a_daemon_set_runs_on_one_node(self, cluster, session):
        url = f"{cluster.url}/apis/apps/v1/namespaces/default/daemonsets"
        revision = session.post(url, json=_workload("d"), timeout=60).json()["metadata"]["resourceVersion"]
        with session.get(f"{url}?watch=1&resourceVersion={revision}", stream=True, timeout=60) as watch:
            status = json.loads(next(watch.iter_lines(chunk_size=1)))["object"]["status"]
        assert (status["desiredNumberScheduled"], status["numberAvailable"]) == (1, 1)


class TestNonsense:
    @pytest.mark.parametrize(
        ("request_line", "headers"),
        [
            ("GET /apis/none/v1/ HTTP/1.1", ""),
            ("GET /api/v1/namespaces/default HTTP/1.1", "Content-Length: x\r\n"),
            ("POST /api/v1/namespaces HTTP/1.1", "Transfer-Encoding: chunked\r\n"),
        ],
    )
    def test_requests_that_make_no_sense_are_answered(self, cluster, request_line, headers):
        with socket.create_connection(("127.0.0.1", int(cluster.url.rpartition(":")[2])), timeout=60) as raw:
            raw.sendall(f"{request_line}\r\nHost: x\r\n{headers}\r\nnonsense\r\n".encode())
            assert raw.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 404")

    def test_a_namespace_may_be_called_proxy(self, cluster, session):
        with _echoing() as port:
            cluster.route("proxy", "proxy", "127.0.0.1", port)
            session.post(f"{cluster.url}/api/v1/namespaces", json={"metadata": {"name": "proxy"}}, timeout=60)
            base = f"{cluster.url}/api/v1/namespaces/proxy/services"
            session.post(base, json={"metadata": {"name": "proxy"}, "spec": {"ports": [{"port": 80}]}}, timeout=60)
            assert session.get(f"{base}/proxy:80/proxy/proxy/x", timeout=60).text == "/proxy/x"
            assert session.get(f"{base}/proxy:80/proxy/empty", timeout=60).status_code == 204
            with pytest.raises(requests.RequestException):
                session.get(f"{base}/proxy:80/proxy/broken", timeout=60)


class _PathEcho(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(204 if self.path == "/empty" else 200)
        if self.path != "/empty":
            length = len(self.path) + (10 if self.path == "/broken" else 0)
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.path != "/empty":
            self.wfile.write(self.path.encode())
        self.close_connection = self.path == "/broken"

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def _echoing():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _PathEcho) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
