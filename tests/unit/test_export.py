"""`Export` over a sandbox cluster: which objects, in which pages, and for whom."""

import json
import threading
from dataclasses import dataclass, field

import pytest
import requests

from agent.api.call import Call, Slots
from agent.api.errors import NotFoundError
from agent.api.export import Exports
from agent.cluster.client import ApiClient
from agent.cluster.connection import Connection
from agent.cluster.export import MAX_LISTS, Cursor, Exporter
from agent.manifests.load import parse
from agent.model.access import GET_MANIFESTS, Caller, ForbiddenError, OpenAccess, Visible
from agent.model.errors import ClusterError, UsageError
from agent.model.resources import Resource
from agent.sandbox.cluster import SandboxCluster
from agent.settings import ClusterSettings
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, event, **fields):
        self.lines.append((event, fields))


@dataclass
class Rights:
    """Sees the manifests of these namespaces and no others."""

    namespaces: frozenset
    asked: list = field(default_factory=list)
    caller: Caller = field(default_factory=Caller)

    def visible(self, right, namespaces):
        assert right == GET_MANIFESTS
        self.asked.append(tuple(namespaces))
        if not self.namespaces:
            raise ForbiddenError("nowhere")
        return Visible(everything=False, namespaces=self.namespaces)

    def require(self, right, namespaces):
        assert right == GET_MANIFESTS
        if not set(namespaces) <= self.namespaces:
            raise ForbiddenError("not there")


def call(access=None, over=False):
    stop = threading.Event()
    return Call(Slots(1), stop, lambda: not over, lambda: None, lambda _: "", access or OpenAccess())


def workload(kind, name, **metadata):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    if kind == "CronJob":
        template["spec"]["restartPolicy"] = "Never"
        spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}
    version = "batch/v1" if kind == "CronJob" else "apps/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of a sandbox with two teams, an add-on and an object that a controller keeps."""
    kubeconfig = tmp_path_factory.mktemp("kube") / "config"
    with SandboxCluster(ready_after=0.0) as cluster, requests.Session() as session:
        session.trust_env = False

        def create(path, body):
            session.post(f"{cluster.url}{path}", json=body, timeout=10).raise_for_status()

        for team in ("team-a", "team-b"):
            create("/api/v1/namespaces", {"metadata": {"name": team}})
            create(f"/api/v1/namespaces/{team}/secrets", SECRET)
            for number in range(3):
                create(f"/apis/apps/v1/namespaces/{team}/deployments", workload("Deployment", f"web-{number}"))
        create("/apis/batch/v1/namespaces/team-b/cronjobs", workload("CronJob", "nightly"))
        owner = {"apiVersion": "x/v1", "kind": "App", "name": "x", "uid": "1", "controller": True}
        create("/apis/apps/v1/namespaces/team-b/statefulsets", workload("StatefulSet", "kept", ownerReferences=[owner]))
        labels = {"kubernetes.io/cluster-service": "true"}
        create("/apis/apps/v1/namespaces/kube-system/deployments", workload("Deployment", "dns", labels=labels))
        config = {"clusters": [{"name": "c", "cluster": {"server": cluster.url}}], "current-context": "x"}
        config["contexts"] = [{"name": "x", "context": {"cluster": "c", "user": ""}}]
        kubeconfig.write_text(json.dumps(config))
        connection = Connection(ClusterSettings(kubeconfig=str(kubeconfig)))
        yield ApiClient(connection, threading.Event())
        connection.close()


def every(exports, access=None, size=0, namespace=""):
    """All pages of an export."""
    pages, token = [], None
    while token != "":
        request = pb.ExportRequest(namespace=namespace, page_size=size, page_token=token or "")
        pages.append(exports(request, call(access)))
        token = pages[-1].next_page_token
        assert len(pages) < 50
    return pages


def names(pages):
    return [f"{entry.namespace}/{entry.name}" for page in pages for entry in page.objects]


def everywhere(resource):
    return True


TEAM_A = ["/team-a", "team-a/web-0", "team-a/web-1", "team-a/web-2"]
TEAM_B = ["/team-b", "team-b/web-0", "team-b/web-1", "team-b/web-2", "team-b/nightly"]


@pytest.mark.parametrize("size", [0, 1, 3])
def test_namespaces_come_first_then_workloads_and_nothing_of_others(client, size):
    pages = every(Exports(Exporter(client, everywhere, Log())), size=size)
    found = names(pages)
    assert {"/default", "/kube-system", *TEAM_A, *TEAM_B} <= set(found)
    assert not {"team-b/kept", "kube-system/dns", "team-a/s"} & set(found)
    assert len(found) == len(set(found))
    assert "hunter2" not in str(pages)
    assert not any(page.restricted for page in pages)
    assert all(len(page.objects) <= (size or 200) for page in pages)
    assert found.index("/team-b") < found.index("team-a/web-0")


def test_every_object_is_one_whole_manifest(client):
    for page in every(Exports(Exporter(client, everywhere, Log()))):
        for entry in page.objects:
            (manifest,) = parse(entry.yaml.encode()).manifests
            assert (manifest.kind, manifest.namespace, manifest.name) == (entry.kind, entry.namespace, entry.name)
            assert b"uid" not in manifest.body
            assert b"status" not in manifest.body


@pytest.mark.parametrize("size", [0, 1])
def test_who_may_see_one_team_gets_that_team_and_is_told_that_there_is_more(client, size):
    pages = every(Exports(Exporter(client, everywhere, Log())), Rights(frozenset({"team-b", "gone"})), size)
    assert names(pages) == TEAM_B
    assert all(page.restricted for page in pages)


