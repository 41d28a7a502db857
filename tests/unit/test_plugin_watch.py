"""`list-workloads --watch`: the list, then what changes, in the columns of the list."""

from __future__ import annotations

import json

import pytest
from plugin_standins import ConnectError, ScriptedAgent, serving, workload

from kubectl_flux import wait
from kubectl_flux.main import main
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

OVER = ConnectError("permission_denied", "no more", 403)


def web(image="web:1.0.0", **more):
    return workload("shop:deployment/web", f"web={image}", status="ready", **more)


def api():
    return workload("shop:deployment/api", "api=api:1", "side=side:2", status="updating")


@pytest.fixture
def watch(capsys, monkeypatch):
    """A function that watches an agent's lists until it refuses another: what was printed, and the calls."""
    monkeypatch.setattr(wait, "RETRY_AFTER", 0.0)

    def run(lists, *flags, restricted=False):
        rest = [*lists, OVER]

        def answer(_request):
            found = rest.pop(0)
            if isinstance(found, Exception):
                raise found
            return pb.ListWorkloadsResponse(workloads=found, version=100 - len(rest), restricted=restricted)

        agent = ScriptedAgent({"ListWorkloads": answer})
        with serving(agent) as url:
            assert main(["list-workloads", "-n", "shop", "-w", "-u", url, *flags]) == 1
        said = capsys.readouterr()
        assert said.err.count("Note: workloads of namespaces that you may not see are left out\n") == restricted
        return said.out, agent.calls

    return run


def test_the_list_comes_first_and_then_what_changes_in_the_same_columns(watch):
    away = ConnectError("unavailable", "restarting", 503)
    out, calls = watch([[api(), web()], [api(), web()], away, [api(), web("web:2")], [web("web:2")]])
    assert out.splitlines() == [
        "WORKLOAD             CONTAINER  IMAGE      RELEASE   POLICY",
        "shop:deployment/api  api        api:1      updating  ",
        "                     side       side:2               ",
        "shop:deployment/web  web        web:1.0.0  ready     ",
        "shop:deployment/web  web        web:2      ready     ",
        "shop:deployment/api  api        api:1      deleted   ",
        "                     side       side:2               ",
    ]
    seen = [call.message.after_version for call in calls]
    assert seen == [0, 95, 96, 0, 98, 99]
    assert {call.verb for call in calls} == {"GET"}


def test_what_is_not_shown_is_no_change(watch):
    lists = [[web()], [web(labels={"a": "b"})]]
    assert len(watch(lists, "--no-headers")[0].splitlines()) == 1
    assert len(watch(lists, "-o", "json")[0].splitlines()) == 2


def test_json_is_one_object_a_line(watch):
    out, _ = watch([[api(), web()], [web()]], "-o", "json", "-c", "api")
    told = [json.loads(line) for line in out.splitlines()]
    assert [(item["ID"], item["Status"]) for item in told] == [
        ("shop:deployment/api", "updating"),
        ("shop:deployment/api", "deleted"),
    ]


def test_other_formats_are_streams_too(watch):
    assert watch([[web()], [web("web:2")]], "-o", "name", restricted=True)[0] == "shop:deployment/web\n" * 2
    assert watch([[web()], [web("web:2")]], "-o", "yaml")[0].count("---\nID: shop:deployment/web\n") == 2


def test_every_page_is_read_and_only_the_first_is_waited_for(capsys):
    asked = []

    def page(request):
        asked.append((request.page_token, request.after_version))
        if len(asked) > 4:
            raise OVER
        first = not request.page_token
        return pb.ListWorkloadsResponse(
            workloads=[api() if first else web()], next_page_token="2" if first else "", version=7
        )

    with serving(ScriptedAgent({"ListWorkloads": page})) as url:
        assert main(["list-workloads", "-a", "-w", "-o", "name", "-u", url]) == 1
    assert capsys.readouterr().out == "shop:deployment/api\nshop:deployment/web\n"
    assert asked[:4] == [("", 0), ("2", 0), ("", 7), ("2", 0)]


def test_an_agent_that_never_answered_is_an_error():
    assert main(["list-workloads", "-a", "-w", "-u", "http://127.0.0.1:1"]) == 3


def test_a_timeout_that_somebody_gave_ends_it_well():
    with serving(ScriptedAgent({"ListWorkloads": pb.ListWorkloadsResponse(version=1)})) as url:
        assert main(["list-workloads", "-a", "-w", "--timeout=300ms", "-u", url]) == 0
