"""`Diff` over the sandbox cluster: pages, rights, what it costs, and that it writes nothing."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from served_api import Reads

from agent.api import diff as diff_module
from agent.api.call import Call, Slots
from agent.api.diff import Diffs, Sources
from agent.api.errors import NotFoundError
from agent.api.visibility import ELSEWHERE
from agent.cluster.client import ApiClient, Request
from agent.cluster.connection import Connection
from agent.git.blame import blamed
from agent.git.objects import Commit
from agent.manifests.load import parse
from agent.model.access import GET_MANIFESTS, Caller, ForbiddenError, Visible
from agent.model.errors import ClusterError, NotReadyError, StoppedError, UsageError
from agent.model.ids import WorkloadId
from agent.model.resources import Loaded
from agent.model.status import RepositoryStatus, Status
from agent.model.workloads import Container, Workload, WorkloadSnapshot
from agent.sandbox.cluster import SandboxCluster
from agent.settings import ClusterSettings, SyncSettings
from agent.sync.desired import Scope
from agent.sync.dryrun import Action, difference
from agent.sync.engine import SyncEngine, SyncRequest
from agent.sync.marks import marker
from agent.sync.preview import Preview
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

MARKER = marker("flux", "default")
SETTINGS = SyncSettings(garbage_collection=True, deletion_limit="none")
READY = Status(repository=RepositoryStatus("ssh://git@h/a", "master", ready=True), revision_seen="new")


class Counting(ApiClient):
    """Notes every request."""

    def __init__(self, *args):
        super().__init__(*args)
        self.sent = []
        self.forbidden = ()

    def send(self, request):
        self.sent.append((request.method, request.path))
        if request.method in self.forbidden:
            raise ClusterError("not allowed", status=403)
        return super().send(request)


class Some:
    """A caller who may see these namespaces."""

    caller = Caller("ann")

    def __init__(self, *namespaces):
        self.namespaces, self.asked = frozenset(namespaces), []

    def visible(self, right, namespaces):
        self.asked.append((right, frozenset(namespaces)))
        if not self.namespaces:
            raise ForbiddenError("ann may see nothing")
        return Visible(everything=False, namespaces=self.namespaces)


class World:
    """A cluster, revisions of a repository, and the diffs between them."""

    def __init__(self, client):
        self.client, self.texts, self.reads = client, {}, Reads(READY)
        preview = Preview(client, MARKER, Scope(), SETTINGS)
        known = {"branch": "new"}
        blame = partial(blamed, self)
        sources = Sources(self.reads, lambda ref: known.get(ref, ""), self.load, preview, client, blame)
        self.diffs = Diffs(sources)
        self.stop = threading.Event()
        self.slots = Slots(1)

    def blame(self, revision, path, line, last):
        return Commit("c" * 40, f"{revision} {path}:{line}")

    def load(self, revision):
        parsed = parse(self.texts[revision].encode())
        return Loaded(parsed.manifests, parsed.problems)

    def sync(self, text):
        engine = SyncEngine(self.client, MARKER, Scope(), SETTINGS, threading.Event())
        self.texts["synced"] = text
        report = engine.sync(SyncRequest("synced", self.load("synced")))
        engine.close()
        assert (report.error, report.failures) == ("", ())
        self.client.sent.clear()

    def ask(self, text=None, access=None, over=False, **request):
        if text is not None:
            self.texts["new"] = text
        more = {"access": access} if access else {}
        call = Call(self.slots, self.stop, lambda: not over, lambda: None, lambda _: "", **more)
        return self.diffs(pb.DiffRequest(**request), call)

    def every(self, text, **request):
        """All pages."""
        pages = [self.ask(text, **request)]
        while pages[-1].next_page_token:
            pages.append(self.ask(page_token=pages[-1].next_page_token, **request))
            assert len(pages) < 20
        return pages


@pytest.fixture
def world(tmp_path):
    with SandboxCluster(ready_after=0.0) as cluster, contextlib.ExitStack() as stack:
        connection = Connection(ClusterSettings(kubeconfig=str(cluster.kubeconfig(tmp_path / "config"))))
        stack.callback(connection.close)
        client = Counting(connection, threading.Event())
        made = World(client)
        made.sync("".join(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {n}}}\n---\n" for n in ("a", "b")))
        made.keep = made.texts["synced"]
        yield made


def maps(*places, x="1"):
    return "".join(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {space}}}\ndata: {{x: '{x}'}}\n---\n"
        for space, name in (place.split("/") for place in places)
    )


def told(page):
    return [f"{pb.DiffAction.Name(found.action)[12:].lower()} {found.object}" for found in page.objects]


def test_what_is_as_git_says_costs_no_request_of_its_own_and_the_rest_two(world):
    many = [f"a/m{number}" for number in range(30)]
    world.sync(world.keep + maps(*many))
    page = world.ask(world.keep + maps(*many[1:]) + maps(many[0], x="2"))
    assert told(page) == ["update a:configmap/m0"]
    assert (page.revision, page.next_page_token, page.restricted) == ("new", "", False)
    own = [(method, path.partition("?")[0]) for method, path in world.client.sent if "/configmaps/" in path]
    assert own == [("GET", "/api/v1/namespaces/a/configmaps/m0"), ("PATCH", "/api/v1/namespaces/a/configmaps/m0")]
    assert all("dryRun=All" in path for method, path in world.client.sent if method != "GET")


def test_pages_hold_everything_once_and_failures_stand_on_the_first(world):
    world.sync(world.keep + maps("a/gone", "a/kept"))
    wanted = maps("a/kept", "a/n1", "b/n2", "nowhere/n3") + "---\nkind: Broken\n"
    pages = world.every(world.keep + wanted, page_size=2)
    assert [told(page) for page in pages] == [
        ["create a:configmap/n1", "create b:configmap/n2"],
        ["hold a:configmap/gone"],
    ]
    assert [[failure.object for failure in page.failures] for page in pages] == [[""], ["nowhere:configmap/n3"]]
    assert [page.failures[0].author for page in pages] == ["new :30", "new :24"]
    assert pages[1].objects[0].reason.startswith("waits until all of the revision loads: ")
    assert pages[1].objects[0].live == pages[1].objects[0].planned != ""


def test_a_page_ends_early_where_it_grows_too_long(world, monkeypatch):
    monkeypatch.setattr(diff_module, "MAX_BYTES", 100)
    monkeypatch.setattr(diff_module, "_BATCH", 2)
    pages = world.every(world.keep + maps("a/n1", "a/n2", "a/n3"))
    assert [len(page.objects) for page in pages] == [2, 1]


def test_only_what_the_caller_may_see_is_shown_and_looked_at(world):
    world.sync(world.keep + maps("a/x", "b/x"))
    ann = Some("a")
    text = world.keep + maps("a/x", "b/x", x="2") + maps("none/z") + "---\nkind: Broken\n"
    page = world.ask(text, access=ann)
    assert (told(page), page.restricted) == (["update a:configmap/x"], True)
    assert [failure.reason for failure in page.failures] == ["is a Broken without apiVersion"]
    assert not [path for _, path in world.client.sent if "/namespaces/b/configmaps/" in path]
    assert ann.asked == [(GET_MANIFESTS, {"a", "b", "none", "default"}), (GET_MANIFESTS, {"a", "b", "none"})]
    world.client.sent.clear()
    with pytest.raises(ForbiddenError):
        world.ask(text, access=Some())
    assert world.client.sent == []


def test_who_may_see_a_namespace_that_git_does_not_name_is_told_that_nothing_differs_there(world):
    shop = Workload(WorkloadId("shop", "deployment", "web"), (Container("web", "acme/web:1"),))
    world.reads.snapshot = WorkloadSnapshot((shop,))
    bob = Some("shop")
    page = world.ask(world.keep + maps("a/x"), access=bob)
    assert (told(page), page.restricted) == ([], True)
    assert all("shop" in namespaces for _, namespaces in bob.asked)


def test_why_a_deletion_is_held_names_nothing_of_others(world):
    world.sync(world.keep + maps("a/old", "b/x"))
    page = world.ask(world.keep + maps("b/x", "b/x"), access=Some("a"))
    assert [found.object for found in page.objects] == ["a:configmap/old"]
    assert page.objects[0].reason == f"waits until all of the revision loads: {ELSEWHERE}"
    assert "waits until all of the revision loads: " in world.ask(page_size=9).objects[0].reason


def test_a_token_of_a_forgotten_plan_says_to_start_again(world, monkeypatch):
    token = world.ask(world.keep + maps("a/n1", "a/n2"), page_size=1).next_page_token
    assert told(world.ask(page_token=token)) == ["create a:configmap/n2"]
    monkeypatch.setattr(diff_module, "MAX_KEPT", 1)
    world.ask(page_size=1)
    with pytest.raises(NotFoundError, match="start again"):
        world.ask(page_token=token)


def test_a_plan_is_forgotten_after_a_while(world, monkeypatch):
    monkeypatch.setattr(diff_module, "KEPT_FOR", -1.0)
    token = world.ask(world.keep + maps("a/n1", "a/n2"), page_size=1).next_page_token
    with pytest.raises(NotFoundError, match="start again"):
        world.ask(page_token=token)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"page_size": -1}, UsageError),
        ({"page_token": "x"}, UsageError),
        ({"page_token": "x.-1"}, UsageError),
        ({"page_token": "x.1"}, NotFoundError),
        ({"ref": "other"}, NotFoundError),
    ],
)
def test_a_request_without_sense_is_refused(world, request_, error):
    with pytest.raises(error):
        world.ask(world.keep, **request_)


def test_a_ref_is_resolved(world):
    assert world.ask(world.keep, ref="branch").revision == "new"


def test_a_repository_that_is_not_ready_says_why(world):
    world.reads.state = replace(READY, repository=RepositoryStatus(error="the repository is empty"))
    with pytest.raises(NotReadyError, match="the repository is empty"):
        world.ask(world.keep)


def test_nobody_is_answered_who_does_not_wait_and_the_slot_is_free_again(world):
    for _ in range(2):
        with pytest.raises(StoppedError, match="nobody waits"):
            world.ask(world.keep + maps("a/n1"), over=True)
    world.stop.set()
    with pytest.raises(StoppedError, match="shutting down"):
        world.ask(world.keep + maps("a/n1"))


def test_a_cluster_that_cannot_be_listed_is_an_error_and_no_empty_diff(world):
    def send(request):
        if "labelSelector" in request.path:
            raise ClusterError("etcd is away", status=500)
        return ApiClient.send(world.client, request)

    world.client.send = send
    with pytest.raises(ClusterError, match="could not be listed: etcd is away"):
        world.ask(world.keep)


def test_a_version_that_is_coming_is_shown_beside_the_object_as_it_is(world):
    def definition(*versions):
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        served = [{"name": v, "served": True, "storage": v == "v1", "schema": schema} for v in versions]
        names = {"plural": "shops", "singular": "shop", "kind": "Shop"}
        spec = {"group": "x.io", "names": names, "scope": "Namespaced", "versions": served}
        kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        return f"---\n{json.dumps({**kind, 'metadata': {'name': 'shops.x.io'}, 'spec': spec})}\n"

    def shop(version, name, size):
        return f"---\napiVersion: x.io/{version}\nkind: Shop\nmetadata: {{name: {name}, namespace: a}}\nsize: {size}\n"

    world.sync(world.keep + definition("v1") + shop("v1", "old", 1))
    page = world.ask(world.keep + definition("v1", "v2") + shop("v2", "old", 2) + shop("v2", "new", 1))
    assert told(page) == [
        "update <cluster>:customresourcedefinition/shops.x.io",
        "create a:shop/new",
        "update a:shop/old",
    ]
    assert "apiVersion: x.io/v1\n" in page.objects[2].live and "apiVersion: x.io/v2\n" in page.objects[2].planned


def test_without_the_right_to_replace_an_adopted_object_is_shown_as_applied(world):
    byhand = {"metadata": {"name": "x"}, "data": {"x": "1", "more": "2"}}
    path = "/api/v1/namespaces/a/configmaps?fieldManager=kubectl-create"
    world.client.send(Request("POST", path, json.dumps(byhand).encode()))
    planned = world.ask(world.keep + maps("a/x", x="3")).objects[0].planned
    assert "more:" not in planned
    world.client.forbidden = ("PUT",)
    assert "more:" in world.ask(world.keep + maps("a/x", x="3")).objects[0].planned


def test_an_object_that_is_gone_or_another_by_now_is_no_deletion(world):
    world.sync(world.keep + maps("a/x"))
    world.texts["less"] = world.keep
    with ThreadPoolExecutor(1) as pool:
        outlook = Preview(world.client, MARKER, Scope(), SETTINGS).outlook(world.load("less"), pool)
    (change,) = outlook.changes
    assert difference(world.client, change, frozenset()).action is Action.DELETE
    other = replace(change, live=replace(change.live, uid="another"))
    gone = replace(change, path=change.path.replace("/x", "/y"))
    assert [difference(world.client, item, frozenset()) for item in (other, gone)] == [None, None]


def test_an_object_that_fails_where_its_definition_changes_too_says_that_a_sync_may_accept_it(world):
    def send(request):
        if request.method == "PATCH" and "shops" in request.path.partition("?")[0].split("/")[-2]:
            raise ClusterError(".spec.new: field not declared in schema", status=400)
        return ApiClient.send(world.client, request)

    def definition(kind, **more):
        names = {"plural": f"{kind.lower()}s", "singular": kind.lower(), "kind": kind}
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        spec = {"group": "x.io", "names": names | more, "scope": "Namespaced", "versions": [version]}
        metadata = {"name": f"{kind.lower()}s.x.io"}
        head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata}
        return f"---\n{json.dumps(head | {'spec': spec})}\n"

    shop = "---\napiVersion: x.io/v1\nkind: Shop\nmetadata: {name: one, namespace: a}\nspec: {new: 1}\n"
    world.sync(world.keep + definition("Shop"))
    world.client.send = send
    plain = world.ask(world.keep + definition("Shop") + shop)
    changed = world.ask(world.keep + definition("Shop", shortNames=["sh"]) + shop)
    reasons = [failure.reason for page in (plain, changed) for failure in page.failures]
    assert [("a sync may accept" in reason) for reason in reasons] == [False, True]
