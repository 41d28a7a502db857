"""Around the API server: what happens where it cannot reach the agent's pod.

The port-forward is simulated (`controlplane.forwarding`); kubectl proxy is the real one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from controlplane.forwarding import fake_kubectl
from plugin_standins import ConnectError, listing, reply, serving, status

from kubectl_flux import agents
from kubectl_flux.child import Child
from kubectl_flux.main import main
from kubectl_flux.replies import is_cut_off
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.transport import Reply

TIMEOUT = 60.0
DIAL = "error trying to reach service: dial tcp 10.1.2.3:3030: i/o timeout"
DETOUR = f"The API server cannot reach the agent ({DIAL}): going through kubectl port-forward\n"


def failing(message=DIAL, code=503):
    return lambda handler: reply(handler, code, "application/json", status(code, "ServiceUnavailable", message))


def answered(code, message):
    return Reply(code, json=True, body=status(code, "", message))


@pytest.fixture
def forwards(tmp_path, cluster, monkeypatch):
    """A function that lets port-forward lead somewhere; what it was asked for is in its `asked()`."""
    path = os.environ["PATH"]

    def lead(target):
        monkeypatch.setenv("PATH", f"{fake_kubectl(tmp_path, target)}{os.pathsep}{path}")

    log = tmp_path / "forwards"
    lead.started = lambda: [line.split(" ", 1) for line in log.read_text().splitlines()] if log.exists() else []
    lead.asked = lambda: [command for _, command in lead.started()]
    lead("unable to forward port because pod is not running. Current status=Pending")
    return lead


@pytest.fixture
def agent(cluster, forwards):
    """An agent that only port-forward reaches, and that wants to know who calls."""
    cluster.services["flux/flux"] = failing()
    cluster.accounts.add("flux/flux-operator")
    made = listing("team:deployment/shop")
    made.refusal = lambda token: None if token else ConnectError("unauthenticated", "no token", 401)
    made.answers["GetRepository"] = pb.GetRepositoryResponse(repository=pb.Repository(url="ssh://git@h/x"))
    made.answers["Sync"] = pb.SyncResponse(job_id="j")
    made.answers["GetJob"] = pb.GetJobResponse(job=pb.Job(id="j", version=1, state=pb.JOB_STATE_SUCCEEDED))
    with serving(made) as url:
        forwards(url.removeprefix("http://"))
        yield made


def list_workloads(*flags):
    return main(["list-workloads", "-a", "-o", "name", *flags])


def proxied(cluster):
    return [path for path in cluster.paths() if "/proxy/" in path]


def test_where_the_api_server_does_not_get_through_a_port_is_forwarded_and_that_is_said_once(
    cluster, agent, forwards, capsys
):
    assert list_workloads("--as=bob", "--context=here") == 0
    assert capsys.readouterr() == ("team:deployment/shop\n", DETOUR)
    command = "port-forward --namespace=flux service/flux :http --address=127.0.0.1 --context=here --as=bob"
    assert forwards.asked() == [command]
    assert [call.headers.get("X-Flux-Token") for call in agent.calls] == [None, "flux-operator-1"]


def test_the_next_command_goes_around_at_once_and_says_nothing(cluster, agent, forwards, capsys):
    assert list_workloads() == 0
    capsys.readouterr()
    before = len(cluster.requests)
    assert main(["sync"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "Done."
    assert len(cluster.requests) == before
    assert len(forwards.asked()) == 2


def test_after_an_hour_the_api_server_is_tried_again(cluster, agent, forwards, cache):
    assert list_workloads() == 0
    (memory,) = cache.glob("forward-*")
    left = int(memory.read_text()) - time.time()
    assert 3500 < left <= 3600
    memory.write_text(f"{int(time.time()) - 1}\n")
    assert list_workloads() == 0
    assert len(proxied(cluster)) == 2


def test_a_way_around_that_has_closed_is_forgotten(cluster, agent, forwards, cache, capsys):
    assert list_workloads() == 0
    cluster.services["flux/flux"] = agent
    forwards("pods are forbidden")
    assert list_workloads() == 0
    assert list(cache.glob("forward-*")) == []
    assert capsys.readouterr().out == "team:deployment/shop\n" * 2


def test_where_neither_way_leads_there_both_causes_are_told(cluster, forwards, cache, capsys):
    cluster.services["flux/flux"] = failing()
    assert list_workloads() == 3
    assert capsys.readouterr().err.splitlines() == [
        (
            f"Error: the API server cannot reach the agent: {DIAL}; and kubectl port-forward cannot either: "
            "unable to forward port because pod is not running. Current status=Pending"
        ),
        (
            "Check the firewall between the cluster's control plane and its nodes, and whether you may create "
            "pods/portforward in namespace flux."
        ),
    ]
    assert not cache.exists()


def test_a_port_on_which_nothing_listens_is_told_in_kubectls_words(cluster, forwards, capsys):
    cluster.services["flux/flux"] = failing()
    forwards("127.0.0.1:1")
    assert list_workloads() == 3
    assert "cannot either: an error occurred forwarding: failed to connect to port 1: " in capsys.readouterr().err


def test_an_agent_that_is_not_ready_is_no_case_for_a_detour(cluster, forwards, capsys):
    cluster.services["flux/flux"] = None
    assert list_workloads() == 3
    assert capsys.readouterr().err.splitlines() == [
        'Error: the agent in namespace flux is not ready: no endpoints available for service "flux:http"',
        "See what its pod is doing: kubectl get pods -n flux -l app=flux",
    ]
    assert forwards.asked() == []


def test_a_service_without_such_a_port_is_somebody_elses(cluster, forwards):
    cluster.services["flux/flux"] = failing('no service port "http" found for service "flux"')
    cluster.services["default/flux"] = listing()
    assert list_workloads() == 0
    assert forwards.asked() == []


def test_an_api_server_that_says_nothing_for_long_is_gone_around(cluster, agent, forwards, capsys, monkeypatch):
    monkeypatch.setattr(agents, "FIRST_ANSWER", 0.5)
    let_go = threading.Event()
    cluster.services["flux/flux"] = lambda _handler: let_go.wait(TIMEOUT)
    try:
        assert list_workloads() == 0
    finally:
        let_go.set()
    out, err = capsys.readouterr()
    assert out == "team:deployment/shop\n"
    assert err.startswith("The API server cannot reach the agent (the cluster's API server did not answer within")


def test_an_api_server_that_was_only_slow_is_waited_for(cluster, forwards, capsys, monkeypatch):
    monkeypatch.setattr(agents, "FIRST_ANSWER", 0.5)
    gone, made = threading.Event(), listing("team:deployment/shop")

    def slow_once(handler):
        if forwards.asked():
            made.handle(handler, handler.path.partition("/proxy")[2], b"")
        else:
            gone.wait(TIMEOUT)

    cluster.services["flux/flux"] = slow_once
    try:
        assert list_workloads() == 0
    finally:
        gone.set()
    assert capsys.readouterr() == ("team:deployment/shop\n", "")


@pytest.mark.parametrize(
    ("reply", "reads", "changes"),
    [
        (answered(503, DIAL), True, True),
        (
            answered(503, "error trying to reach service: dial tcp 10.1.2.3:3030: connect: connection refused"),
            True,
            True,
        ),
        (answered(500, "Error trying to reach service: 'dial tcp 10.1.2.3:3030: no route to host'"), True, True),
        (answered(502, "proxy error from 127.0.0.1:9443 while dialing 10.1.2.3:3030, code 503"), True, True),
        (answered(504, "context deadline exceeded"), True, False),
        (answered(503, "error trying to reach service: EOF"), True, False),
        (answered(503, 'no endpoints available for service "flux:http"'), False, False),
        (answered(503, 'no service port "http" found for service "flux"'), False, False),
        (answered(500, "etcdserver: request timed out"), False, False),
        (answered(404, 'services "flux" not found'), False, False),
        (answered(403, "forbidden"), False, False),
        (Reply(503, json=True, body=b'{"code": "unavailable", "message": "dial"}'), False, False),
        (Reply(502, json=False, body=b"<h1>dial</h1>"), False, False),
        (Reply(200, json=False, body=b""), False, False),
    ],
)
def test_what_is_gone_around_and_what_is_not(reply, reads, changes):
    assert (is_cut_off(reply, changes=False), is_cut_off(reply, changes=True)) == (reads, changes)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_port_forward_ends_with_its_parent_however_that_dies(how, cluster, agent, forwards, temp):
    asked, let_go = threading.Event(), threading.Event()

    def hang(_message):
        asked.set()
        let_go.wait(TIMEOUT)

    agent.answers["ListWorkloads"] = hang
    command = [sys.executable, "-m", "kubectl_flux.main", "list-workloads", "-a"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert asked.wait(TIMEOUT)
    ((pid, _),) = forwards.started()
    process.send_signal(how)
    code = process.wait(TIMEOUT)
    let_go.set()
    assert code == (130 if how is signal.SIGINT else -how)
    end = time.monotonic() + TIMEOUT
    while (is_running(pid) or list(temp.iterdir())) and time.monotonic() < end:
        threading.Event().wait(0.01)
    assert not is_running(pid), "kubectl port-forward outlived its parent"


def is_running(pid):
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("error: pods are forbidden", "pods are forbidden"),
        ('E1121 15:00:00.000000    4242 portforward.go:424] "Unhandled Error" err="no luck"', "no luck"),
        ("E1121 15:00:00.000000    4242 portforward.go:424] no luck", "no luck"),
        ('Error from server (Forbidden): services "flux" is forbidden', None),
    ],
)
def test_kubectls_own_lines_are_told_without_their_heads(line, complaint):
    child = Child(["sh", "-c", f"echo '{line}' >&2"])
    assert child.last_words() == (complaint or line)
    child.close()
