"""Commit messages and notes, against those that Flux v1 wrote."""

import json

import pytest
from release_standins import policy_update

from agent.model.access import Visible
from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.updates import (
    NO_IMAGE,
    AutomaticSpec,
    Cause,
    ContainerChange,
    ContainersSpec,
    Outcome,
    PoliciesSpec,
    ReleaseSpec,
)
from agent.releases.messages import commit_message
from agent.releases.notes import Note, read_note, write_note

HOST = "10.99.0.20:5000"
SHOP, DB = WorkloadId.parse("demo:deployment/shop"), WorkloadId.parse("demo:statefulset/db")
DONE = {SHOP: Outcome("success"), DB: Outcome("success")}
BOB = Cause("Bob <bob@example.com>", "why not")


def change(container, current, target):
    return ContainerChange(container, Reference.parse(current), Reference.parse(target))


def policies(id_, **asked):
    return PoliciesSpec({id_: policy_update(BOB, **asked)})


def automatic(*images):
    return AutomaticSpec({SHOP: tuple(change("c", "a:0", image) for image in images)})


@pytest.mark.parametrize(
    ("spec", "message", "expected"),
    [
        (ReleaseSpec(), "", "Release all latest to all"),
        (
            ReleaseSpec((SHOP,), image=Reference.parse(f"{HOST}/acme/shop:1.2.4")),
            "",
            f"Release {HOST}/acme/shop:1.2.4 to demo:deployment/shop",
        ),
        (ReleaseSpec((SHOP, DB)), "", "Release all latest to demo:deployment/shop, demo:statefulset/db"),
        (ReleaseSpec((SHOP,)), "message of mine", "message of mine"),
        (automatic(f"{HOST}/acme/db:9bb1aa"), "", f"Auto-release {HOST}/acme/db:9bb1aa"),
        (automatic("b:2", "a:1", "b:2"), "", "Auto-release multiple (2) images\n\n - a:1\n - b:2"),
        (
            automatic(*(f"a:{number:02}" for number in range(11))),
            "",
            "Auto-release multiple (11) images\n\n" + "\n".join(f" - a:{number:02}" for number in range(10)) + "\n ...",
        ),
        (policies(DB, automated=True), "", "Automated: demo:statefulset/db"),
        (policies(SHOP, automated=False), "", "Deautomated: demo:deployment/shop"),
        (policies(SHOP, tag_all="semver:*"), "", "Updated policies: demo:deployment/shop"),
        (
            policies(DB, locked=False),
            "",
            "Updated workload policies\n\n- Unlocked: demo:statefulset/db\n- Updated policies: demo:statefulset/db",
        ),
        (
            policies(DB, locked=True),
            "why not",
            "why not\n\n- Locked: demo:statefulset/db\n- Updated policies: demo:statefulset/db",
        ),
        (
            policies(SHOP, tags={"web": "1.*", "init": "semver:*"}),
            "two filters",
            "two filters\n\n- Updated policies: demo:deployment/shop",
        ),
    ],
)
def test_messages_are_v1s(spec, message, expected):
    assert commit_message(spec, DONE, message) == expected


def test_the_message_of_picked_changes_lists_them_and_what_failed():
    outcomes = {
        DB: Outcome("success", changes=(change("db", "b:1", "b:2"),)),
        SHOP: Outcome("success", changes=(change("web", "a:1", "a:2"), change("side", "c:1", "c:2"))),
        WorkloadId.parse("demo:deployment/x"): Outcome("failed", "container(s) not found: y"),
    }
    assert commit_message(ContainersSpec(), outcomes) == (
        "Update image refs in demo:deployment/shop, demo:statefulset/db\n\n"
        "demo:deployment/shop\n- a:2\n- c:2\n\n"
        "demo:statefulset/db\n- b:2\n\n"
        "demo:deployment/x failed: container(s) not found: y"
    )


def test_a_message_names_only_what_was_changed():
    update = policy_update(BOB, automated=True)
    spec = PoliciesSpec({SHOP: update, DB: update})
    assert commit_message(spec, {**DONE, DB: Outcome("skipped", "no changes")}) == "Automated: demo:deployment/shop"


RECORDED = (
    '{"jobID":"18c93d7b-8196-9722-c476-7415b7fed523","spec":{"type":"image","cause":{"Message":"message of mine",'
    '"User":"Ann \\u003cann@example.com\\u003e"},"spec":{"ServiceSpecs":["demo:deployment/shop"],'
    '"ImageSpec":"\\u003call latest\\u003e","Kind":"execute","Excludes":null,"Force":true}},"result":{'
    '"demo:cronjob/nightly":{"Status":"ignored","Error":"not included","PerContainer":null},'
    '"demo:daemonset/agent":{"Status":"ignored","Error":"not included","PerContainer":null},'
    '"demo:deployment/shop":{"Status":"success","PerContainer":[{"Container":"web",'
    '"Current":"10.99.0.20:5000/acme/shop:1.1.4","Target":"10.99.0.20:5000/acme/shop:1.2.4"}]},'
    '"demo:statefulset/db":{"Status":"ignored","Error":"not included","PerContainer":null}}}'
)


def test_the_recorded_note_is_read_and_written_again():
    note = read_note(RECORDED)
    assert note.spec == ReleaseSpec((SHOP,), force=True)
    assert note.cause == Cause("Ann <ann@example.com>", "message of mine")
    assert note.outcomes[SHOP].changes == (change("web", f"{HOST}/acme/shop:1.1.4", f"{HOST}/acme/shop:1.2.4"),)
    assert write_note(note) == RECORDED


@pytest.mark.parametrize(
    "spec",
    [
        ReleaseSpec(),
        ReleaseSpec(excludes=(DB,), image=Reference.parse("a:1"), within=Visible(False, frozenset({"demo"}))),
        ContainersSpec({SHOP: (ContainerChange("web", NO_IMAGE, Reference.parse("a:2")),)}, skip_mismatches=True),
        automatic("a:1", "a:2"),
        PoliciesSpec({SHOP: policy_update(BOB, locked=True, tag_all="1.*"), DB: policy_update(BOB, automated=False)}),
    ],
)
def test_every_note_is_read_as_it_was_written(spec):
    outcomes = {} if isinstance(spec, PoliciesSpec) else {SHOP: Outcome("success", "", (change("web", "a:1", "a:2"),))}
    note = Note("job", spec, Cause("Ann & <a@b>", "line\nläuft\u2028"), outcomes)
    text = write_note(note)
    assert read_note(text) == note
    assert not set("<>&\u2028") & set(text)


def test_notes_of_policies_have_v1s_shape():
    text = write_note(Note("job", policies(SHOP, automated=False, tag_all="1.*"), Cause(), DONE))
    assert json.loads(text) == {
        "jobID": "job",
        "spec": {
            "type": "policy",
            "cause": {"Message": "", "User": ""},
            "spec": {"demo:deployment/shop": {"add": {"tag_all": "glob:1.*"}, "remove": {"automated": "true"}}},
        },
        "result": None,
    }


def test_an_image_that_v1_wrote_empty_is_kept():
    text = RECORDED.replace("10.99.0.20:5000/acme/shop:1.2.4", "")
    assert write_note(read_note(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "somebody else's", "[]", "{}", '{"spec": 1}', '{"jobID":"x","spec":{"type":"sync","cause":{},"spec":{}}}']
    + [RECORDED.replace(old, new) for old, new in [('["demo:deployment/shop"]', "7"), ("demo:cronjob/", "::")]]
    + ["[" * 100_000],
)
def test_other_peoples_notes_are_none_of_ours(text):
    assert read_note(text) is None
