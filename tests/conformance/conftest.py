"""One suite, two servers: each test runs against the sandbox and against the real API server."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess

import pytest
import requests
from conformance_api import Api, fresh, with_widgets
from conformance_echo import serving
from controlplane.plane import USERS

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
    users = {f"{name}-token": (name, groups) for name, groups in USERS.items()}
    with SandboxCluster(ready_after=0.01, users=users) as cluster, requests.Session() as session:
        session.trust_env = False

        @contextlib.contextmanager
        def expose(namespace, service):
            with serving(socket.create_server(("127.0.0.1", 0))) as port:
                cluster.route(namespace, service, "127.0.0.1", port)
                yield port

        def run(command, input=None):  # noqa: A002  # subprocess.run's own name
            environment = {
                "KUBECONFIG": str(cluster.kubeconfig(folder / "kubeconfig")),
                "HOME": str(folder),
                "PATH": os.environ.get("PATH", os.defpath),
            }
            return subprocess.run(
                command, env=environment, input=input or "", text=True, capture_output=True, check=False, timeout=60
            )

        with with_widgets(Api(cluster.url, session, expose, run if shutil.which("kubectl") else None)) as api:
            yield api


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
            with serving(plane.door.listen(node.ip)) as port:
                plane.api("POST", f"/api/v1/namespaces/{namespace}/pods", _pod(service, node.name))
                yield port

        def run(command, input=None):  # noqa: A002  # subprocess.run's own name
            return plane.run(command, input=input, check=False)

        with with_widgets(Api(plane.outside_url(), session, expose, run)) as api:
            yield api


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
def accounts(namespace):
    """The path of the namespace's ServiceAccounts."""
    return f"/api/v1/namespaces/{namespace}/serviceaccounts"


@pytest.fixture
def bot(api, accounts):
    """The path of a ServiceAccount."""
    api.create(accounts, {"metadata": {"name": "bot"}})
    return f"{accounts}/bot"


@pytest.fixture
def maps(namespace):
    """The path of the namespace's ConfigMaps."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def deployments(namespace):
    """The path of the namespace's Deployments."""
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


@pytest.fixture
def widgets():
    """A function that gives the path of a namespace's widgets, a custom kind."""
    return lambda namespace: f"/apis/suite.example/v1/namespaces/{namespace}/widgets"


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
