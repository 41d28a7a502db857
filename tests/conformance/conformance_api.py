"""An API server as the suite sees it: an address, a session, and the few requests the tests are made of."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import time

TIMEOUT = 60.0
CONTROLLERS = {"kube-controller-manager", "kube-scheduler", "kwok", "kube-apiserver"}

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

_numbers = itertools.count(1)


class Api:
    """Requests to one API server.

    `expose(namespace, service)` is a context in which a Service leads to a server in this process; `run` runs a command
    that finds the API server through KUBECONFIG, None where there is no kubectl.
    """

    def __init__(self, base_url, session, expose, run):
        self.url = base_url
        self.session = session
        self.expose = expose
        self.run = run

    def call(self, method, path, body=None, *, media="application/json", headers=None, stream=False, **query):
        return self.session.request(
            method,
            self.url + path,
            params=query,
            data=body if body is None or isinstance(body, str | bytes) else json.dumps(body),
            headers={"Content-Type": media, "User-Agent": "suite/1.0 (test)", **(headers or {})},
            timeout=TIMEOUT,
            stream=stream,
            allow_redirects=False,
        )

    def get(self, path, **query):
        return self._object(self.call("GET", path, **query), 200)

    def create(self, path, body, **query):
        return self._object(self.call("POST", path, body, **query), 201)

    def apply(self, path, body, manager="flux", **query):
        query = {"fieldManager": manager, **query}
        if query.pop("force", True):
            query["force"] = "true"
        answer = self.call("PATCH", path, body, media=APPLY, **query)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def patch(self, path, body, media=MERGE, **query):
        return self._object(self.call("PATCH", path, body, media=media, **query), 200)

    def refused(self, code, method, path, body=None, **kwargs):
        """The Status of a request that must be refused with this code."""
        answer = self.call(method, path, body, **kwargs)
        assert answer.status_code == code, answer.text
        status = answer.json()
        assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure")
        assert status["code"] == code
        return status

    def until(self, path, condition, timeout=TIMEOUT):
        """The object, as soon as it fulfils a condition; polled, because another program changes it."""
        deadline = time.monotonic() + timeout
        while True:
            answer = self.call("GET", path)
            if answer.status_code == 200 and condition(answer.json()):
                return answer.json()
            assert time.monotonic() < deadline, f"{path} did not become as wanted: {answer.text[:2000]}"
            time.sleep(0.02)

    def gone(self, path, timeout=TIMEOUT):
        """Waits until there is no such object any more."""
        deadline = time.monotonic() + timeout
        while self.call("GET", path).status_code != 404:
            assert time.monotonic() < deadline, f"{path} is still there"
            time.sleep(0.02)

    def token(self, account, **spec):
        """A fresh token of the ServiceAccount at a path."""
        return self.create(f"{account}/token", {"spec": spec})["status"]["token"]

    def watch(self, path, count, headers=None, **query):
        """The first events of a watch, as many as are said; fewer if it ends by its timeout, 20 s, before."""
        query = {"watch": "1", "timeoutSeconds": "20", **query}
        with self.call("GET", path, headers=headers, stream=True, **query) as answer:
            assert answer.status_code == 200, answer.text
            lines = itertools.islice(answer.iter_lines(chunk_size=1), count)
            return [json.loads(line) for line in lines]

    @staticmethod
    def _object(answer, code):
        assert answer.status_code == code, answer.text
        return answer.json()


def fresh(prefix):
    """A name that no other test has."""
    return f"{prefix}-{next(_numbers)}"


def bearer(token):
    """The headers of who shows a token."""
    return {"Authorization": f"Bearer {token}"}


ALICE = bearer("alice-token")


def until(condition):
    """What a condition gives, as soon as it holds; polled: a real server's authorizer follows writes in a moment."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def config_map(name, data=None, **metadata):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        **({"data": data} if data is not None else {}),
    }


def deployment(name, *containers, **spec):
    containers = containers or ({"name": "c", "image": "registry.example/app:1"},)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": list(containers)}},
            **spec,
        },
    }


def managed(obj):
    """Who manages what, but for controllers: (manager, operation, subresource) → fieldsV1."""
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in obj["metadata"].get("managedFields", [])
        if entry["manager"] not in CONTROLLERS
    }


def with_fields(*fields):
    """A fieldsV1 document of plain fields."""
    return {f"f:{field}": {} for field in fields}


def changed(obj, **spec):
    """A copy of an object with other fields in its spec."""
    result = copy.deepcopy(obj)
    result["spec"].update(spec)
    return result


def established(definition):
    """Whether a CustomResourceDefinition is served."""
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


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

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@contextlib.contextmanager
def with_widgets(api):
    """The API while it serves `WIDGETS`."""
    api.create(_DEFINITIONS, WIDGETS)
    api.until(f"{_DEFINITIONS}/widgets.suite.example", established)
    try:
        yield api
    finally:
        api.call("DELETE", f"{_DEFINITIONS}/widgets.suite.example")
