"""Trouble while scanning stays where it is, is told there, and takes nobody else's time."""

import pytest
from test_registry_scanner import NEWEST, Agent, fill

from agent.model.images import Reference
from agent.registry import refresh, scanner
from agent.registry.client import RegistryClient
from agent.registry.records import Credential, RepositoryState, TagState
from agent.sandbox.registry import Reply, SandboxRegistry


@pytest.fixture
def registry():
    with SandboxRegistry() as server:
        yield server


@pytest.fixture
def agent(tmp_path, registry):
    agent = Agent(tmp_path, registry.host)
    yield agent
    agent.close()


def name_of(image):
    return Reference.parse(image).canonical_name


def test_a_fault_of_our_own_is_told_and_not_repeated_at_once(registry, agent, monkeypatch):
    agent.run(image := fill(registry))
    faults = []

    def fault(*_):
        faults.append(1)
        raise KeyError("secret-word")

    monkeypatch.setattr(RegistryClient, "tags", fault)
    agent.scan()
    error = agent.store.repository(name_of(image)).error
    assert "unexpected error: KeyError" in error and "secret-word" not in error
    agent.scan()
    assert len(faults) == 1
    monkeypatch.undo()
    agent.now[0] += refresh.RETRY_AFTER
    agent.scan()
    assert not agent.store.repository(name_of(image)).error


def test_a_host_that_goes_away_during_a_scan_is_left_alone(registry, agent):
    agent.run(image := fill(registry, tags=12), NEWEST)
    registry.fault = lambda asked: Reply(500) if asked.kind == "digest" else None
    agent.scan()
    assert registry.counts()["digest"] == scanner.GIVE_UP
    assert "answered with 500" in agent.store.repository(name_of(image)).error
    registry.fault = lambda _: None
    agent.now[0] += refresh.RETRY_AFTER
    agent.scan()
    assert not agent.store.repository(name_of(image)).error
    assert registry.counts()["digest"] == 12 + scanner.GIVE_UP
    assert agent.newest(image)[0] == "1.11" and None not in {each.created for each in every(agent, image)}


def every(agent, image):
    return agent.store.repository(name_of(image)).images.values()


def test_a_long_scan_lets_others_go_first(registry, agent, monkeypatch):
    monkeypatch.setattr(scanner, "LONGEST_SCAN", 0.0)
    monkeypatch.setattr(scanner, "WORKERS_OF_A_HOST", 1)
    agent.run(fill(registry, "acme/one"), NEWEST, "one")
    agent.run(fill(registry, "acme/two"), NEWEST, "two")
    agent.scan()
    order = [asked.path.split("/")[3] for asked in registry.asked if asked.kind == "digest"]
    assert order == ["one", "two"] * 5


def test_what_somebody_asked_for_is_looked_at_in_the_end_also_where_one_scan_is_too_short(registry, agent, monkeypatch):
    agent.run(image := fill(registry))
    agent.scan()
    monkeypatch.setattr(scanner, "LONGEST_SCAN", 0.0)
    wanted = agent.wanted()[name_of(image)]
    agent.scanner.ask([(wanted, frozenset(each.tag for each in every(agent, image)))])
    agent.scan()
    assert registry.counts() == {"tags": 1, "digest": 5, "manifest": 5, "blob": 5}
    assert all(each.created for each in every(agent, image))


def test_where_the_token_server_refuses_one_repository_the_others_still_cost_one_token_call(tmp_path):
    with SandboxRegistry(users={"ann": "p"}) as registry:
        agent = Agent(tmp_path, registry.host)
        agent.keyring.known = (Credential("Secret demo/ann", "ann", "p"),)
        for name in ("one", "two"):
            agent.run(fill(registry, f"acme/{name}"), name=name)
            agent.scan()
        registry.fault = lambda asked: Reply(401) if asked.kind == "token" and "hidden" in asked.path else None
        agent.run(hidden := fill(registry, "acme/hidden"), name="hidden")
        agent.scan()
        assert "gives no access" in agent.store.repository(name_of(hidden)).error
        registry.asked.clear()
        agent.run(fill(registry, "acme/three"), name="three")
        agent.scan()
        assert registry.counts() == {"token": 1, "tags": 1}
        agent.close()


def test_of_two_credentials_of_one_secret_the_one_that_fits_is_used(tmp_path):
    with SandboxRegistry(users={"ann": "p"}, tokens=False) as registry:
        agent = Agent(tmp_path, registry.host)
        agent.keyring.known = (Credential("Secret demo/both", "bob", "q"), Credential("Secret demo/both", "ann", "p"))
        agent.run(image := fill(registry), NEWEST)
        agent.scan()
        assert agent.newest(image)[0] == "1.4" and not any(each.error for each in every(agent, image))
        agent.close()


def test_where_no_credential_fits_the_others_are_tried_for_one_tag_only(tmp_path):
    with SandboxRegistry() as registry:
        agent = Agent(tmp_path, registry.host)
        agent.keyring.known = (Credential("Secret demo/one", "ann", "p"), Credential("Secret demo/two", "bob", "q"))
        registry.fault = lambda asked: Reply(403) if asked.kind == "digest" else None
        agent.run(image := fill(registry), NEWEST)
        agent.scan()
        assert registry.counts()["digest"] == 5 + 2
        assert all("with Secret demo/one" in each.error for each in every(agent, image))
        agent.close()


def test_a_registry_that_hides_what_one_may_not_see_is_asked_with_the_next_credential(tmp_path):
    with SandboxRegistry(users={"ann": "p", "bob": "q"}, tokens=False) as registry:
        hidden = "Basic Ym9iOnE="  # bob's
        registry.fault = lambda asked: Reply(404) if asked.headers.get("Authorization") == hidden else None
        agent = Agent(tmp_path, registry.host)
        agent.keyring.known = (Credential("Secret demo/bob", "bob", "q"), Credential("Secret demo/ann", "ann", "p"))
        agent.run(image := fill(registry))
        agent.scan()
        assert agent.store.repository(name_of(image)).credential == "Secret demo/ann"
        agent.close()


def test_a_slow_reader_never_hides_what_a_scan_has_brought(registry, agent):
    agent.run(image := fill(registry), {})
    agent.scan()
    view = agent.store._view(name_of(image))
    registry.push("acme/shop", "2.0")
    agent.now[0] += refresh.LIST_EVERY
    agent.scan()
    assert "2.0" not in [each.tag for each in view.ordered("version", by_label=False)]
    assert agent.newest(image, "version")[0] == "2.0"


def test_a_clock_that_was_ahead_holds_nothing_up(registry, agent):
    agent.run(image := fill(registry), NEWEST)
    year = 365 * 86_400.0
    agent.now[0] += year
    agent.scan()
    agent.restart()
    agent.now[0] -= year
    registry.push("acme/shop", "2.0", agent.now[0])
    agent.scan()
    agent.now[0] += refresh.LIST_EVERY
    agent.scan()
    assert agent.newest(image)[0] == "2.0"


def test_a_state_that_is_believed_as_it_is_stays_the_same():
    state = RepositoryState("r", {"a": TagState("d", 5.0, 60.0)}, 7.0)
    assert refresh.believed(state, 7.0) is state
    assert refresh.believed(state, 1.0) == RepositoryState("r", {"a": TagState("d", 1.0, 60.0)}, 1.0)
