"""A sync as a whole, against a cluster that answers as the test says."""

import json
import threading

import pytest

from agent.cluster.discovery import catalog
from agent.manifests.load import parse
from agent.model.errors import ClusterError
from agent.model.resources import Loaded, Resource
from agent.settings import SyncSettings
from agent.sync.desired import Scope
from agent.sync.engine import SyncEngine, SyncRequest
from agent.sync.marks import marker

VERBS = frozenset({"list", "delete", "patch"})
MAPS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True, verbs=VERBS)
CRDS = Resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False, verbs=VERBS
)
MARKER = marker("flux", "default")


class Cluster:
    """Keeps what is applied; `error` is raised by every list."""

    def __init__(self, broken=()):
        self.objects = {}
        self.deleted = []
        self.error = None
        self.catalog = catalog([MAPS, CRDS], broken)

    def kinds(self, *, refresh=False):
        return self.catalog

    def get(self, path):
        return self.objects[path]

    def list_metadata(self, path, *, label_selector=""):
        if self.error:
            raise self.error
        if path.endswith("configmaps"):
            yield from self.objects.values()

    def apply(self, path, body):
        found = parse(body).manifests[0]
        metadata = {"name": found.name, "namespace": found.namespace, "uid": path, "resourceVersion": "1"}
        sent = json.loads(body)["metadata"]
        self.objects[path] = {"metadata": {**sent, **metadata}}
        return self.objects[path]

    def json_patch(self, path, operations):
        raise AssertionError

    def delete(self, path, *, uid):
        self.deleted.append(uid)
        del self.objects[path]


@pytest.fixture
def make():
    engines = []

    def engine(cluster, **settings):
        stop = threading.Event()
        engines.append(SyncEngine(cluster, MARKER, Scope(), SyncSettings(garbage_collection=True, **settings), stop))
        return engines[-1]

    yield engine
    for engine in engines:
        engine.close()


def maps(*names):
    return "".join(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: demo}}\n---\n" for name in names
    )


def request(text, *approved):
    return SyncRequest("r", Loaded(parse(text.encode()).manifests), frozenset(approved))


def test_a_cluster_that_cannot_be_read_is_an_error_and_nothing_is_attempted_or_deleted(make):
    cluster = Cluster()
    engine = make(cluster)
    assert engine.sync(request(maps("a", "b", "c", "d"))).applied == 4
    cluster.error = ClusterError("etcd is away", status=500)
    report = engine.sync(request(maps("a")))
    assert (report.error, report.remaining, report.failures) == ("configmaps could not be listed: etcd is away", 1, ())
    assert not report.complete
    assert cluster.deleted == []


def test_what_may_not_be_read_fails_object_by_object(make):
    cluster = Cluster()
    cluster.error = ClusterError("configmaps is forbidden", status=403)
    report = make(cluster).sync(request(maps("a", "b")))
    assert report.complete
    assert [failure.object_id for failure in report.failures] == ["demo:configmap/a", "demo:configmap/b"]


def test_an_object_in_git_stays_when_its_version_is_no_longer_served(make):
    cluster = Cluster()
    engine = make(cluster)
    engine.sync(request(maps("aa", "bb", "cc", "dd")))
    gone = maps("dd").replace("apiVersion: v1", "apiVersion: v1beta1").replace(", namespace: demo", "")
    report = engine.sync(request(maps("aa", "bb", "cc") + gone))
    assert "the cluster serves no ConfigMap of v1beta1" in report.failures[0].reason
    assert cluster.deleted == []


def test_emptying_a_source_is_held_and_an_approval_survives_what_holds_it_meanwhile(make):
    cluster = Cluster()
    engine = make(cluster)
    engine.sync(request(maps("a", "b", "c")))
    held = engine.sync(request(""))
    assert (len(held.pending_deletions), cluster.deleted) == (3, [])
    cluster.error = ClusterError("busy", status=500)
    engine.sync(request("", held.deletions_hash))
    cluster.error = None
    assert engine.sync(request("")).deleted == 3


@pytest.mark.parametrize("spec", ["text", "{versions: [v1]}", "{names: []}", "{versions: 7, names: {kind: X}}"])
def test_a_definition_without_sense_crashes_nothing(make, spec):
    definition = (
        f"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: x}}\nspec: {spec}\n"
    )
    report = make(Cluster()).sync(request(f"{definition}---\napiVersion: x.io/v1\nkind: Why\nmetadata: {{name: zz}}\n"))
    assert report.error == ""


def test_a_group_whose_server_is_away_is_told_as_such(make):
    report = make(Cluster(broken=["x.io"])).sync(request("apiVersion: x.io/v1\nkind: Why\nmetadata: {name: zz}\n"))
    assert "stands behind the group x.io does not answer" in report.failures[0].reason
