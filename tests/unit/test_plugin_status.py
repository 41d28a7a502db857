"""`status`: the verdict, the page for people, and the data for scripts; and what `version` says of skew."""

from __future__ import annotations

import json

import pytest
import yaml
from plugin_standins import ScriptedAgent, serving

from kubectl_flux import __version__
from kubectl_flux.health import Findings, problems
from kubectl_flux.main import main
from kubectl_flux.page import page
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.skew import skew

SEEN, OLD = "3f9a0c5" + "1" * 33, "0123456" + "2" * 33
NOW = 10_000.0
LATER = "image automation comes in a later release"


def healthy():
    """A status in which all is well."""
    found = pb.GetStatusResponse(revision_seen=SEEN, revision_applied=SEEN, revision_marked=SEEN)
    found.repository.CopyFrom(
        pb.Repository(url="ssh://git@example.com/acme/cluster", branch="master", paths=["apps", "infra"], ready=True)
    )
    found.seen_at.seconds = int(NOW) - 12
    found.last_sync.CopyFrom(pb.SyncSummary(revision=SEEN, objects=120, applied=3, unchanged=117))
    found.last_sync.started_at.seconds = int(NOW) - 300
    found.last_sync.duration.nanos = 250_000_000
    found.automation.reason = LATER
    return found


def findings(status=None, *pending):
    return Findings(status or healthy(), applied(*pending), "0.1.0", "0.1.0")


def applied(*pending):
    return pb.RevisionProgress(revision=SEEN, workloads=4, pending=pending)


def unhealthy():
    found = healthy()
    found.revision_applied = found.revision_marked = OLD
    found.marker_error = "held by what did not load: broken.yaml:1"
    found.failures.add(object="shop:configmap/a", path="a.yaml", line=3, reason="refused", commit=SEEN, author="Ann")
    found.pending_deletions.add(object="<cluster>:namespace/old", reason="Namespaces wait for approval")
    found.deletions_hash = "3f9a0c51b2d7"
    found.notices.append("docs.yaml:1: no manifest")
    return found


STUCK = pb.PendingRollout(
    workload="shop:deployment/web", status="error", rollout=pb.Rollout(desired=2, updated=1, messages=["no room"])
)
MISSING = pb.PendingRollout(workload="shop:deployment/api", status="missing")


def changed(**fields):
    found = healthy()
    for name, value in fields.items():
        if name in pb.Repository.DESCRIPTOR.fields_by_name:
            setattr(found.repository, name, value)
        else:
            setattr(found, name, value)
    return found


def with_error():
    found = healthy()
    found.last_sync.error = "no cluster"
    return found


@pytest.mark.parametrize(
    ("status", "pending", "wrong"),
    [
        (healthy(), [], []),
        (healthy(), [STUCK], ["1 workload is not ready"]),
        (healthy(), [STUCK, MISSING], ["2 workloads are not ready"]),
        (changed(url=""), [], ["no git repository is configured"]),
        (changed(error="key refused"), [], ["the repository cannot be used: key refused"]),
        (changed(ready=False), [], ["the repository cannot be used: it has not been fetched yet"]),
        (changed(not_ready="not listed"), [], ["the agent is not ready: not listed"]),
        (with_error(), [], ["the last sync was not done: no cluster"]),
        (
            unhealthy(),
            [],
            [
                "3f9a0c5 has been seen and is not applied yet",
                "one file or object failed",
                "1 deletion waits for approval",
                "the marker of what is synced does not move: held by what did not load: broken.yaml:1",
            ],
        ),
    ],
)
def test_the_verdict_names_everything_that_is_wrong(status, pending, wrong):
    assert problems(findings(status, *pending)) == wrong


HEALTHY = """\
Healthy: the cluster is as 3f9a0c5 of master says.
Repository   ssh://git@example.com/acme/cluster
             branch master, paths apps, infra
Revisions    seen    3f9a0c5, fetched 12s ago
             applied 3f9a0c5
             marked  3f9a0c5
Last sync    3f9a0c5, 5m ago, took 0.2 s: 120 objects, 3 applied, 117 unchanged
Workloads    4 of 4 in git are ready
Automation   off: image automation comes in a later release
Scanning     off
Versions     plugin 0.1.0, agent 0.1.0
"""

UNHEALTHY = """\
Not healthy:
- 3f9a0c5 has been seen and is not applied yet
- one file or object failed
- 1 deletion waits for approval
- the marker of what is synced does not move: held by what did not load: broken.yaml:1
- 1 workload is not ready
"""


def test_the_page_of_a_healthy_cluster():
    assert page(findings(), NOW) == HEALTHY


