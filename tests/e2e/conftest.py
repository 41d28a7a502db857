"""Namespaces and agents for the tests on the real control plane: each test module has its own."""

from __future__ import annotations

import functools
import itertools
import secrets

import pytest
from config_repository import ConfigRepository
from controlplane.deployed import DeployedAgent
from controlplane.plane import HOST, PlaneError, tail
from quiet import USUAL
from releasing import Images

from agent.sandbox.registry import SandboxRegistry

_agents = pytest.StashKey[list[DeployedAgent]]()


def pytest_configure(config):
    """Keeps the agents of this run, so that a failed test can show what they said."""
    config.stash[_agents] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds the logs of the agents that are deployed to the report of a failed test."""
    report = yield
    if report.failed:
        for agent in item.config.stash[_agents]:
            if agent.log.exists():
                report.sections.append((f"log of flux-agent in {agent.namespace}", tail(agent.log, 100)))
    return report


@pytest.fixture(scope="module")
def prefix(request):
    """The start of every namespace's name in this module, unlike any other's."""
    module = request.module.__name__.removeprefix("test_").replace("_", "-")
    return f"{module[:30]}-{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def new_namespace(plane, prefix):
    """A function that makes a namespace of this module and returns its name; all are deleted with the module."""
    names = []

    def make(suffix: str = "") -> str:
        name = f"{prefix}-{suffix or len(names)}"
        plane.kubectl("create", "namespace", name)
        names.append(name)
        return name

    yield make
    if names:
        plane.kubectl("delete", "namespace", "--wait=false", *names)


@pytest.fixture
def namespace(new_namespace):
    """A namespace for this test alone."""
    return new_namespace()


@pytest.fixture(scope="module")
def start_agent(plane, prefix, request, tmp_path_factory):
    """A function that deploys and starts an agent with the given flags; each is asked to end well with the module.

    `start_agent("--git-url=…", "--auth=none", env={…}) -> DeployedAgent`
    """
    deployed = request.config.stash[_agents]
    numbers = itertools.count()
    own = []

    def start(*flags: str, env=None) -> DeployedAgent:
        agent = DeployedAgent(plane, tmp_path_factory.mktemp("agent"), f"{prefix}-flux{next(numbers)}")
        own.append(agent)
        deployed.append(agent)
        return agent.start(*flags, env=env)

    yield start
    errors = []
    for agent in own:
        try:
            agent.remove()
        except Exception as error:  # noqa: BLE001  # every agent is removed before the first fault is told
            errors.append(error)
    deployed[:] = [agent for agent in deployed if agent not in own]
    if errors:
        raise ExceptionGroup("Agents did not end well.", errors)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = ConfigRepository(tmp_path_factory.mktemp("git"))
    repository.commit("first")
    return repository


@pytest.fixture(scope="module")
def agent(start_agent, repository):
    """The usual agent of a module that has no other."""
    return start_agent(f"--git-url={repository.url}", *USUAL)


@pytest.fixture
def sync(agent, repository):
    """A function that lets git hold just these files and syncs: what the plugin said. `fails` says how it must end."""

    def write(files, *, fails=False):
        repository.replace(files)
        done = agent.kubectl_flux("sync", check=False)
        assert done.returncode == int(fails), done.stderr
        return done.stderr

    return write


@pytest.fixture
def put(agent, repository):
    """A function that lets git hold just these files, on top of what the agent has committed, and syncs."""

    def write(files):
        repository.pull()
        repository.replace(files)
        agent.kubectl_flux("sync")

    return write


@pytest.fixture(scope="module")
def registry(plane):
    """A registry inside the plane that lets everybody in."""
    with SandboxRegistry(listener=plane.door.listen(HOST)) as registry:
        yield registry


@pytest.fixture
def images(registry, namespace):
    """The images of this test alone."""
    return Images(registry, namespace)


@pytest.fixture(scope="module")
def read_in(plane):
    """A function that reads an object of a namespace, such as `configmaps/a`; None where it is not there."""

    def get(namespace, name, api="/api/v1"):
        try:
            return plane.api("GET", f"{api}/namespaces/{namespace}/{name}")
        except PlaneError as error:
            if "HTTP 404" in str(error):
                return None
            raise

    return get


@pytest.fixture
def read(read_in, namespace):
    """The same in the test's own namespace."""
    return functools.partial(read_in, namespace)
