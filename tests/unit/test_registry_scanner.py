"""The scanner against registries over real HTTP: what it costs, and that trouble stays where it is."""

import threading
import time

import pytest

from agent.model.errors import StoppedError
from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.workloads import Container, Workload
from agent.registry import refresh
from agent.registry.cache import DiskCache
from agent.registry.client import RegistryClient
from agent.registry.demand import Selection, demands
from agent.registry.library import Library
from agent.registry.limits import Limits
from agent.registry.manifests import Platform
from agent.registry.records import Credential, PullScope, RepositoryState, TagState
from agent.registry.scanner import Parts, Scanner
from agent.registry.store import ImageStore
from agent.registry.transport import Transport
from agent.sandbox.registry import Reply, SandboxRegistry

NEWEST = {"automated": "true"}
BY_VERSION = {"automated": "true", "tag.web": "semver:~1"}


class Keyring:
    def __init__(self):
        self.known = ()

    def credentials(self, image, scopes):
        return self.known


class Agent:
    """A scanner and what it works with, its clock ours to turn."""

    def __init__(self, folder, *hosts, rate=1000.0):
        self.now, self.folder, self.hosts, self.rate = [1_700_000_000.0], folder, hosts, rate
        self.warnings, self.images, self.policies, self.keyring = [], {}, {}, Keyring()
        self.selection = Selection()
        self.start()

    def start(self):
        self.stop = threading.Event()
        self.limits = Limits(self.rate, 1000, self.stop)
        self.transport = Transport(self.limits, frozenset(self.hosts))
        self.cache = DiskCache(self.folder / "images.db", self.warnings.append)
        self.store = ImageStore(self.cache, lambda: self.now[0])
        client = RegistryClient(self.transport, Platform)
        parts = Parts(client, self.keyring, self.store, self.limits, self.stop, clock=lambda: self.now[0])
        self.scanner = Scanner(parts, self.wanted)
        self.thread = None

    def wanted(self):
        workloads = [
            Workload(WorkloadId("demo", "deployment", name), (Container("web", image),))
            for name, image in self.images.items()
        ]
        policies = {WorkloadId("demo", "deployment", name): kept for name, kept in self.policies.items()}
        return demands(workloads, policies, self.selection)

    def run(self, image, policies=None, name="app"):
        """Let a workload run this image."""
        self.images[name], self.policies[name] = image, policies or {}

    def scan(self):
        """Scan what is due now, and nothing else."""
        found = self.wanted()
        self.scanner._start_due(found)
        deadline = time.monotonic() + 20
        while self.scanner._busy or self.due(found):
            assert time.monotonic() < deadline, "the scan does not end"
            with self.scanner._condition:
                self.scanner._condition.wait(0.02)
            self.scanner._start_due(found)

    def due(self, found):
        return any(
            self.scanner._due_at(name, demand) <= self.now[0]
            for name, demand in found.items()
            if not self.limits.of(demand.image.host).state().paused_for
        )

    def close(self):
        self.stop.set()
        self.scanner.wake()
        self.scanner._pool.shutdown()
        self.transport.close()
        self.cache.close()

    def restart(self):
        self.close()
        self.start()

    def newest(self, image, order="build time"):
        return [each.tag for each in self.store.ordered(Reference.parse(image).canonical_name, order, by_label=False)]


@pytest.fixture
def registry():
    with SandboxRegistry() as server:
        yield server


@pytest.fixture
def agent(tmp_path, registry):
    agent = Agent(tmp_path, registry.host)
    yield agent
    agent.close()


def fill(registry, repository="acme/shop", tags=5):
    for number in range(tags):
        registry.push(repository, f"1.{number}", 1_600_000_000 + number)
    return f"{registry.host}/{repository}:1.0"


def test_versions_cost_one_request_for_each_repository(registry, agent):
    for number in range(20):
        agent.run(fill(registry, f"acme/app{number}", 20), BY_VERSION, f"app{number}")
    agent.scan()
    assert registry.counts() == {"tags": 20}
    assert agent.newest(f"{registry.host}/acme/app3", "version")[:2] == ["1.19", "1.18"]


def test_build_times_cost_a_digest_only_once_for_ever(registry, agent):
    agent.run(image := fill(registry), NEWEST)
    agent.scan()
    assert registry.counts() == {"tags": 1, "digest": 5, "manifest": 5, "blob": 5}
    assert agent.newest(image) == ["1.4", "1.3", "1.2", "1.1", "1.0"]
    registry.asked.clear()
    agent.scan()
    assert registry.counts() == {}
    agent.now[0] += refresh.LIST_EVERY
    agent.scan()
    assert registry.counts() == {"tags": 1}
    registry.asked.clear()
    agent.now[0] += refresh.FIRST_REFRESH
    agent.scan()
    assert registry.counts() == {"tags": 1, "digest": 5}


