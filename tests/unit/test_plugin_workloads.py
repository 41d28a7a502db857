"""`list-workloads` prints what Flux v1 printed, byte for byte where it was recorded."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin_standins import ScriptedAgent, one_ready, serving, workload

from kubectl_flux.commands.workloads import COLOURS, HEADERS, render
from kubectl_flux.main import main
from kubectl_flux.output import colours_wanted, go_json, table
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

GOLDEN = Path(__file__).parent / "plugin_golden"
REGISTRY = "10.99.0.20:5000/acme"


def first_recording():
    """The workloads of the recording's first part."""
    marks = {
        "agent": "sha256.oenxVziS5OXJeRGrJVzEoMq6ZE10_Ud9Y0Oftev2MLQ",
        "shop": "sha256.Yg5joT9ij1v5sbLC0OWupvGIUUBirITiBsfBNcX7Wd0",
        "db": "sha256.wgIKdMYeb2tvbw8XL4NTMfq9BlcFOZ_emUzbNiXeuzg",
    }
    ready = {"status": "ready", "rollout": one_ready()}
    agent = workload("demo:daemonset/agent", f"agent={REGISTRY}/side", locked=True, **ready)
    agent.policies.update({"locked": "true", "locked_msg": "do not touch", "locked_user": "Ann <ann@example.com>"})
    byhand = workload("demo:deployment/byhand", "nginx=nginx:1.19", read_only="NotInRepo", **ready)
    byhand.labels["app"] = "byhand"
    digest = "sha256:" + 64 * "0"
    images = (f"web={REGISTRY}/shop:1.1.4", f"side={REGISTRY}/side:v2", f"sha={REGISTRY}/db@{digest}")
    shop = workload("demo:deployment/shop", *images, automated=True, **ready)
    shop.policies.update({"tag.web": "semver:~1.1", "tag.side": "glob:v*", "automated": "true"})
    db = workload("demo:statefulset/db", f"db={REGISTRY}/db:a3f9c1", **ready)
    for made in (agent, shop, db):
        made.labels["fluxcd.io/sync-gc-mark"] = marks[made.id.rpartition("/")[2]]
    return [agent, byhand, shop, db]


def second_recording():
    """The workloads of the recording's second part."""
    images = (f"web={REGISTRY}/shop:1.0.3", f"init:init={REGISTRY}/tool:1.0")
    return [
        workload("demo:deployment/held", *images, status="ready", automated=True, locked=True),
        workload("demo:deployment/shop", *images, status="ready", automated=True),
        workload("demo:helmrelease/web", f"chart-image={REGISTRY}/shop:1.1.0", automated=True),
    ]


def everywhere():
    return [*first_recording(), workload("flux:deployment/flux", "flux=flux:1", status="ready")]


@pytest.mark.parametrize(
    ("argv", "workloads", "golden"),
    [
        ("-n demo", first_recording, "list-workloads-demo.txt"),
        ("-a", everywhere, "list-workloads-all.txt"),
        ("-n demo -c web", first_recording, "list-workloads-container.txt"),
        ("-n demo -o json", first_recording, "list-workloads-demo.json"),
        ("-n demo --no-headers", first_recording, "list-workloads-no-headers.txt"),
        ("-n nosuch", list, "list-workloads-empty.txt"),
        ("-n demo --output-format=tab", second_recording, "list-workloads-init.txt"),
        ("-n demo -o table", second_recording, "list-workloads-init.txt"),
    ],
)
def test_the_output_equals_the_recording(argv, workloads, golden, capfdbinary):
    agent = ScriptedAgent({"ListWorkloads": pb.ListWorkloadsResponse(workloads=workloads())})
    with serving(agent) as url:
        assert main(["list-workloads", *argv.split(), "--url", url]) == 0
    out, err = capfdbinary.readouterr()
    assert out == (GOLDEN / golden).read_bytes()
    assert err == b""
    (call,) = agent.calls
    assert (call.verb, call.method) == ("GET", "ListWorkloads")
    assert call.message.namespace == ("" if argv == "-a" else argv.split()[1])


def test_pages_are_read_to_the_last_and_that_there_are_others_is_told(capsys):
    pages = {"": (["a:deployment/x"], "2"), "2": (["b:deployment/y"], "3"), "3": (["c:deployment/z"], "")}

    def page(request):
        names, following = pages[request.page_token]
        found = [workload(n) for n in names]
        return pb.ListWorkloadsResponse(workloads=found, next_page_token=following, restricted=True)

    with serving(ScriptedAgent({"ListWorkloads": page})) as url:
        assert main(["list-workloads", "-a", "-o", "name", "-u", url]) == 0
    assert capsys.readouterr() == (
        "a:deployment/x\nb:deployment/y\nc:deployment/z\n",
        "Note: workloads of namespaces that you may not see are left out\n",
    )


def test_yaml_is_the_same_data_as_json():
    workloads = first_recording()
    assert yaml.safe_load(render(workloads, "yaml", headers=True)) == json.loads(
        render(workloads, "json", headers=True)
    )


def test_yaml_keeps_the_order_of_keys():
    assert render(first_recording(), "yaml", headers=True).startswith("- ID: demo:daemonset/agent\n  Containers:\n")


