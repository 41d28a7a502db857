"""ListImages and Explain over a store that is filled by hand."""

import threading

import pytest
from served_api import Reads

from agent.api.call import Call, Slots
from agent.api.errors import NotFoundError
from agent.api.images import NO_SCANNING, Images
from agent.model.access import ForbiddenError, Visible
from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.status import Feature, Mark, RepositoryStatus, Status
from agent.model.workloads import Container, Workload, WorkloadSnapshot
from agent.registry.demand import Selection
from agent.registry.library import Library
from agent.registry.limits import Limits
from agent.registry.records import Manifest, RepositoryState, TagState
from agent.registry.store import ImageStore
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

SHOP = WorkloadId("demo", "deployment", "shop")
OTHER = WorkloadId("apart", "deployment", "other")


class NoCache:
    def repository(self, name):
        return None

    def put_repository(self, state):
        pass

    def manifests(self, digests):
        return {}

    def put_manifest(self, manifest):
        pass

    def close(self):
        pass


class Scanner:
    """Remembers what it was asked; finds nothing out."""

    def __init__(self):
        self.asked, self.waited = [], []

    def ask(self, wishes):
        self.asked += [(demand.image.canonical_name, sorted(tags)) for demand, tags in wishes]

    def wait(self, names, patience, over):
        self.waited.append((sorted(names), patience > 0))


class Only:
    """Access to one namespace."""

    def __init__(self, *namespaces):
        self.namespaces = frozenset(namespaces)
        self.caller = None

    def visible(self, right, namespaces):
        return Visible(everything=False, namespaces=self.namespaces)

    def require(self, right, namespaces):
        if set(namespaces) - self.namespaces:
            raise ForbiddenError("no")


class Agent:
    def __init__(self, event):
        self.reads, self.scanner = Reads(), Scanner()
        self.store = ImageStore(NoCache(), lambda: 2e9)
        containers = (Container("web", "acme/shop:1.0"), Container("broken", "NOT"), Container("k8s", "k8s.gcr.io/p:1"))
        workloads = (Workload(OTHER, (Container("web", "acme/shop:1.1"),)), Workload(SHOP, containers))
        self.reads.snapshot = WorkloadSnapshot(workloads)
        policies = {SHOP: {"automated": "true", "tag.web": "semver:~1"}, OTHER: {}}
        self.reads.state = Status(repository=RepositoryStatus("ssh://git@h/a", ready=True), policies=policies)
        self.limits = Limits(10.0, 10, event)
        selection = Selection(exclude=("k8s.gcr.io/*",))
        self.library = Library(self.store, self.scanner, self.limits, selection, ())
        self.images = Images(self.reads, self.library, lambda: Feature(reason="off"))
        self.stop = event

    def fill(self, *tags, error=""):
        states = {tag: TagState(f"sha256:{tag}", 5.0, 60.0) for tag in tags}
        self.store.put(
            RepositoryState(
                "index.docker.io/acme/shop",
                states,
                7.0,
                failures=bool(error),
                error=error,
                credential="Secret apart/key",
            )
        )
        for number, tag in enumerate(tags):
            self.store.put_manifest("index.docker.io/acme/shop", Manifest(f"sha256:{tag}", created=1e9 + number))

    def call(self, access=None):
        more = {"access": access} if access else {}
        return Call(Slots(1), self.stop, lambda: True, lambda: None, lambda name: "", **more)

    def list(self, access=None, **fields):
        return self.images.list_images(pb.ListImagesRequest(**fields), self.call(access))

    def explain(self, access=None, **fields):
        return self.images.explain(pb.ExplainRequest(workload=str(SHOP), **fields), self.call(access))


@pytest.fixture
def agent():

    return Agent(threading.Event())


def test_containers_are_listed_with_what_is_known(agent):
    agent.fill("1.0", "1.1", "2.0")
    (shop,) = agent.list(workload=str(SHOP), limit=2).workloads
    web, broken, excluded = shop.containers
    assert [image.id for image in web.available] == ["acme/shop:2.0", "acme/shop:1.1"]
    assert (web.current.id, web.current_place, web.latest_filtered.id) == ("acme/shop:1.0", 3, "acme/shop:1.1")
    assert (web.available_count, web.new_available_count, web.filtered_count, web.new_filtered_count) == (3, 2, 2, 1)
    assert web.current.created_at.seconds == 1_000_000_000
    assert "no image reference" in broken.available_error
    assert excluded.available_error == "excluded by --registry-exclude-image"


def test_what_is_not_known_is_asked_for_and_waited_for_only_where_one_says_so(agent):
    agent.list()
    assert agent.scanner.asked == [("index.docker.io/acme/shop", [])] * 2
    assert not any(waited for _, waited in agent.scanner.waited)
    agent.list(workload=str(SHOP), wait={"seconds": 3})
    assert any(waited for _, waited in agent.scanner.waited)