def test_a_restart_costs_nothing(registry, agent):
    agent.run(image := fill(registry), NEWEST)
    agent.scan()
    registry.asked.clear()
    agent.restart()
    agent.scan()
    assert registry.counts() == {}
    assert agent.newest(image)[0] == "1.4"


def test_only_tags_that_a_filter_lets_through_are_looked_at(registry, agent):
    agent.run(fill(registry), {"automated": "true", "tag.web": "glob:1.[3*"})
    agent.run(fill(registry, "acme/other"), {"automated": "true", "tag.web": "regexp:[34]$"}, "other")
    agent.scan()
    assert registry.counts() == {"tags": 2, "digest": 2, "manifest": 2, "blob": 2}


def test_a_container_held_by_a_digest_costs_a_look_at_the_newest_version(registry, agent):
    image = fill(registry)
    digest = "sha256:" + "0" * 64
    agent.run(f"{image}@{digest}", BY_VERSION)
    agent.scan()
    assert registry.counts() == {"tags": 1, "digest": 1, "manifest": 1, "blob": 1}
    assert registry.asked[1].path.endswith("/1.4")


def test_a_moved_tag_is_seen_when_it_is_due_and_a_new_one_at_once(registry, agent):
    agent.run(image := fill(registry), NEWEST)
    agent.scan()
    registry.push("acme/shop", "1.0", 1_650_000_000)
    registry.push("acme/shop", "2.0", 1_660_000_000)
    agent.now[0] += refresh.LIST_EVERY
    agent.scan()
    assert agent.newest(image)[:2] == ["2.0", "1.4"]
    agent.now[0] += refresh.FIRST_REFRESH
    agent.scan()
    assert agent.newest(image)[:2] == ["2.0", "1.0"]


def test_what_somebody_asks_for_is_looked_at_at_once(registry, agent):
    agent.run(image := fill(registry))
    agent.scan()
    assert registry.counts() == {"tags": 1}
    agent.thread = threading.Thread(target=agent.scanner.run)
    agent.thread.start()
    (demand,) = agent.wanted().values()
    agent.scanner.ask([(demand, frozenset({"1.3", "1.4", "gone"}))])
    agent.scanner.wait([demand.image.canonical_name], 20.0, lambda: False)
    agent.stop.set()
    agent.scanner.wake()
    agent.thread.join()
    assert registry.counts() == {"tags": 1, "digest": 2, "manifest": 2, "blob": 2}
    assert agent.newest(image)[:2] == ["1.4", "1.3"]


def test_a_repository_is_listed_again_when_somebody_says_that_it_changed(registry, agent):
    agent.run(image := fill(registry), BY_VERSION)
    agent.scan()
    registry.push("acme/shop", "1.9")
    library = Library(agent.store, agent.scanner, agent.limits, agent.selection, ())
    for name in ("NOT an image", "acme/unknown", image):
        library.rescan(name)
    agent.scan()
    assert registry.counts() == {"tags": 2}
    assert agent.newest(image, "version")[0] == "1.9"


def test_a_tag_that_moved_is_seen_when_somebody_says_so_where_few_tags_count(registry, agent, monkeypatch):
    agent.run(image := fill(registry), {"automated": "true", "tag.web": "regexp:^1.[34]$"})
    agent.scan()
    registry.asked.clear()
    library = Library(agent.store, agent.scanner, agent.limits, agent.selection, ())
    library.rescan(image)
    agent.scan()
    assert registry.counts() == {"tags": 1, "digest": 2}
    monkeypatch.setattr("agent.registry.scanner.MOST_AGAIN", 1)
    library.rescan(image)
    agent.scan()
    assert registry.counts() == {"tags": 2, "digest": 2}


def test_a_credential_that_fits_is_found_and_kept_by_name(tmp_path):
    with SandboxRegistry(users={"ann": "p"}) as registry:
        agent = Agent(tmp_path, registry.host)
        wrong, right = Credential("Secret demo/wrong", "bob", "q"), Credential("Secret demo/right", "ann", "p")
        agent.keyring.known = (wrong, right)
        agent.run(image := fill(registry), NEWEST)
        agent.scan()
        name = Reference.parse(image).canonical_name
        assert agent.store.repository(name).credential == "Secret demo/right"
        assert agent.newest(image)[0] == "1.4"
        agent.keyring.known = (wrong,)
        agent.now[0] += refresh.LIST_EVERY
        agent.scan()
        repository = agent.store.repository(name)
        assert "Secret demo/wrong" in repository.error
        assert len(repository.images) == 5  # what was known stays
        agent.keyring.known = (Credential("Secret demo/right", "ann", "p"),)
        agent.now[0] += refresh.RETRY_AFTER
        agent.scan()
        assert not agent.store.repository(name).error
        agent.close()


