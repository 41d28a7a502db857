"""`list-images` prints what Flux v1 printed, byte for byte where it was recorded."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from plugin_standins import ConnectError, ScriptedAgent, serving

from kubectl_flux.errors import BusyError, TimedOutError
from kubectl_flux.image_list import built, name_of, render, tag_of
from kubectl_flux.main import main
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.wait import ANSWER_TIME, LONGEST_WAIT, Deadline, settled

GOLDEN = Path(__file__).parent / "plugin_golden"
HOST = "10.99.0.20:5000/acme"
DIGEST = "sha256:" + 64 * "0"


def at(month, day, hour=0):
    return int(datetime(2024, month, day, hour, tzinfo=UTC).timestamp())


VERSIONS = [f"1.{minor}.{patch}" for minor in range(3) for patch in range(5)]
REPOSITORIES = {
    f"{HOST}/shop": dict(reversed([(tag, at(n % 12 + 1, n + 1, 10)) for n, tag in enumerate(VERSIONS)])),
    f"{HOST}/side": {"latest": at(2, 1), "v2": at(2, 1), "v1": at(1, 1)},
    f"{HOST}/db": {"9bb1aa": at(3, 1), "master-1": at(2, 1), "a3f9c1": at(1, 1)},
    f"{HOST}/tool": {"1.1": at(3, 1), "1.0": at(1, 1)},
    "nginx": {},
}
"""The tags of the recordings' registry, newest first, and when they were built."""
FIRST = {
    "demo:daemonset/agent": {"agent": f"{HOST}/side"},
    "demo:deployment/byhand": {"nginx": "nginx:1.19"},
    "demo:deployment/shop": {"web": f"{HOST}/shop:1.1.4", "side": f"{HOST}/side:v2", "sha": f"{HOST}/db@{DIGEST}"},
    "demo:statefulset/db": {"db": f"{HOST}/db:a3f9c1"},
}
SECOND = {
    "demo:deployment/held": {"web": f"{HOST}/shop:1.0.3", "init": f"{HOST}/tool:1.0"},
    "demo:deployment/shop": {"web": f"{HOST}/shop:1.0.3", "init": f"{HOST}/tool:1.0"},
    "demo:helmrelease/web": {"chart-image": f"{HOST}/shop:1.1.0"},
}


def image(reference, created=0):
    made = pb.Image(id=reference)
    if created:
        made.created_at.seconds = created
    return made


def container(name, current, limit):
    repository, tag = name_of(current), tag_of(current)
    known = REPOSITORIES[repository]
    found = [image(f"{repository}:{each}", created) for each, created in known.items()]
    place = list(known).index(tag) + 1 if tag in known else 0
    return pb.ContainerImages(
        name=name,
        current=image(current, known.get(tag, 0)),
        available=found[: limit or None],
        available_count=len(found),
        current_place=place,
    )


def agent_with(workloads):
    """An agent that answers as ours does for these."""

    def answer(request):
        named = {id_: images for id_, images in workloads.items() if request.workload in ("", id_)}
        return pb.ListImagesResponse(
            workloads=[
                pb.WorkloadImages(id=id_, containers=[container(*pair, request.limit) for pair in images.items()])
                for id_, images in named.items()
            ]
        )

    return ScriptedAgent({"ListImages": answer})


@pytest.mark.parametrize(
    ("argv", "workloads", "golden"),
    [
        ("-n demo", FIRST, "all"),
        ("-n demo -w demo:deployment/shop --limit 2", FIRST, "limit-2"),
        ("-w demo:deployment/shop --limit 0", FIRST, "limit-0"),
        ("-w demo:deployment/shop --limit -1", FIRST, "limit-0"),
        ("-n demo -w statefulset/db", FIRST, "db"),
        ("-w demo:deployment/nope", FIRST, "unknown"),
        ("-n demo -l 3", SECOND, "limit-3"),
        ("-a -l 3 -o table", SECOND, "limit-3"),
    ],
)
def test_the_table_equals_the_recording(argv, workloads, golden, capfdbinary):
    agent = agent_with(workloads)
    with serving(agent) as url:
        assert main(["list-images", *argv.split(), "--url", url]) == 0
    out, err = capfdbinary.readouterr()
    assert out == (GOLDEN / f"list-images-{golden}.txt").read_bytes()
    assert err == b""
    (call,) = agent.calls
    assert (call.verb, call.method) == ("GET", "ListImages")


