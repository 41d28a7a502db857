"""`diff`: what is printed, where, and the code it ends with."""

from __future__ import annotations

import json
import sys

import pytest
from plugin_standins import ConnectError, ScriptedAgent, serving

from kubectl_flux.main import main
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.unified import file_name, unified

REVISION = "cf9e4394c927450c32abb6ebd7d3875d2672ff30"
CREATE, UPDATE, DELETE, HOLD = range(1, 5)


def found(action, name, live="", planned="", namespace="demo", **more):
    more = {"api_version": "apps/v1", "kind": "Deployment", **more}
    id_ = f"{namespace or '<cluster>'}:{more['kind'].lower()}/{name}"
    return pb.ObjectDiff(object=id_, namespace=namespace, name=name, action=action, live=live, planned=planned, **more)


UPDATED = found(UPDATE, "web", "spec:\n  replicas: 1\n", "spec:\n  replicas: 2\n")
CREATED = found(CREATE, "new", planned="a: 1\n", namespace="other")
DELETED = found(DELETE, "old", live="a: 1\n")
HELD = found(HOLD, "kept", "a: 1\n", "a: 1\n", reason="held: 12 of 14 objects would go at once")
WEB = (
    "diff -u -N LIVE/apps.v1.Deployment.demo.web MERGED/apps.v1.Deployment.demo.web\n"
    "--- LIVE/apps.v1.Deployment.demo.web\n"
    "+++ MERGED/apps.v1.Deployment.demo.web\n"
    "@@ -1,2 +1,2 @@\n"
    " spec:\n"
    "-  replicas: 1\n"
    "+  replicas: 2\n"
)


def answering(*pages, **more):
    """An agent that answers with these objects, page by page."""

    def page(request):
        number = int(request.page_token or 0)
        following = str(number + 1) if number + 1 < len(pages) else ""
        first = more if number == 0 else {}
        return pb.DiffResponse(revision=REVISION, objects=pages[number], next_page_token=following, **first)

    return ScriptedAgent({"Diff": page})


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.delenv("KUBECTL_EXTERNAL_DIFF", raising=False)


def run(agent, *argv):
    with serving(agent) as url:
        return main(["diff", *argv, "--url", url])


def test_nothing_to_show_is_silence_and_0(capsys):
    agent = answering([])
    assert run(agent, "--revision=v1") == 0
    assert capsys.readouterr() == ("", "")
    assert [(call.verb, call.message.ref) for call in agent.calls] == [("GET", "v1")]


def test_differences_are_shown_page_by_page_and_deletions_told(capsys):
    assert run(answering([UPDATED], [DELETED, HELD], restricted=True)) == 1
    out, err = capsys.readouterr()
    assert out.startswith(WEB)
    assert out[len(WEB) :].splitlines()[3:] == ["@@ -1 +0,0 @@", "-a: 1"]
    assert err.splitlines() == [
        "demo:deployment/old left git and would be deleted",
        "demo:deployment/kept left git and would stay: held: 12 of 14 objects would go at once",
        "Note: objects of namespaces that you may not see are left out",
    ]


def test_failures_are_told_after_the_rest_and_are_an_error(capsys):
    failures = [
        pb.Failure(path="broken.yaml", line=3, reason="is not YAML"),
        pb.Failure(object="other:service/x", path="x.yaml", line=1, reason="invalid"),
    ]
    assert run(answering([UPDATED], failures=failures), "-n", "demo") == 2
    out, err = capsys.readouterr()
    assert out == WEB
    assert err.splitlines() == [
        "broken.yaml:3: is not YAML",
        "Error: one file or object of cf9e439 would fail",
        "Mend what is named above in git.",
    ]