def test_wide_adds_what_stands_in_the_way():
    made = workload("demo:deployment/shop", "web=a:1", "side=b:2", status="updating", read_only="NotInRepo")
    made.rollout.CopyFrom(pb.Rollout(desired=3, ready=1))
    made.sync_error = "first line\n  second line"
    lines = render([made], "wide", headers=True).splitlines()
    assert lines[0].split() == [*HEADERS, "READY", "READ-ONLY", "SYNC-ERROR"]
    assert lines[1].split(None, 4)[4].split() == ["1/3", "NotInRepo", "first", "line", "second", "line"]
    assert lines[2].split() == ["side", "b:2"]


def test_a_workload_without_containers_has_one_row():
    rows = render([workload("demo:deployment/x", status="ready")], "tab", headers=False)
    assert rows == "demo:deployment/x      ready  \n"


def test_messages_of_a_rollout_are_a_list():
    made = workload("demo:deployment/x")
    made.rollout.messages.append("quota exceeded")
    assert json.loads(render([made], "json", headers=True))[0]["Rollout"]["Messages"] == ["quota exceeded"]


def test_an_unknown_format_is_wrong_usage_and_asks_nobody(capsys):
    assert main(["list-workloads", "-o", "xml", "--url", "http://127.0.0.1:1"]) == 2
    assert capsys.readouterr().err == (
        "Error: invalid output format specified\n"
        "It is one of: tab, table, wide, json, yaml, name.\n"
        "Run 'kubectl flux list-workloads --help' for usage.\n"
    )


def test_the_old_name_of_the_command_works_and_says_so(capsys):
    with serving(ScriptedAgent()) as url:
        assert main(["list-controllers", "-a", "-u", url]) == 0
    out, err = capsys.readouterr()
    assert out == "WORKLOAD  CONTAINER  IMAGE  RELEASE  POLICY\n"
    assert err == 'Command "list-controllers" is deprecated, use list-workloads instead\n'


@pytest.mark.parametrize(
    ("flags", "namespace"),
    [("", "from-a"), ("--context b", "from-b"), ("--context c", "default"), ("-n own", "own"), ("-a -n own", "")],
)
def test_the_namespace_is_the_flags_else_the_contexts(flags, namespace, tmp_path, monkeypatch, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("current-context: a\ncontexts: [{name: b, context: {namespace: from-b}}]\n")
    contexts = "[{name: a, context: {namespace: from-a}}, {name: b, context: {namespace: no}}, {name: c, context: {}}]"
    second.write_text(f"current-context: b\ncontexts: {contexts}\n")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent:{first}:{second}")
    agent = ScriptedAgent()
    with serving(agent) as url:
        assert main(["list-workloads", *flags.split(), "-u", url]) == 0
    assert agent.calls[0].message.namespace == namespace


@pytest.mark.parametrize("content", ["", "[]", "contexts: 5", ": :\n\t", "contexts: [5, {name: a, context: 3}]"])
def test_a_kubeconfig_that_is_none_names_the_default_namespace(content, tmp_path):
    (tmp_path / "config").write_text(content)
    agent = ScriptedAgent()
    with serving(agent) as url:
        assert main(["list-workloads", "--kubeconfig", str(tmp_path / "config"), "-u", url]) == 0
    assert agent.calls[0].message.namespace == "default"


def test_json_is_escaped_as_go_escapes_it():
    assert go_json({"a": "<é&\u2028>"}) == '{"a":"\\u003cé\\u0026\\u2028\\u003e"}\n'


@settings(deadline=None)
@given(st.lists(st.lists(st.text(alphabet="abé ", max_size=8), min_size=3, max_size=3), min_size=1, max_size=5))
def test_every_column_begins_at_one_place(rows):
    lines = table(rows).splitlines()
    widths = [max(len(row[i]) for row in rows) + 2 for i in range(2)]
    for row, line in zip(rows, lines, strict=True):
        assert line[: widths[0]].rstrip() == row[0].rstrip()
        assert line[widths[0] : sum(widths)].rstrip() == row[1].rstrip()
        assert line[sum(widths) :] == row[2]


def test_only_a_cells_text_is_coloured_and_the_layout_stays():
    made = [workload("demo:deployment/x", "web=a:1", status="error")]
    plain = render(made, "tab", headers=True)
    painted = render(made, "tab", headers=True, colours=COLOURS)
    assert "\x1b[31merror    \x1b[0m" in painted
    assert painted.replace("\x1b[31m", "").replace("\x1b[0m", "") == plain


@pytest.mark.parametrize(
    ("environ", "terminal", "wanted"),
    [({}, True, True), ({}, False, False), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, True, False)],
)
def test_colour_is_for_terminals_that_want_it(environ, terminal, wanted, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    assert colours_wanted(stream, environ) is wanted


def test_a_reader_that_leaves_early_ends_the_command_quietly():
    many = [workload(f"demo:deployment/{i:05}", "web=registry.example.com/acme/shop:1") for i in range(5000)]
    with serving(ScriptedAgent({"ListWorkloads": pb.ListWorkloadsResponse(workloads=many)})) as url:
        command = [sys.executable, "-m", "kubectl_flux.main", "list-workloads", "-a", "-u", url]
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)
        process.stdout.readline()
        process.stdout.close()
        with process.stderr as stderr:
            assert stderr.read() == b""
        assert process.wait(timeout=10) == 141