def full(tag, digest, image_id, created, fetched, repository="shop"):
    made = pb.Image(id=f"{HOST}/{repository}:{tag}", digest=f"sha256:{digest}", image_id=f"sha256:{image_id}")
    made.created_at.FromJsonString(created)
    made.last_fetched.FromJsonString(fetched)
    return made


def recorded():
    """The workload of the recording in JSON, as the agent sends it."""
    told = json.loads((GOLDEN / "list-images-shop.json").read_text())[0]

    def as_image(data):
        _, _, name = data["ID"].rpartition("/")
        digests = (data[key].removeprefix("sha256:") for key in ("Digest", "ImageID"))
        repository, tag = name.split(":")
        return full(tag, *digests, data["CreatedAt"], data["LastFetched"], repository)

    return pb.WorkloadImages(
        id=told["ID"],
        containers=[
            pb.ContainerImages(
                name=each["Name"],
                current=as_image(each["Current"]),
                latest_filtered=as_image(each["LatestFiltered"]),
                available=map(as_image, each["Available"]),
                available_count=each["AvailableImagesCount"],
                new_available_count=each["NewAvailableImagesCount"],
                filtered_count=each["FilteredImagesCount"],
                new_filtered_count=each["NewFilteredImagesCount"],
                current_place=each["NewAvailableImagesCount"] + 1,
            )
            for each in told["Containers"]
        ],
    )


def test_json_equals_the_recording():
    assert render([recorded()], "json", headers=True) == (GOLDEN / "list-images-shop.json").read_text()


def test_what_is_empty_is_left_out_of_json_as_in_v1():
    made = pb.ContainerImages(name="web", current=pb.Image(id="a/b:1"), available_error="denied")
    told = json.loads(render([pb.WorkloadImages(id="demo:deployment/a", containers=[made])], "json", headers=True))
    assert told[0]["Containers"] == [
        {
            "Name": "web",
            "Current": {"ID": "a/b:1", "Labels": {}},
            "LatestFiltered": {"ID": "", "Labels": {}},
            "AvailableError": "denied",
        }
    ]


def failing():
    """A container of which one image could not be looked at and the running one is not the newest."""
    broken = pb.Image(id="a/b:2", error="the registry\nanswered 500")
    fine = image("a/b:1", at(1, 2))
    fine.digest, fine.labels["org.opencontainers.image.created"] = DIGEST, "2024-01-02"
    made = pb.ContainerImages(name="web", current=fine, available=[broken, fine], current_place=2)
    return pb.WorkloadImages(id="demo:deployment/a", containers=[made])


def test_an_images_error_is_in_wide_and_data_and_not_in_v1s_table():
    assert "500" not in render([failing()], "tab", headers=True)
    wide = render([failing()], "wide", headers=True).splitlines()
    assert wide[0].split() == ["WORKLOAD", "CONTAINER", "IMAGE", "CREATED", "DIGEST", "ERROR"]
    assert wide[2].split() == ["|", "2", "the", "registry", "answered", "500"]
    assert wide[3].split() == ["'->", "1", "02", "Jan", "24", "00:00", "UTC", DIGEST]
    available = yaml.safe_load(render([failing()], "yaml", headers=True))[0]["Containers"][0]["Available"]
    assert available[0] == {"ID": "a/b:2", "Labels": {}, "Error": "the registry\nanswered 500"}
    assert available[1]["Labels"] == {"org.opencontainers.image.created": "2024-01-02"}


def test_names_are_the_images_each_once():
    assert render([failing(), failing()], "name", headers=True) == "a/b:2\na/b:1\n"


def test_a_workload_without_containers_has_one_row():
    rows = render([pb.WorkloadImages(id="demo:deployment/a")], "tab", headers=False)
    assert rows == "demo:deployment/a      \n"