def test_the_page_says_what_is_wrong_and_what_to_do():
    text = page(findings(unhealthy(), STUCK), NOW)
    assert text.startswith(UNHEALTHY)
    for line in (
        "             applied 0123456, behind",
        "Failures     shop:configmap/a (a.yaml:3): refused (commit 3f9a0c5 by Ann)",
        "Deletions    To let them go: kubectl flux sync --allow-deletions 3f9a0c51b2d7",
        "             <cluster>:namespace/old: Namespaces wait for approval",
        "Workloads    3 of 4 in git are ready",
        "             shop:deployment/web: error, 1 of 2 updated, 0 available: no room",
        "Notes        docs.yaml:1: no manifest",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_page_fits_a_terminal_and_loses_nothing(columns):
    found = findings(unhealthy(), STUCK)
    text = page(found, NOW, columns)
    assert all(len(line) < columns or not line.strip().count(" ") for line in text.splitlines())
    assert text.split() == page(found, NOW).split()


def test_only_the_verdict_is_coloured():
    plain, painted = (page(findings(), NOW, colours=colours) for colours in (False, True))
    assert painted.replace("\x1b[32m", "").replace("\x1b[0m", "") == plain
    assert painted.count("\x1b") == 2
    assert "\x1b[31mNot healthy:\x1b[0m" in page(findings(unhealthy()), NOW, colours=True)


def test_many_failures_are_cut():
    found = healthy()
    for number in range(50):
        found.failures.add(object=f"shop:configmap/{number}", reason="refused")
    text = page(findings(found), NOW)
    assert "             and 30 more" in text.splitlines()


def serve(status, *pending):
    return ScriptedAgent(
        {
            "GetStatus": status,
            "GetRevision": pb.GetRevisionResponse(progress=applied(*pending)),
            "Version": pb.VersionResponse(version=__version__),
        }
    )


def test_the_exit_code_tells_the_verdict(capsys):
    agent = serve(healthy())
    with serving(agent) as url:
        assert main(["status", "-u", url]) == 0
    assert capsys.readouterr().err == ""
    assert {call.verb for call in agent.calls} == {"GET"}
    assert [call.message.ref for call in agent.calls if call.method == "GetRevision"] == [SEEN]
    with serving(serve(unhealthy(), STUCK)) as url:
        assert main(["status", "-u", url]) == 1
    assert capsys.readouterr().err == "Error: not healthy: 3f9a0c5 has been seen and is not applied yet, and 4 more\n"
    assert main(["status", "-u", "http://127.0.0.1:1"]) == 3
    assert main(["status", "-u", "http://127.0.0.1:1", "-o", "wide"]) == 2


def test_data_for_scripts(capsys):
    with serving(serve(unhealthy(), STUCK)) as url:
        main(["status", "-u", url, "-o", "json"])
        told = json.loads(capsys.readouterr().out)
        main(["status", "-u", url, "-o", "yaml"])
        assert yaml.safe_load(capsys.readouterr().out) == told
    assert (told["healthy"], len(told["problems"]), told["deletionsHash"]) == (False, 5, "3f9a0c51b2d7")
    assert told["repository"]["paths"] == ["apps", "infra"]
    assert told["revisions"] | {"markerError": ""} == {
        "seen": SEEN,
        "seenAt": "1970-01-01T02:46:28Z",
        "applied": OLD,
        "marked": OLD,
        "markerError": "",
    }
    assert (told["lastSync"]["seconds"], told["lastSync"]["unchanged"]) == (0.25, 117)
    assert told["workloads"]["notReady"][0]["rollout"]["messages"] == ["no room"]
    assert told["automation"] == {"enabled": False, "reason": LATER}


@pytest.mark.parametrize(
    ("plugin", "agent", "said"),
    [
        ("0.1.0", "0.1.9", ""),
        ("0.1.0", "v0.1.0", ""),
        ("0.1.0", "unknown", ""),
        ("0.2.0", "0.10.0", "update the plugin"),
        ("1.0.0", "0.9.0", "update the agent"),
    ],
)
def test_minor_versions_that_differ_are_told(plugin, agent, said):
    assert skew(plugin, agent).endswith(said)
    assert bool(skew(plugin, agent)) == bool(said)


def test_version_warns_of_skew_and_stdout_stays_one_line(capsys):
    with serving(ScriptedAgent({"Version": pb.VersionResponse(version="9.9.9")})) as url:
        assert main(["version", "-u", url]) == 0
    out, err = capsys.readouterr()
    assert out == f"{__version__}\n"
    assert err.splitlines() == [
        "Agent: 9.9.9",
        f"Warning: the plugin is of version {__version__} and the agent of 9.9.9: update the plugin",
    ]
