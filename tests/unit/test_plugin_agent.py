"""The plugin and the agent's own front understand one another, over real HTTP."""

from __future__ import annotations

import queue
import threading

import pytest
from served_api import Served, many_workloads

from agent.model.resources import Failure, Origin
from agent.model.status import RepositoryStatus, Status, SyncProgress, SyncReport
from kubectl_flux import __version__
from kubectl_flux.main import main

REVISION = "cf9e4394c927450c32abb6ebd7d3875d2672ff30"


@pytest.fixture
def agent():
    served = Served()
    yield served
    served.close()


def run(agent, *argv):
    return main([*argv, "--url", f"http://127.0.0.1:{agent.server.http_port}"])


def do_next_sync(agent, work):
    """Let a thread do the next sync that is asked for."""
    tickets = queue.SimpleQueue()
    agent.jobs._start_sync = tickets.put
    threading.Thread(target=lambda: work(tickets.get(timeout=20)), daemon=True).start()


def test_versions_are_told(agent, capsys):
    assert run(agent, "version") == 0
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[0]) == (f"{__version__}\n", "Agent: 1.2.3")


def test_lists_longer_than_a_page_are_whole(agent, capsys):
    agent.reads.snapshot = many_workloads(10_000)
    assert run(agent, "list-workloads", "-a", "-o", "name") == 0
    assert len(set(capsys.readouterr().out.split())) == 10_000


def test_one_namespace_is_asked_for(agent, capsys):
    agent.reads.snapshot = many_workloads(40)
    assert run(agent, "list-workloads", "-n", "team-3", "-o", "name") == 0
    assert capsys.readouterr().out.split() == ["team-3:deployment/app-00003", "team-3:deployment/app-00023"]


@pytest.mark.parametrize("timeout", ["2778h", "2562047h"])
def test_patience_for_years_is_understood(agent, timeout, capsys):
    agent.reads.snapshot = many_workloads(1)
    assert run(agent, "list-workloads", "-a", "-o", "name", f"--timeout={timeout}") == 0
    assert capsys.readouterr().out == "team-0:deployment/app-00000\n"


def test_a_sync_is_followed_to_its_end(agent, capsys):
    progress = SyncProgress("ssh://git@h/a", "master", REVISION)

    def work(ticket):
        ticket.running(progress)
        ticket.succeeded(progress)

    do_next_sync(agent, work)
    assert run(agent, "sync") == 0
    assert capsys.readouterr().err.splitlines() == [
        "Synchronizing with ssh://git@h/a",
        "Revision of master to apply is cf9e439",
        "Waiting for cf9e439 to be applied ...",
        "Done.",
    ]


def test_a_failed_object_fails_the_sync_and_is_named(agent, capsys):
    failure = Failure("demo:service/web", "port is wrong", Origin("apps/web.yaml", 3), commit=REVISION, author="Foo")
    report = SyncReport(REVISION, 0.0, failures=(failure,))
    do_next_sync(agent, lambda ticket: ticket.succeeded(SyncProgress("u", "master", REVISION, report)))
    assert run(agent, "sync") == 1
    err = capsys.readouterr().err
    assert "demo:service/web (apps/web.yaml:3): port is wrong (commit cf9e439 by Foo)\n" in err
    assert "Error: one file or object of cf9e439 failed\n" in err


def test_a_sync_that_could_not_be_done_tells_why(agent, capsys):
    do_next_sync(agent, lambda ticket: ticket.failed(None, "the key was refused", "add it to the repository"))
    assert run(agent, "sync") == 1
    assert "Error: the key was refused\nadd it to the repository\n" in capsys.readouterr().err


def test_an_agent_without_a_repository_refuses_to_sync(agent, capsys):
    agent.reads.state = Status(repository=RepositoryStatus())
    assert run(agent, "sync") == 1
    assert "no git repository is configured" in capsys.readouterr().err


def test_notices_of_a_sync_reach_the_person_who_asked_for_it(agent, capsys):
    report = SyncReport(REVISION, 0.0, notices=("services may not be listed; none are deleted",))
    do_next_sync(agent, lambda ticket: ticket.succeeded(SyncProgress("u", "master", REVISION, report)))
    assert run(agent, "sync") == 0
    assert "Note: services may not be listed; none are deleted\n" in capsys.readouterr().err