def test_only_what_is_shown_is_looked_at(agent):
    agent.store.put(RepositoryState("index.docker.io/acme/shop", {f"1.{n}": TagState() for n in range(30)}, 7.0))
    agent.list(workload=str(SHOP), limit=2)
    assert agent.scanner.asked == [("index.docker.io/acme/shop", ["1.0", "1.28", "1.29"])]


def test_namespaces_that_may_not_be_seen_are_left_out(agent):
    agent.fill("1.0")
    answer = agent.list(Only("demo"))
    assert [each.id for each in answer.workloads] == [str(SHOP)] and answer.restricted
    with pytest.raises(ForbiddenError):
        agent.list(Only("demo"), namespace="apart")
    with pytest.raises(ForbiddenError):
        agent.explain(Only("apart"))


def test_secrets_of_other_namespaces_are_not_named(agent):
    agent.fill("1.0", error="quay.io/a may not be read with Secret apart/key (hm)")
    assert agent.explain(container="web").containers[0].scan.credential == "Secret apart/key"
    scan = agent.explain(Only("demo"), container="web").containers[0].scan
    assert scan.credential == "a Secret of another namespace"
    assert scan.error == "quay.io/a may not be read with a Secret of another namespace (hm)"
    tags = {"1.0": TagState(error="may not be read with Secret apart/key", checked_at=5.0)}
    agent.store.put(RepositoryState("index.docker.io/acme/shop", tags, 7.0, error="with Secret apart/key"))
    for answer in (agent.list(Only("demo")), agent.list(Only("demo"), workload=str(SHOP)), agent.explain(Only("demo"))):
        assert "a Secret of another namespace" in str(answer) and "apart" not in str(answer)


def test_an_explanation_tells_all(agent):
    agent.fill("1.0", "1.1", "2.0")
    told = agent.explain(container="web", image="acme/shop:2.0")
    (web,) = told.containers
    assert (web.update, web.picked.id, web.pattern, web.order) == (True, "acme/shop:1.1", "semver:~1", "version")
    assert [each.tag for each in web.rejected] == ["2.0"]
    assert "does not fit semver:~1" in web.asked.reason
    assert (web.scan.tags, web.scan.known, web.scan.rate) == (3, 3, 10.0)
    assert told.automation.reason == "off" and told.policies["automated"] == "true"


@pytest.mark.parametrize(
    ("filter_", "marked", "in_the_way"),
    [
        ("semver:~1", "1.2", True),
        ("semver:<1.2", "1.2", True),  # what the filter picks now is older than what was taken back
        ("semver:~1", "1.1", False),
        ("semver:1.0", "1.2", False),
        ("glob:*", "1.2", True),
    ],
)
def test_a_mark_is_told_where_it_keeps_automation_from_an_update(agent, filter_, marked, in_the_way):
    agent.fill("1.0", "1.1", "1.2")
    mark = Mark(f"acme/shop:{marked}", "0123456")
    policies = {SHOP: {"automated": "true", "tag.web": filter_}}
    agent.reads.state = Status(policies=policies, marks={(SHOP, "web"): mark})
    (web,) = agent.explain(container="web").containers
    assert (web.taken_back, web.taken_back_by) == ((mark.image, mark.commit) if in_the_way else ("", ""))


def test_a_filter_that_cannot_be_read_holds_only_its_own_container(agent):
    agent.fill("1.0", "1.1")
    agent.reads.state = Status(policies={SHOP: {"automated": "true", "tag.web": "semver:nonsense"}})
    web = agent.explain(container="web").containers[0]
    assert not web.update and "invalid tag pattern" in web.pattern_error and "cannot be used" in web.reason


def test_what_does_not_exist_is_told(agent):
    with pytest.raises(NotFoundError, match="no container nope"):
        agent.explain(container="nope")
    with pytest.raises(NotFoundError, match="no workload"):
        agent.images.explain(pb.ExplainRequest(workload="demo:deployment/x"), agent.call())
    with pytest.raises(UsageError, match="limit is -1"):
        agent.list(limit=-1)
    assert not agent.list(workload="demo:deployment/x").workloads


def test_without_scanning_that_is_told(agent):
    images = Images(agent.reads, None, Feature)
    (shop,) = images.list_images(pb.ListImagesRequest(workload=str(SHOP)), agent.call()).workloads
    assert shop.containers[0].available_error == NO_SCANNING
    assert images.explain(pb.ExplainRequest(workload=str(SHOP)), agent.call()).containers[0].reason == NO_SCANNING
