"""The plugin's other commands, its errors and exit codes, against an agent over real HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from plugin_standins import READS, ConnectError, ScriptedAgent, reply, serving, status

from kubectl_flux import __version__
from kubectl_flux.commands.root import command_tree
from kubectl_flux.main import main
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.usage import reference

GOLDEN = Path(__file__).parent / "plugin_golden"
ROOT = Path(__file__).parents[2]
REVISION = "cf9e4394c927450c32abb6ebd7d3875d2672ff30"
REPOSITORY = pb.Repository(url="file:///git/cluster.git", branch="master", ready=True)

TIMEOUT = 60.0
SLOW = {
    *("agent", "google.protobuf", "grpc", "http.client", "json", "kubernetes", "pydantic", "requests", "rich", "ssl"),
    *("yaml", "kubectl_flux.client", "kubectl_flux.kubectl"),
}
"""What no command may load before it needs it: the first row alone takes most of a second."""

SUCCEEDED, FAILED, RUNNING = pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED, pb.JOB_STATE_RUNNING


def syncing(*states, repository=REPOSITORY):
    """An agent whose sync job goes through these states."""
    script = [pb.Job(id="j1", version=number, **state) for number, state in enumerate(states, 1)]

    def job(request):
        assert request.job_id == "j1"
        return pb.GetJobResponse(job=script[min(request.after_version, len(script) - 1)])

    return ScriptedAgent(
        {
            "GetRepository": pb.GetRepositoryResponse(repository=repository),
            "Sync": pb.SyncResponse(job_id="j1"),
            "GetJob": job,
        }
    )


def synced(**more):
    return pb.SyncJob(url=REPOSITORY.url, branch="master", revision=REVISION, **more)


def run(agent, *argv):
    with serving(agent) as url:
        return main([*argv, "--url", f"{url}/api/flux"])


def test_a_sync_is_told_as_it_was_recorded(capsys):
    agent = syncing(
        {"state": pb.JOB_STATE_QUEUED}, {"state": RUNNING, "sync": synced()}, {"state": SUCCEEDED, "sync": synced()}
    )
    assert run(agent, "sync") == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", (GOLDEN / "sync.stderr.txt").read_text())
    assert [(call.verb, call.method) for call in agent.calls[:2]] == [("GET", "GetRepository"), ("POST", "Sync")]
    assert {call.verb for call in agent.calls[2:]} == {"GET"}
    waits = [call.message.wait.ToNanoseconds() / 1e9 for call in agent.calls[2:]]
    assert all(0 < wait <= 25 for wait in waits)


def test_a_sync_that_was_done_before_it_was_seen_is_told_the_same(capsys):
    assert run(syncing({"state": SUCCEEDED, "sync": synced()}), "sync") == 0
    assert capsys.readouterr().err == (GOLDEN / "sync.stderr.txt").read_text()


def test_failed_objects_are_told_with_place_reason_and_blame_and_fail_the_command(capsys):
    failures = [
        pb.Failure(
            object="demo:service/web",
            path="apps/web.yaml",
            line=12,
            reason='Service "web" is invalid:\n  spec.ports[0].port: Invalid value: 99999',
            commit=REVISION,
            author="Foo <foo@example.com>",
        ),
        pb.Failure(path="broken.yaml", line=1, reason="did not find expected node content"),
        pb.Failure(object="gone:configmap/x", reason='namespaces "gone" not found'),
    ]
    agent = syncing({"state": SUCCEEDED, "sync": synced(failures=failures)})
    assert run(agent, "sync") == 1
    assert capsys.readouterr().err.splitlines()[3:] == [
        (
            'demo:service/web (apps/web.yaml:12): Service "web" is invalid: spec.ports[0].port: Invalid value: 99999 '
            "(commit cf9e439 by Foo <foo@example.com>)"
        ),
        "broken.yaml:1: did not find expected node content",
        'gone:configmap/x: namespaces "gone" not found',
        "Error: 3 files or objects of cf9e439 failed",
        "Mend what is named above in git; everything else was synced.",
    ]


def test_held_deletions_and_a_marker_that_stays_are_told_and_no_failure(capsys):
    held = [pb.PendingDeletion(object="demo:deployment/old", reason="12 of 20 objects would go")]
    job = synced(pending_deletions=held, deletions_hash="abc123", marker_error="the tag is protected")
    assert run(syncing({"state": SUCCEEDED, "sync": job}), "sync") == 0
    assert capsys.readouterr().err.splitlines()[3:] == [
        "1 object left git and waits for deletion:",
        "  demo:deployment/old: 12 of 20 objects would go",
        "To let what is held go: kubectl flux sync --allow-deletions abc123",
        "Warning: the marker of what is synced could not be moved: the tag is protected",
        "Done.",
    ]


def test_notices_are_told_as_notes_and_the_many_in_number(capsys):
    notices = [
        "services may not be listed in team;\n none are deleted",
        *(f"document {n} is skipped" for n in range(12)),
    ]
    assert run(syncing({"state": SUCCEEDED, "sync": synced(notices=notices)}), "sync") == 0
    assert capsys.readouterr().err.splitlines()[3:] == [
        "Note: services may not be listed in team; none are deleted",
        *(f"Note: document {n} is skipped" for n in range(9)),
        "and 3 more",
        "Done.",
    ]


def test_a_hash_that_fits_nothing_does_not_fail_the_sync(capsys):
    agent = syncing({"state": SUCCEEDED, "sync": synced(summary=pb.SyncSummary(objects=3))})
    assert run(agent, "sync", "--allow-deletions", "0000") == 0
    assert "Warning: the hash 0000 fits nothing that is held now\n" in capsys.readouterr().err


def test_a_failed_job_tells_its_cause_and_what_to_try(capsys):
    state = {"state": FAILED, "error": "cannot fetch: host key unknown", "hint": "add it to flux-ssh-config"}
    assert run(syncing(state), "sync") == 1
    assert capsys.readouterr().err.splitlines()[1:] == [
        "Error: cannot fetch: host key unknown",
        "add it to flux-ssh-config",
    ]


def test_without_a_repository_there_is_no_sync(capsys):
    agent = syncing(repository=pb.Repository())
    assert run(agent, "sync") == 1
    assert capsys.readouterr().err == "Error: no git repository is configured\nStart the agent with --git-url.\n"
    assert agent.methods() == ["GetRepository"]


def test_the_agents_own_word_on_a_missing_repository_gets_no_second_hint(capsys):
    error = "no git repository is configured; name one with --git-url"
    assert run(syncing(repository=pb.Repository(error=error)), "sync") == 1
    assert capsys.readouterr().err == f"Error: {error}\n"


def test_a_repository_that_is_not_ready_tells_the_agents_cause(capsys):
    agent = syncing()
    agent.answers["Sync"] = ConnectError("failed_precondition", "the git repository is not ready: key refused", 400)
    assert run(agent, "sync") == 1
    assert "Error: the git repository is not ready: key refused\n" in capsys.readouterr().err


def test_a_lost_job_is_told(capsys):
    agent = syncing()
    agent.answers["GetJob"] = ConnectError("not_found", "no job j1", 404)
    assert run(agent, "sync") == 1
    assert "does not know the job any more: no job j1" in capsys.readouterr().err


def test_a_sync_that_takes_too_long_is_told_and_goes_on(capsys):
    agent = syncing({"state": RUNNING, "sync": synced()})
    assert run(agent, "sync", "--timeout=1s") == 1
    err = capsys.readouterr().err
    assert "Error: timeout: not done after 1 s" in err
    assert "The agent goes on with it" in err


def test_version_prints_the_bare_version_and_the_agents_on_stderr(capsys):
    assert run(ScriptedAgent({"Version": pb.VersionResponse(version=f"{__version__}.dev1")}), "version") == 0
    assert capsys.readouterr() == (f"{__version__}\n", f"Agent: {__version__}.dev1\n")


def test_version_succeeds_without_an_agent(capsys):
    assert main(["version", "--url", f"http://127.0.0.1:{free_port()}"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{__version__}\n"
    assert err.startswith("Agent: unknown (")


def test_version_of_the_client_asks_nobody(capsys):
    agent = ScriptedAgent()
    assert run(agent, "version", "--client") == 0
    assert capsys.readouterr() == (f"{__version__}\n", "")
    assert agent.calls == []


@pytest.mark.parametrize(
    ("argv", "error", "usage"),
    [
        ("nosuchcommand", 'unknown command "nosuchcommand" for "kubectl flux"', "kubectl flux"),
        ("list-workloads -x", "unknown shorthand flag: 'x' in -x", "kubectl flux list-workloads"),
        (
            "sync --timeout=5",
            'invalid argument "5" for "--timeout" flag: time: missing unit in duration "5"',
            "kubectl flux sync",
        ),
    ],
)
def test_wrong_usage_names_the_help_and_exits_2(argv, error, usage, capsys):
    assert main(argv.split()) == 2
    assert capsys.readouterr() == ("", f"Error: {error}\nRun '{usage} --help' for usage.\n")


@pytest.mark.parametrize("argv", ["list-workloads -n", "save -n", "diff --revision"])
def test_bytes_that_are_no_text_are_wrong_usage(argv, capsys):
    agent = ScriptedAgent()
    assert run(agent, *argv.split(), "a\udcff") == 2
    assert capsys.readouterr().err.startswith(r"Error: 'a\udcff' is no UTF-8 text")
    assert agent.calls == []


def test_a_mistyped_command_gets_a_suggestion(capsys):
    assert main(["list-workload"]) == 2
    assert "Did you mean this?\n\tlist-workloads\n" in capsys.readouterr().err


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_an_agent_that_is_not_there_exits_3(capsys):
    port = free_port()
    assert main(["list-workloads", "-a", "--url", f"http://127.0.0.1:{port}"]) == 3
    assert capsys.readouterr().err.startswith(f"Error: the agent at http://127.0.0.1:{port} cannot be reached: ")


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("unauthenticated", 1),
        ("permission_denied", 1),
        ("failed_precondition", 1),
        ("unavailable", 3),
        ("resource_exhausted", 1),
        ("unimplemented", 1),
        ("deadline_exceeded", 1),
        ("internal", 1),
        ("something_new", 1),
    ],
)
def test_the_agents_errors_are_told_in_its_own_words(code, exit_code, capsys):
    agent = ScriptedAgent({"ListWorkloads": ConnectError(code, "the reason why", 500)})
    assert run(agent, "list-workloads", "-a") == exit_code
    assert capsys.readouterr().err.startswith("Error: the reason why\n")


@pytest.mark.parametrize("code", ["unauthenticated", "unavailable", "resource_exhausted", "internal"])
def test_a_hint_of_the_agents_is_the_only_one(code, capsys):
    agent = ScriptedAgent({"ListWorkloads": ConnectError(code, "the reason why (what to do)", 500)})
    run(agent, "list-workloads", "-a")
    assert capsys.readouterr().err == "Error: the reason why (what to do)\n"


def test_without_the_agents_hint_the_plugin_gives_one(capsys):
    agent = ScriptedAgent({"ListWorkloads": ConnectError("unauthenticated", "the reason why", 401)})
    run(agent, "list-workloads", "-a")
    (hint,) = capsys.readouterr().err.splitlines()[1:]
    assert hint.startswith("Give a token with FLUX_TOKEN: kubectl create token flux-operator")


class OddServer:
    """Answers everything with one answer."""

    def __init__(self, *answer):
        self.answer = answer

    def handle(self, handler, _path, _body):
        reply(handler, *self.answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            (404, "text/plain", b"404 page not found"),
            "is not kubectl-flux's agent: it answered 404: 404 page not found",
        ),
        ((502, "text/html", b"<h1>Bad gateway</h1>"), "answered 502: <h1>Bad gateway</h1>"),
        ((200, "text/html", b"<html>welcome</html>"), "is not kubectl-flux's agent"),
        ((503, "application/json", status(503, "ServiceUnavailable", "x")), "the API server cannot reach the agent: x"),
        ((302, "text/html", b""), "answered 302"),
    ],
)
def test_something_else_at_the_address_exits_3(answer, said, capsys):
    assert run(OddServer(*answer), "list-workloads", "-a") == 3
    assert said in capsys.readouterr().err


def test_a_token_travels_in_its_own_header_and_only_with_a_url(monkeypatch):
    monkeypatch.setenv("FLUX_SERVICE_TOKEN", "s3cret")
    agent = ScriptedAgent()
    assert run(agent, "list-workloads", "-a") == 0
    assert agent.calls[0].headers["X-Flux-Token"] == "s3cret"
    assert "Authorization" not in agent.calls[0].headers


def test_a_token_alone_is_told_that_the_service_is_gone(capsys):
    assert main(["sync", "--token", "s3cret"]) == 2
    err = capsys.readouterr().err
    assert "hosted service" in err
    assert "s3cret" not in err


def test_an_interrupted_command_exits_130():
    asked, let_go = threading.Event(), threading.Event()

    def hang(_request):
        asked.set()
        let_go.wait(TIMEOUT)

    with serving(ScriptedAgent({"GetRepository": hang})) as url:
        command = [sys.executable, "-m", "kubectl_flux.main", "sync", "--url", url]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        assert asked.wait(TIMEOUT)
        process.send_signal(signal.SIGINT)
        with process.stderr as stderr:
            assert stderr.read() == b""
        assert process.wait(TIMEOUT) == 130
        let_go.set()


@pytest.mark.parametrize("argv", [[], ["--help"], ["help"], ["-h"]])
def test_help_lists_every_command(argv, capsys):
    assert main(argv) == 0
    out = capsys.readouterr().out
    for expected in ("kubectl flux [command]", "  list-workloads   ", "  sync ", "  version ", "--k8s-fwd-ns string"):
        assert expected in out
    assert "list-controllers" not in out


@pytest.mark.parametrize("argv", [["sync", "--help"], ["help", "sync"], ["--help", "sync"], ["sync", "-h"]])
def test_help_of_a_command_shows_its_text_examples_and_flags(argv, capsys):
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert out.startswith("Synchronize the cluster with the git repository, now.\n")
    for expected in (
        "kubectl flux sync [flags]",
        "Examples:\n",
        "  -h, --help                   help for sync\n",
        "Global Flags:\n",
    ):
        assert expected in out


def test_help_for_an_unknown_command_is_wrong_usage():
    assert main(["help", "nosuch"]) == 2


def test_the_command_reference_is_up_to_date():
    written = (ROOT / "docs" / "commands.md").read_text()
    assert written == reference(command_tree()), "run: python -m kubectl_flux.reference > docs/commands.md"


def test_every_read_of_the_contract_is_a_get_and_every_change_a_post():
    by_name = pb.DESCRIPTOR.services_by_name["Flux"].methods_by_name
    free_of_effects = {name for name, method in by_name.items() if method.GetOptions().idempotency_level == 1}
    assert set(READS) == free_of_effects - {"WatchJob", "WaitForRevision"}


@pytest.mark.parametrize("argv", [["version", "--client"], ["--help"], ["release", "-h"], ["__complete", "sync", "-"]])
def test_nothing_slow_is_imported_before_a_command_needs_it(argv):
    code = (
        f"import sys; from kubectl_flux.main import main; main({argv}); "
        f"print(sorted({SLOW} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == "[]\n"


def test_the_installed_program_says_its_version():
    program = Path(sys.executable).with_name("kubectl-flux")
    done = subprocess.run([program, "version", "--client"], capture_output=True, text=True, check=True, env=os.environ)
    assert (done.stdout, done.stderr) == (f"{__version__}\n", "")
