"""The stage itself: what the other end-to-end tests take for granted."""

from __future__ import annotations

import contextlib
import json
import ssl
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from agent_status import until
from controlplane.plane import USERS, PlaneError

pytestmark = pytest.mark.controlplane


class _Echo(BaseHTTPRequestHandler):
    """Answers with where it listens and the path that was asked for."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.server.socket.getsockname()[0]} {self.path}".encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(plane):
    """A function that serves `_Echo` in this process, at an address inside the plane."""
    with contextlib.ExitStack() as stack:

        def start(host, port=0):
            server = HTTPServer(("127.0.0.1", 0), _Echo, bind_and_activate=False)
            server.socket.close()
            server.socket = stack.enter_context(plane.door.listen(host, port))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            stack.callback(thread.join, 60)
            stack.callback(server.shutdown)
            return server.socket.getsockname()[1]

        yield start


def _front(namespace, node, port):
    """A pod on a Node's address, and the Service before it."""
    labels = {"app": "front"}
    container = {"name": "front", "image": "front", "ports": [{"name": "http", "containerPort": port}]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "front", "namespace": namespace, "labels": labels},
        "spec": {"hostNetwork": True, "nodeName": node.name, "containers": [container]},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front", "namespace": namespace},
        "spec": {"selector": labels, "ports": [{"name": "http", "port": port, "targetPort": "http"}]},
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod, service]})


def test_a_deployment_gets_ready(plane, namespace):
    plane.kubectl("create", "deployment", "shop", "--image=example.com/shop:1", "--replicas=3", "-n", namespace)
    plane.kubectl("rollout", "status", "deployment/shop", "-n", namespace, "--timeout=30s")
    live = plane.api("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/shop")
    assert live["status"]["readyReplicas"] == 3


def test_servers_on_two_nodes_are_reached_through_the_proxy_of_the_api_server(plane, new_namespace, serve):
    answers = {}
    for _ in range(2):
        node, namespace = plane.add_node(), new_namespace()
        serve(node.ip, 8080)
        plane.kubectl("apply", "-f", "-", input=_front(namespace, node, 8080))
        plane.kubectl("wait", "--for=condition=Ready", "pod/front", "-n", namespace, "--timeout=30s")
        answers[f"/api/v1/namespaces/{namespace}/services/front:http/proxy/hello"] = f"{node.ip} /hello"
    assert len(set(answers.values())) == 2
    for path, answer in answers.items():
        assert plane.kubectl("get", "--raw", path) == answer


def test_a_server_of_the_test_is_reached_by_a_process_inside(plane, serve):
    port = serve("10.99.200.1")
    fetch = f"import urllib.request as r; print(r.urlopen('http://10.99.200.1:{port}/in').read().decode())"
    assert plane.run([sys.executable, "-c", fetch]).stdout == "10.99.200.1 /in\n"


def test_the_api_server_is_reached_from_outside(plane):
    context = ssl.create_default_context(cafile=str(plane.authority))
    request = urllib.request.Request(f"{plane.outside_url()}/version", headers={"Authorization": "Bearer admin-token"})
    with urllib.request.urlopen(request, context=context, timeout=60) as response:
        assert json.load(response)["gitVersion"].startswith("v1.")


@pytest.mark.parametrize("user", [user for user in USERS if user != "admin"])
def test_a_user_may_nothing_before_rbac_grants_it(plane, namespace, user):
    path = f"/api/v1/namespaces/{namespace}/pods"
    with pytest.raises(PlaneError, match=f'User \\\\"{user}\\\\" cannot list'):
        plane.raw(path, user=user)
    plane.kubectl("create", "rolebinding", "look", "--clusterrole=view", f"--user={user}", "-n", namespace)
    config = {"KUBECONFIG": str(plane.kubeconfig_of(user))}
    look = ["kubectl", "get", "pods", "-n", namespace]
    until(lambda: "No resources found" in plane.run(look, env=config, check=False).stderr, "the right")


def test_a_token_signs_in_as_its_service_account(plane, namespace, tmp_path):
    plane.kubectl("create", "serviceaccount", "robot", "-n", namespace)
    config = plane.kubeconfig_for(plane.token(namespace, "robot"), tmp_path / "config")
    who = plane.run(["kubectl", "auth", "whoami", "-o", "yaml"], env={"KUBECONFIG": str(config)}).stdout
    assert yaml.safe_load(who)["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:robot"