@pytest.mark.parametrize(
    ("argv", "out"),
    [
        ("-o name", "demo:deployment/web update\nother:deployment/new create\ndemo:deployment/kept hold\n"),
        ("-o name -n other", "other:deployment/new create\n"),
        ("-o name -n none", ""),
    ],
)
def test_names_come_with_what_would_be_done(argv, out, capsys):
    assert run(answering([UPDATED, CREATED, HELD]), *argv.split()) == bool(out)
    assert capsys.readouterr() == (out, "")


def test_json_holds_everything(capsys):
    assert run(answering([HELD]), "-o", "json") == 1
    (item,) = json.loads(capsys.readouterr().out)["objects"]
    assert (item["object"], item["action"], item["live"]) == ("demo:deployment/kept", "hold", "a: 1\n")
    failure = {"object": "", "path": "a.yaml", "line": 3, "reason": "no YAML", "commit": "c" * 40, "author": "Ann"}
    assert run(answering([], failures=[pb.Failure(**failure)]), "-o", "json") == 2
    assert json.loads(capsys.readouterr().out)["failures"] == [failure]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectError("not_found", "no such revision"), 2),
        (ConnectError("permission_denied", "ann may not"), 2),
        (ConnectError("failed_precondition", "not ready"), 2),
        (ConnectError("deadline_exceeded", "too late"), 2),
        (ConnectError("unavailable", "gone"), 3),
    ],
)
def test_no_error_ends_like_a_difference(error, code, capsys):
    assert run(ScriptedAgent({"Diff": error})) == code
    assert capsys.readouterr().err.startswith("Error: ")


def test_an_agent_that_is_not_there_and_wrong_usage(capsys):
    assert main(["diff", "--url", "http://127.0.0.1:1"]) == 3
    assert main(["diff", "-o", "xml", "--url", "http://127.0.0.1:1"]) == 2
    assert "It is one of: diff, name, json." in capsys.readouterr().err


SHOWS = "import os, sys; [print(os.path.basename(d), *sorted(os.listdir(d))) for d in sys.argv[-2:]]; sys.exit({})"


@pytest.mark.parametrize("code", [0, 1, 5])
def test_another_program_gets_two_folders_and_says_the_code(code, tmp_path, monkeypatch, capfd):
    program = tmp_path / "my diff.py"
    program.write_text(SHOWS.format(code))
    monkeypatch.setenv("KUBECTL_EXTERNAL_DIFF", f"{sys.executable} '{program}' -x")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(answering([UPDATED], [CREATED, DELETED])) == code
    new, old, web = "apps.v1.Deployment.other.new", "apps.v1.Deployment.demo.old", "apps.v1.Deployment.demo.web"
    assert capfd.readouterr().out == f"LIVE {old} {web}\nMERGED {web} {new}\n"
    assert list(tmp_path.iterdir()) == [program]


@pytest.mark.parametrize("command", ["/no/such/program", "'", "false"])
def test_another_program_that_cannot_be_run_is_an_error(command, monkeypatch, capsys):
    monkeypatch.setenv("KUBECTL_EXTERNAL_DIFF", command)
    code = run(answering([UPDATED]))
    assert (code, "cannot be run" in capsys.readouterr().err) == ((1, False) if command == "false" else (2, True))


def test_nothing_to_show_runs_no_other_program(monkeypatch):
    monkeypatch.setenv("KUBECTL_EXTERNAL_DIFF", "/no/such/program")
    assert [run(answering([])), run(answering([HELD]))] == [0, 1]


def test_no_name_leads_out_of_the_folder():
    assert file_name(found(CREATE, "../../x\x1b[2J", kind="A/B")) == "apps.v1.A_B.demo..._.._x__2J"
    assert len(file_name(found(CREATE, "x" * 900))) == 200


def test_colours_mark_what_goes_and_what_comes():
    text = unified(UPDATED, coloured=True)
    assert "\x1b[31m-  replicas: 1\x1b[0m\n\x1b[32m+  replicas: 2\x1b[0m\n" in text
    for code in ("1", "31", "32", "36", "0"):
        text = text.replace(f"\x1b[{code}m", "")
    assert text == WEB