@pytest.mark.parametrize(
    ("reference", "name", "tag"),
    [
        ("nginx", "nginx", ""),
        ("localhost:5000/a/b", "localhost:5000/a/b", ""),
        (f"h:1/a:v1@{DIGEST}", "h:1/a", "v1"),
        (f"a/b@{DIGEST}", "a/b", ""),
    ],
)
def test_references_are_taken_apart(reference, name, tag):
    assert (name_of(reference), tag_of(reference)) == (name, tag)


def test_times_are_told_in_english_and_utc():
    assert [built(image("a:1", at(month, 1, 23))) for month in (3, 5, 12)] == [
        "01 Mar 24 23:00 UTC",
        "01 May 24 23:00 UTC",
        "01 Dec 24 23:00 UTC",
    ]
    assert built(pb.Image(id="a:1")) == ""


def test_pages_are_read_to_the_last_and_what_is_hidden_is_told(capsys):
    def page(request):
        following = {"": "2", "2": ""}[request.page_token]
        made = pb.WorkloadImages(id=f"demo:deployment/{following or 'last'}")
        return pb.ListImagesResponse(workloads=[made], next_page_token=following, restricted=not following)

    agent = ScriptedAgent({"ListImages": page})
    with serving(agent) as url:
        assert main(["list-images", "-a", "--no-headers", "-u", url]) == 0
    out, err = capsys.readouterr()
    assert out.split() == ["demo:deployment/2", "demo:deployment/last"]
    assert err == "Note: images of namespaces that you may not see are left out\n"
    assert [call.message.page_size for call in agent.calls] == [1000, 1000]


@pytest.mark.parametrize(("argv", "seconds"), [("-a", 0), ("-n demo", 10), ("-w demo:deployment/shop", 25)])
def test_the_agent_is_given_time_to_find_out(argv, seconds, capsys):
    agent = agent_with(FIRST)
    with serving(agent) as url:
        assert main(["list-images", *argv.split(), "-u", url]) == 0
    assert [call.message.wait.seconds for call in agent.calls] == [seconds]


def test_an_agent_without_room_for_waiters_is_asked_without_waiting(capsys):
    def answer(request):
        if request.wait.seconds:
            raise ConnectError("resource_exhausted", "too many wait", 429)
        return pb.ListImagesResponse()

    with serving(ScriptedAgent({"ListImages": answer})) as url:
        assert main(["list-images", "-w", "demo:deployment/shop", "-u", url]) == 0
    assert capsys.readouterr() == ("WORKLOAD  CONTAINER  IMAGE  CREATED\n", "")


class Asked:
    """Answers in turn, each after its seconds by a clock of its own; an answer may be an error."""

    def __init__(self, *answers):
        self.answers, self.now, self.waits = list(answers), 0.0, []

    def __call__(self, wait):
        self.waits.append(wait)
        answer, seconds = self.answers.pop(0)
        self.now += seconds
        if isinstance(answer, Exception):
            raise answer
        return answer

    def settled(self, timeout=60.0, within=None):
        clock = lambda: self.now  # noqa: E731
        return settled(self, Deadline(timeout, clock), within=within, clock=clock)


@pytest.mark.parametrize(
    ("answers", "more", "found", "waits"),
    [
        ([("all", 3)], {}, "all", [25]),
        ([("some", 25), ("all", 2)], {}, "all", [25, 25]),
        ([("some", 25), ("some", 25)], {}, "some", [25, 25]),
        ([("some", 25), ("more", 25), ("most", 8)], {}, "most", [25, 25, 8]),
        ([("some", 25), ("more", 40)], {}, "more", [25, 25]),
        ([("some", 10)], {"within": 10.0}, "some", [10]),
        ([("now", 0)], {"timeout": ANSWER_TIME}, "now", [0]),
        ([(BusyError("no room"), 0), ("now", 0)], {}, "now", [25, 0]),
        ([("some", 25), (TimedOutError("over"), 0)], {}, "some", [25, 25]),
    ],
)
def test_answers_are_waited_for_until_they_stay_the_same_or_the_time_is_over(answers, more, found, waits):
    asked = Asked(*answers)
    assert asked.settled(**more) == found
    assert asked.waits == waits
    assert asked.waits[0] <= LONGEST_WAIT