def test_one_registry_that_fails_stops_no_other(tmp_path):
    with SandboxRegistry() as good, SandboxRegistry() as bad:
        bad.fault = lambda _: Reply(500)
        agent = Agent(tmp_path, good.host, bad.host)
        for number in range(10):
            agent.run(fill(bad, f"acme/bad{number}"), NEWEST, f"bad{number}")
        agent.run(image := fill(good), NEWEST)
        agent.scan()
        assert agent.newest(image)[0] == "1.4"
        name = Reference.parse(f"{bad.host}/acme/bad3").canonical_name
        assert "answered with 500" in agent.store.repository(name).error
        asked = bad.counts()["tags"]
        agent.scan()
        assert bad.counts()["tags"] == asked  # not before its time
        agent.now[0] += refresh.RETRY_AFTER
        agent.scan()
        assert bad.counts()["tags"] == asked + 10
        agent.close()


def test_a_host_that_asks_for_a_pause_gets_it_and_the_rest_stays_due(registry, agent):
    agent.run(image := fill(registry), NEWEST)
    asked = []

    def fault(request):
        asked.append(request)
        return Reply(429, b"", {"Retry-After": "3000"}) if request.kind == "digest" and len(asked) > 6 else None

    registry.fault = fault
    agent.scan()
    assert registry.counts()["digest"] == 3
    state = agent.store.state(Reference.parse(image).canonical_name)
    assert sum(bool(tag.digest) for tag in state.tags.values()) == 2
    assert agent.limits.of(registry.host).state().paused_for > 2000


def test_a_tag_deleted_between_list_and_look_is_told_and_stops_nothing(registry, agent):
    agent.run(image := fill(registry), NEWEST)
    registry.fault = lambda asked: Reply(404) if asked.path.endswith("/1.4") else None
    agent.scan()
    repository = agent.store.repository(Reference.parse(image).canonical_name)
    assert agent.newest(image) == ["1.3", "1.2", "1.1", "1.0", "1.4"]
    assert "there is no" in repository.images["1.4"].error


def test_a_build_time_in_the_future_does_not_count(registry, agent):
    image = fill(registry)
    registry.push("acme/shop", "future", agent.now[0] + 10 * 86_400)
    agent.run(image, NEWEST)
    agent.scan()
    assert agent.newest(image)[-1] == "future"
    assert "future" in agent.store.repository(Reference.parse(image).canonical_name).images["future"].error


def test_excluded_images_are_never_asked_for(registry, agent):
    agent.run(fill(registry), NEWEST)
    agent.selection = Selection(exclude=(f"{registry.host}/acme/*",))
    agent.scan()
    agent.selection = Selection(include=("quay.io/*",))
    agent.scan()
    assert not registry.asked


def test_workloads_that_share_an_image_share_its_scan():
    shop = (Container("web", "acme/shop:1"), Container("broken", "NOT an image"))
    workloads = [
        Workload(WorkloadId("a", "deployment", "x"), shop, pull_secrets=("s",)),
        Workload(WorkloadId("b", "deployment", "y"), (Container("web", "docker.io/acme/shop:2"),)),
    ]
    policies = {workloads[1].id: {"automated": "true", "tag.web": "semver:not a range"}, workloads[0].id: NEWEST}
    (demand,) = demands(workloads, policies, Selection()).values()
    assert demand.scopes == (PullScope("a", ("s",)), PullScope("b"))
    assert [str(pattern) for pattern in demand.patterns] == ["glob:*"]


def test_refreshes_come_later_while_nothing_moves_and_sooner_when_it_does():
    state = TagState()
    seen = []
    for digest in ["a"] * 12:
        state = refresh.looked_at(state, digest, 0.0)
        seen.append(state.refresh)
    assert seen[:3] == [3600, 7200, 14400] and seen[-1] == refresh.MAX_REFRESH
    for digest in "bcdefghijklmnop":
        state = refresh.looked_at(state, digest, 0.0)
    assert state.refresh == refresh.MIN_REFRESH


def test_what_was_never_looked_at_comes_first():
    tags = {
        "old": TagState("d", 10.0, 5.0),
        "older": TagState("d", 1.0, 5.0),
        "new": TagState(),
        "fresh": TagState("d", 99, 5),
    }
    assert refresh.due_tags(RepositoryState("r", tags), tags, 100.0) == ("new", "older", "old")


def test_a_scan_ends_when_the_agent_stops(registry, agent):
    agent.run(fill(registry), NEWEST)

    def stop(_):
        agent.stop.set()
        raise StoppedError("the agent is shutting down")

    agent.keyring.credentials = lambda *_: stop(None)
    agent.scanner._start_due(agent.wanted())
    agent.scanner._pool.shutdown()
    assert not agent.scanner._busy
