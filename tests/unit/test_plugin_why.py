"""`why`: the page for people, the data for scripts, and what is asked of the agent."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import yaml
from plugin_standins import ConnectError, ScriptedAgent, serving

from kubectl_flux.explanation import as_data, asked_about, obstacles, verdict
from kubectl_flux.main import main
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.why_page import page

NOW = 1_700_000_000.0
NAME = "registry.example.com/acme/shop"


def on():
    return pb.Feature(enabled=True)


def web(**more):
    """A container that could run 1.1.6 and runs 1.1.4."""
    made = pb.ContainerExplanation(
        name="web",
        current=pb.Image(id=f"{NAME}:1.1.4"),
        pattern="semver:~1.1",
        order="version",
        picked=pb.Image(id=f"{NAME}:1.1.6", digest="sha256:1"),
        update=True,
        reason="1.1.6 is the newest that fits semver:~1.1",
        rejected=[
            pb.RejectedImage(tag="2.0.0", reason="it does not fit semver:~1.1"),
            pb.RejectedImage(tag="latest", reason="latest names no version"),
            pb.RejectedImage(tag="1.2.0", reason="it does not fit semver:~1.1"),
        ],
        rejected_count=24,
        scan=pb.RepositoryScan(name=NAME, tags=30, known=2, credential="Secret demo/regcred", rate=50.0),
    )
    made.picked.created_at.FromDatetime(datetime(2024, 10, 10, 10, tzinfo=UTC))
    made.scan.scanned_at.seconds = int(NOW) - 150
    made.scan.next_scan_at.seconds = int(NOW) + 150
    made.MergeFrom(pb.ContainerExplanation(**more))
    return made


def told(*containers, automation=None, read_only="", **policies):
    return pb.ExplainResponse(
        workload="demo:deployment/shop",
        policies={"automated": "true"} | policies,
        automation=automation or on(),
        read_only=read_only,
        containers=containers or [web()],
    )


def test_the_page_tells_what_is_picked_and_what_that_rests_on():
    asked = web(asked=pb.RejectedImage(tag="1.2.0", reason="it does not fit semver:~1.1"))
    assert page(told(asked), "1.2.0", NOW).splitlines() == [
        "Workload     demo:deployment/shop",
        "Policies     automated",
        "Automation   on",
        "",
        "Container    web",
        "Verdict      will be updated by itself: 1.1.6 is the newest that fits semver:~1.1",
        f"Runs         {NAME}:1.1.4",
        "Filter       semver:~1.1; newest by version",
        "Picks        1.1.6, built 10 Oct 24 10:00 UTC",
        "Kept out     24 tags",
        "             2.0.0, 1.2.0: it does not fit semver:~1.1",
        "             latest: latest names no version",
        "             and 21 more",
        "Asked        1.2.0: it does not fit semver:~1.1",
        f"Repository   {NAME}",
        "             30 tags, 2 looked at; tags listed 2m ago, again in 2m",
        "             asked with Secret demo/regcred",
        "             50 requests a second at most",
    ]


def test_a_narrow_terminal_gets_titles_on_lines_of_their_own():
    lines = page(told(), "", NOW, 40).splitlines()
    at = lines.index("Verdict")
    assert lines[at + 1 : at + 3] == ["  will be updated by itself: 1.1.6 is", "    the newest that fits semver:~1.1"]
    assert all(len(line) < 40 for line in lines if NAME not in line)


@pytest.mark.parametrize(
    ("explained", "reasons"),
    [
        (told(), []),
        (told(automated="false"), ["it is not automated"]),
        (told(locked="true"), ["it is locked"]),
        (
            told(locked="true", locked_user="Ann <ann@example.com>", locked_msg="do\nnot touch"),
            ["it is locked by Ann <ann@example.com>: do not touch"],
        ),
        (told(ignore="true", read_only="NotInRepo"), ["it is not in git", "it is ignored"]),
        (told(ignore="sync_only"), []),
        (told(read_only="SomethingNew"), ["SomethingNew"]),
        (told(automation=pb.Feature(reason="--git-readonly")), ["automation is off: --git-readonly"]),
    ],
)
def test_what_holds_an_update_back_is_told(explained, reasons):
    assert obstacles(explained) == reasons
    lines = page(explained, "", NOW)
    assert ("could be updated: 1.1.6" in lines) == bool(reasons)
    assert f"not done by itself: {'; '.join(reasons)}\n" in lines or not reasons
    assert as_data(explained)["heldBy"] == reasons


@pytest.mark.parametrize(
    ("mark", "told_of"),
    [
        (f"{NAME}:1.1.6", "1.1.6 was taken back (commit 0123456)"),
        (f"{NAME}:1.1.6@sha256:1", "1.1.6 was taken back (commit 0123456)"),
        (f"{NAME}@sha256:1", "sha256:1 was taken back (commit 0123456)"),
        (f"{NAME}:1.1.7", "1.1.7 was taken back (commit 0123456)"),
        ("", ""),
    ],
)
def test_what_was_taken_back_is_not_promised_nor_what_is_older(mark, told_of):
    container = web(taken_back=mark, taken_back_by="0123456789" * 4)
    lines = page(told(container), "", NOW)
    assert (f"not done by itself: {told_of}, which kubectl flux automate --accept lifts\n" in lines) == bool(told_of)
    assert ("will be updated by itself: 1.1.6" in lines) == (not told_of)
    assert as_data(told(container))["containers"][0]["takenBack"] == mark


def test_a_container_without_a_tag_needs_a_filter_to_follow():
    untagged = web(current=pb.Image(id=NAME), pattern="glob:*")
    assert "not done by itself: it names no tag, and no filter says which to follow\n" in page(told(untagged), "", NOW)
    assert "will be updated by itself" in page(told(untagged, **{"tag.web": "glob:*"}), "", NOW)


def unread(error="", *, scanned=False):
    made = pb.ContainerExplanation(reason="no tag fits glob:*", scan=pb.RepositoryScan(name=NAME, error=error))
    if scanned:
        made.scan.scanned_at.seconds = 1
    return made


@pytest.mark.parametrize(
    ("container", "sentence"),
    [
        (unread("401\nUnauthorized"), "nothing is known of its tags: 401 Unauthorized"),
        (unread(), "its registry has not been asked yet"),
        (unread(scanned=True), "its registry has no tags of it"),
        (pb.ContainerExplanation(reason="registries are not scanned"), "registries are not scanned"),
    ],
)
def test_what_stays_says_why(container, sentence):
    assert list(verdict(container, ["it is locked"])) == [f"stays as it is: {sentence}"]


def test_a_repository_in_trouble_says_so():
    made = web(scan=pb.RepositoryScan(error="the host\nanswered 429"))
    made.scan.paused_for.FromMilliseconds(29_100)
    made.scan.next_scan_at.seconds = int(NOW) - 1
    made.scan.credential = ""
    assert page(told(made), "", NOW).splitlines()[-5:] == [
        f"Repository   {NAME}",
        "             not scanned: the host answered 429",
        "             30 tags, 2 looked at; tags listed 2m ago, again now",
        "             asked without a credential",
        "             50 requests a second at most; paused for 30s, as the host asked",
    ]


def test_what_is_not_scanned_at_all_has_no_figures():
    made = pb.ContainerExplanation(name="web", scan=pb.RepositoryScan(name=NAME, error="excluded by --x", rate=50))
    assert page(told(made), "", NOW).splitlines()[-2:] == [
        f"Repository   {NAME}",
        "             not scanned: excluded by --x",
    ]


def test_a_filter_that_cannot_be_used_and_none_are_told():
    broken = web(pattern_error='invalid tag pattern: "semver:x"')
    assert 'Filter       cannot be used: invalid tag pattern: "semver:x"' in page(told(broken), "", NOW)
    none = web(pattern="glob:*", order="build time", by_label=True)
    shown = "Filter       none, so every tag but latest fits; newest by build time, read from labels"
    assert shown in page(told(none), "", NOW)


@pytest.mark.parametrize(
    ("image", "answered"),
    [("1.2.0", True), (f"{NAME}:1.2.0", True), ("acme/other:1.2.0", False), ("shop:1.2.0", False)],
)
def test_another_containers_image_is_not_judged(image, answered):
    made = web(asked=pb.RejectedImage(tag="1.2.0", reason="too new"))
    assert (asked_about(made, image) is not None) == answered
    assert (as_data(told(made), image)["containers"][0]["asked"] is not None) == answered
    line = "1.2.0: too new" if answered else f"{image}: this container runs another image"
    assert f"Asked        {line}\n" in page(told(made), image, NOW)


def test_docker_hubs_names_are_one():
    made = web(asked=pb.RejectedImage(tag="1"))
    made.current.id = "docker.io/library/nginx:2"
    assert asked_about(made, "nginx:1") == made.asked
    assert "Asked        1: it is the one that the filter picks\n" in page(told(made), "nginx:1", NOW)


@pytest.mark.parametrize(
    ("explained", "colour"),
    [(told(), 32), (told(locked="true"), 33), (told(web(scan=pb.RepositoryScan(error="broken"))), 31)],
)
def test_the_verdict_has_a_colour_on_a_terminal(explained, colour):
    plain, painted = page(explained, "", NOW), page(explained, "", NOW, colours=True)
    assert f"\x1b[{colour}mVerdict" in painted
    assert painted.replace(f"\x1b[{colour}m", "").replace("\x1b[0m", "") == plain


def run(answer, *argv):
    agent = ScriptedAgent({"Explain": answer})
    with serving(agent) as url:
        code = main(["why", *argv, "-u", url])
    return code, [call.message for call in agent.calls]


def test_data_is_the_same_in_json_and_yaml(capsys):
    code, (request,) = run(told(), "demo:Deployment/shop", "-c", "web", "--image=1.2.0", "-o", "json")
    assert (code, request.workload, request.container, request.image) == (0, "demo:deployment/shop", "web", "1.2.0")
    assert request.wait.seconds == 25
    found = json.loads(capsys.readouterr().out)
    assert run(told(), "demo:deployment/shop", "-o", "yaml")[0] == 0
    assert yaml.safe_load(capsys.readouterr().out) == found
    (container,) = found["containers"]
    assert container["picked"] == {
        "id": f"{NAME}:1.1.6",
        "digest": "sha256:1",
        "imageId": "",
        "createdAt": "2024-10-10T10:00:00Z",
        "lastFetched": "",
        "error": "",
    }
    assert container["scan"]["scannedAt"] == "2023-11-14T22:10:50Z"
    assert container["rejected"][1] == {"tag": "latest", "reason": "latest names no version"}


def test_a_workload_that_is_not_there_is_an_error_with_a_hint(capsys):
    sentence = "the cluster has no workload demo:deployment/nope (see: kubectl flux list-workloads -a)"
    code, _ = run(ConnectError("not_found", sentence, 404), "deployment/nope", "-n", "demo")
    assert (code, capsys.readouterr()) == (1, ("", f"Error: {sentence}\n"))


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        ([], "please name one workload"),
        (["a/b", "a/c"], "please name one workload"),
        (["nonsense"], "parsing nonsense: invalid service ID"),
        (["a/b", "-o", "wide"], "invalid output format specified"),
        (["a/b", "-i", "localhost:5000/acme/shop"], "localhost:5000/acme/shop names no tag"),
        (["a/b", "-i", "acme/shop@sha256:00"], "acme/shop@sha256:00 names no tag"),
    ],
)
def test_wrong_usage_asks_nobody(argv, error, capsys):
    assert main(["why", *argv, "-u", "http://127.0.0.1:1"]) == 2
    assert capsys.readouterr().err.startswith(f"Error: {error}\n")