def test_a_token_of_somebody_else_leads_nowhere_they_may_not_go(client):
    exports = Exports(Exporter(client, everywhere, Log()))
    token = exports(pb.ExportRequest(page_size=1), call(Rights(frozenset({"team-a"})))).next_page_token
    answer = exports(pb.ExportRequest(page_token=token), call(Rights(frozenset({"team-b"}))))
    assert names([answer]) == TEAM_B
    with pytest.raises(ForbiddenError):
        exports(pb.ExportRequest(page_token=token), call(Rights(frozenset())))


def test_one_namespace_needs_the_right_there_and_must_be_one(client):
    exports = Exports(Exporter(client, everywhere, Log()))
    rights = Rights(frozenset({"team-a", "nosuch"}))
    assert names(every(exports, rights, namespace="team-a")) == TEAM_A
    with pytest.raises(ForbiddenError):
        exports(pb.ExportRequest(namespace="team-b"), call(rights))
    with pytest.raises(NotFoundError, match="no namespace nosuch"):
        exports(pb.ExportRequest(namespace="nosuch"), call(rights))
    for wrong in ("../kube-system", "a/b", "A", "a" * 64, "a?b"):
        with pytest.raises(UsageError, match="no namespace's name"):
            exports(pb.ExportRequest(namespace=wrong), call())


def test_an_agent_of_some_namespaces_exports_those(client):
    exports = Exports(Exporter(client, everywhere, Log()), allowed=("team-b", "team-a"))
    assert names(every(exports)) == [*TEAM_A, *TEAM_B]
    with pytest.raises(NotFoundError, match="none of those"):
        exports(pb.ExportRequest(namespace="default"), call())


def test_kinds_that_are_excluded_are_not_listed(client):
    log = Log()
    exporter = Exporter(client, lambda resource: resource.kind != "Deployment", log)
    found = names(every(Exports(exporter), namespace="team-b"))
    assert found == ["/team-b", "team-b/nightly"]
    assert log.lines == []


@pytest.mark.parametrize("token", ["x", "!", "W10", "WyIiLCAtMSwgIiJd", "e30"])
def test_a_token_that_is_none_of_ours_is_wrong_usage(client, token):
    with pytest.raises(UsageError, match="none of this agent's"):
        Exports(Exporter(client, everywhere, Log()))(pb.ExportRequest(page_token=token), call())
    with pytest.raises(UsageError, match="page_size"):
        Exports(Exporter(client, everywhere, Log()))(pb.ExportRequest(page_size=-1), call())


HELM = Resource("helm.fluxcd.io", "v1", "HelmRelease", "helmreleases", namespaced=True, verbs=frozenset({"list"}))


class Scripted:
    """A cluster of many empty namespaces that refuses some kinds."""

    def __init__(self, refused=()):
        self.refused = dict(refused)
        self.paths = []

    def kinds(self, *, refresh=False):
        return type("Catalog", (), {"preferred": (HELM,)})()

    def get(self, path, *, accept=""):
        self.paths.append(path)
        for plural, status in self.refused.items():
            if f"/{plural}" in path.partition("?")[0]:
                raise ClusterError("no", status=status)
        if "/helmreleases?" in path:
            metadata = {"name": "web", "namespace": path.split("/")[5], "uid": "1"}
            return {"items": [{"metadata": metadata, "spec": {"values": {"resources": {}}}}]}
        return {"metadata": {"name": path.rpartition("/")[2]}} if "?" not in path else {"items": [], "metadata": {}}

    def list_metadata(self, path, *, label_selector=""):
        raise ClusterError("no", status=403)


def test_helm_releases_are_exported_with_their_values_as_they_are():
    (page,) = every(Exports(Exporter(Scripted(), everywhere, Log())), namespace="demo")
    assert [entry.kind for entry in page.objects] == ["Namespace", "HelmRelease"]
    assert "    resources: {}" in page.objects[1].yaml


def test_what_may_not_be_read_is_left_out_and_said_in_the_log_and_the_answer():
    log = Log()
    cluster = Scripted({"deployments": 403, "cronjobs": 404})
    (page,) = every(Exports(Exporter(cluster, everywhere, log)), namespace="demo")
    assert [entry.kind for entry in page.objects] == ["Namespace", "HelmRelease"]
    assert [fields["kind"] for _, fields in log.lines] == ["deployments"]
    assert page.notices == ["All deployments.apps of namespace demo are left out: the agent may not list them."]


def test_a_namespace_itself_and_a_kind_of_the_whole_cluster_are_named_where_they_are_left_out():
    said = Exporter(Scripted({"namespaces/demo": 403}), everywhere, Log()).page(("demo",), Cursor(), 1).notices
    assert said[0] == "Namespace demo itself is left out: the agent may not read it."
    cluster = Scripted({"namespaces": 403, "cronjobs": 403, "helmreleases": 404})
    said = Exporter(cluster, everywhere, Log()).page(("",), Cursor(), 9).notices
    assert said == (
        "Namespaces themselves are left out: the agent may not list them.",
        "All cronjobs.batch are left out: the agent may not list them.",
    )


def test_a_server_that_fails_fails_the_export():
    with pytest.raises(ClusterError):
        every(Exports(Exporter(Scripted({"cronjobs": 500}), everywhere, Log())), namespace="demo")


def test_a_page_is_bounded_in_requests_and_ends_when_nobody_waits():
    cluster = Scripted()
    exports = Exports(Exporter(cluster, everywhere, Log()), allowed=tuple(f"n{i:02}" for i in range(20)))
    first = exports(pb.ExportRequest(), call())
    assert len(cluster.paths) == MAX_LISTS
    assert first.next_page_token
    cluster.paths.clear()
    exports(pb.ExportRequest(), call(over=True))
    assert len(cluster.paths) == 1
