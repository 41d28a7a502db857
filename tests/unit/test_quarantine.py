"""Images that people took back: the marks that the history gives, what they keep out, and how automation ends."""

import pytest
from change_standins import Bench, automated, ids, statuses
from git_remote import git
from hypothesis import given
from hypothesis import strategies as st
from release_standins import Shelf, built, defined, digest, running

from agent.git.records import Record
from agent.model.images import Reference
from agent.model.status import Mark
from agent.model.updates import ContainerChange
from agent.releases import perform
from agent.releases.calculate import automate
from agent.releases.quarantine import Memory, is_rollback, marks, rejected, remembered

SHOP = next(ids("shop"))
KEY = (SHOP, "web")
VERSIONS = built("1.0.0", "1.1.0", "1.2.0", "1.3.0")


def auto(new, commit="a", old="a:0.1.0"):
    return Record(commit, (("Flux-Kind", "automation"), ("Flux-Updated", f"{SHOP} web {old} {new}")), 10.0)


def release(new, *more, commit="r"):
    return Record(commit, (("Flux-Kind", "release"), ("Flux-Updated", f"{SHOP} web a:0.1.0 {new}"), *more), 20.0)


def back(new, mark):
    return release(new, ("Flux-Rejected", f"{SHOP} web {mark}"), commit="b")


ACCEPT = Record("c", (("Flux-Kind", "policies"), ("Flux-Accepted", str(SHOP))))


@pytest.mark.parametrize(
    ("records", "image", "mark", "by_hand"),
    [
        ((), "a:1.0.0", "", False),
        ((auto("a:1.1.0"),), "a:1.1.0", "", False),
        ((auto("a:1.1.0"),), "a:1.0.0", "a:1.1.0", True),
        ((auto("a:1.1.0"),), "a:1.2.0", "", False),
        ((auto("a:1.1.0", old="a:2.0.0"),), "a:2.0.0", "a:1.1.0", True),
        ((auto("a:1.1.0"),), "other:1.0.0", "", False),
        ((auto("a:1.1.0"),), f"a:1.1.0@{digest(2)}", "", False),
        ((auto(f"a:main@{digest(2)}"),), f"a:main@{digest(1)}", f"a:main@{digest(2)}", True),
        ((auto("a:b2"),), "a:b1", "a:b2", True),
        ((auto("a:1.1.0"), release("a:1.0.0")), "a:1.0.0", "", False),
        ((auto("a:1.1.0"), back("a:1.0.0", "a:1.1.0")), "a:1.0.0", "a:1.1.0", False),
        ((back("a:1.0.0", "a:1.1.0"), release("a:1.1.0")), "a:1.1.0", "", False),
        ((back("a:1.0.0", "a:1.1.0"), release("a:0.9.0")), "a:0.9.0", "a:1.1.0", False),
        ((back("a:1.0.0", "a:1.1.0"), auto("a:1.2.0")), "a:1.2.0", "", False),
        ((back("a:1.0.0", "a:1.1.0"),), "a:1.1.0", "", False),
        ((back("a:1.0.0", "a:1.1.0"),), "a:2.0.0", "a:1.1.0", False),
        ((back("a:1.0.0", "a:1.1.0"),), "other:1.0.0", "", False),
        ((back("a:1.0.0", "a:1.1.0"), ACCEPT), "a:1.0.0", "", False),
        ((auto("a:1.1.0"), ACCEPT), "a:1.0.0", "", False),
        ((back("a:1.0.0", "a:1.1.0"), release("a:1.1.0"), back("a:1.0.0", "a:1.1.0")), "a:1.0.0", "a:1.1.0", False),
        ((back("a:1.0.0", "NOT AN IMAGE"),), "a:1.0.0", "", False),
        ((Record("x", (("Flux-Updated", "x"), ("Flux-Rejected", "no such thing"))),), "a:1.0.0", "", False),
    ],
)
def test_the_history_gives_the_marks(records, image, mark, by_hand):
    found = marks(remembered(Memory(), records), [defined(str(SHOP), f"web={image}")])
    assert {key: (each.image, each.by_hand) for key, each in found.items()} == ({KEY: (mark, by_hand)} if mark else {})


def test_what_is_remembered_goes_on_commit_by_commit():
    records = [auto("a:1.1.0"), back("a:1.0.0", "a:1.1.0"), auto("a:1.3.0"), ACCEPT, back("a:1.0.0", "a:1.3.0")]
    memory = Memory()
    for record in records:
        memory = remembered(memory, [record])
    assert memory == remembered(Memory(), records)
    assert memory.rejected == {(str(SHOP), "web"): Mark("a:1.3.0", "b", at=20.0)}


@pytest.mark.parametrize(
    ("image", "pattern", "mark", "kept"),
    [
        ("a:1.0.0", "semver:*", Mark("a:1.1.0", "c"), {"1.1.0", "1.0.0"}),
        ("a:1.0.0", "semver:*", Mark("a:1.1.5", "c"), {"1.1.5", "1.1.0", "1.0.0"}),
        (f"a:1.0.0@{digest(1)}", "semver:*", Mark(f"a:1.1.0@{digest(2)}", "c"), {digest(2), "1.0.0"}),
        ("a:1.0.0", "semver:*", Mark(f"a:1.1.0@{digest(2)}", "c"), {"1.1.0", "1.0.0"}),
        (f"a@{digest(1)}", "glob:*", Mark(f"a@{digest(2)}", "c"), {digest(2), "1.0.0"}),
        ("a:1.0.0", "glob:*", Mark("a:1.1.0", "c"), {"1.1.0", "1.0.0"}),
        ("a:1.0.0", "glob:*", Mark("a:gone", "c", at=2.5), {"gone", "1.1.0", "1.0.0"}),
        ("a:1.0.0", "semver:no", Mark("a:1.1.0", "c"), set()),
    ],
)
def test_a_mark_keeps_out_its_image_and_what_is_older(image, pattern, mark, kept):
    definition = defined(str(SHOP), f"web={image}", tag__web=pattern)
    found = rejected({KEY: mark}, [definition], Shelf({"a": VERSIONS}))
    assert found.get(KEY, frozenset()) == kept


def test_where_the_marked_image_was_not_looked_at_yet_nothing_is_newer_for_sure():
    """After a restart the images are looked at one after the other."""
    library = Shelf({"a": {**VERSIONS, "1.2.0": ("", None)}})
    definition = defined(str(SHOP), "web=a:1.0.0", tag__web="glob:*")
    assert rejected({KEY: Mark("a:1.2.0", "c")}, [definition], library)[KEY] == frozenset(VERSIONS)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("a:1.2.0", "a:1.1.0", True),
        ("a:1.1.0", "a:1.2.0", False),
        ("a:1.1.0", "a:gone", True),
        ("a:1.9.0", "a:1.2.0", True),
        ("a:0.9.0", "a:1.2.0", False),
        ("a:odd", "a:1.2.0", False),
    ],
)
def test_what_is_a_rollback(before, after, expected):
    images = Shelf({"a": VERSIONS}).ordered(Reference.parse("a"), "version")
    assert is_rollback(ContainerChange("web", Reference.parse(before), Reference.parse(after)), images) is expected


TAGS = st.lists(st.from_regex(r"[0-2]\.[0-2]\.[0-2]", fullmatch=True), min_size=1, max_size=8, unique=True)
FORMS = st.sampled_from(["a:{0}", f"a:{{0}}@{digest(2)}", f"a:{{0}}@{digest(99)}"])


@given(TAGS, TAGS, st.sampled_from(["semver:*", "semver:~1", "glob:1.*", ""]), FORMS, st.data())
def test_following_automation_ends_whatever_is_marked(tags, others, pattern, form, data):
    """Also where each step is undone by hand: at the latest when all is marked."""
    library, image, memory = Shelf({"a": built(*tags)}), form.format(others[0]), Memory()
    for _ in range(3 * len(tags) + 3):
        definition = defined(str(SHOP), f"web={image}", automated="true", **({"tag__web": pattern} if pattern else {}))
        found = marks(memory, [definition])
        plan = automate([definition], running(definition), library, rejected(found, [definition], library))
        if not plan.images:
            return
        written = plan.images[0].image
        memory = remembered(memory, [auto(written, old=image)])
        taken_back = data.draw(st.booleans())
        if taken_back:
            kept = rejected(marks(memory, [definition]), [definition], library).get(KEY, frozenset())
            after = Reference.parse(written)
            if KEY in marks(memory, [definition]):
                assert after.tag in kept or after.digest in kept
        image = image if taken_back else written
    raise AssertionError("automation does not come to an end")


# --- in git ----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(perform, "PAUSE", 0.0)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path, {"acme/shop": built("1.0.0", "1.1.0", "1.2.0")})
    bench.write({"shop.yaml": automated("shop")}, "first")
    bench.follow()
    assert bench.log() == ["Auto-release acme/shop:1.2.0", "first"]
    return bench


def marked(bench):
    return {key[0].name: each.image for key, each in bench.performer.marks(bench.fetch()).items()}


def test_an_older_image_that_somebody_releases_stays_also_for_a_fresh_agent(bench):
    bench.release("shop", image="acme/shop:1.0.0")
    assert bench.trailers()[-1] == ("Flux-Rejected", "demo:deployment/shop web acme/shop:1.2.0")
    assert bench.follow() == []
    bench.restart("another")
    assert bench.follow() == []
    assert marked(bench) == {"shop": "acme/shop:1.2.0"}
    bench.library.rescan("x")
    bench.library.images["index.docker.io/acme/shop"] |= Shelf({"x": built("1.1.5", "1.3.0")}).images.popitem()[1]
    assert len(bench.follow()) == 1
    assert bench.log()[0] == "Auto-release acme/shop:1.3.0"
    assert marked(bench) == {}


def test_a_commit_of_automation_that_somebody_reverts_stays_reverted(bench):
    commit = bench.head()
    bench.revert(commit)
    assert bench.follow() == []
    bench.restart("another")
    assert bench.follow() == []
    assert bench.performer.marks(bench.fetch())[KEY].commit == commit
    bench.release("shop", image="acme/shop:1.2.0")
    assert marked(bench) == {}


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_was_taken_back_stays_so_where_the_branch_is_set_back_by_force_until_a_restart(bench, by_hand):
    commit = bench.head()
    bench.revert(commit) if by_hand else bench.release("shop", image="acme/shop:1.0.0")
    assert marked(bench) == {"shop": "acme/shop:1.2.0"}
    git(bench.remote.work, "fetch", "-q", "origin", "master")
    git(bench.remote.work, "reset", "-q", "--hard", f"{commit}^")
    bench.remote.commit({})  # on top of "first": the agent's commits are gone
    assert marked(bench) == {"shop": "acme/shop:1.2.0"}
    assert bench.follow() == []
    bench.release("shop", image="acme/shop:1.2.0")
    assert marked(bench) == {}
    bench.release("shop", image="acme/shop:1.0.0")
    bench.restart("another")
    assert marked(bench) == {"shop": "acme/shop:1.2.0"}


def test_what_automation_did_and_a_branch_that_was_set_back_by_force_has_lost_is_done_again(bench):
    """Somebody may have pushed by force without knowing of it."""
    bench.remote.commit({})
    assert marked(bench) == {}
    assert len(bench.follow()) == 1


def test_accepting_lifts_the_mark_by_a_commit_of_its_own_and_only_where_there_is_one(bench):
    assert statuses(bench.policies("shop", accept=True)) == {"shop": ("skipped", "no changes")}
    bench.release("shop", image="acme/shop:1.0.0")
    done = bench.policies("shop", accept=True, automated="true")
    assert statuses(done) == {"shop": ("success", "")} and done.commit == bench.head()
    assert bench.log()[0] == "Accepted again what was taken back: demo:deployment/shop"
    assert ("Flux-Accepted", "demo:deployment/shop") in bench.trailers()
    assert not bench.policies("shop", accept=True).commit
    bench.restart("another")
    assert len(bench.follow()) == 1
    assert bench.log()[0] == "Auto-release acme/shop:1.2.0"


def test_accepting_and_changing_is_one_commit(bench):
    bench.release("shop", image="acme/shop:1.0.0")
    bench.policies("shop", accept=True, tag__web="semver:~1.1")
    assert bench.log()[0] == "Updated policies: demo:deployment/shop"
    assert bench.trailers()[-2:] == [("Flux-Policies", str(SHOP)), ("Flux-Accepted", str(SHOP))]


def test_only_what_automation_would_bring_again_is_marked(bench):
    bench.policies("shop", remove=("automated",))
    bench.release("shop", image="acme/shop:1.0.0")
    assert "Flux-Rejected" not in dict(bench.trailers())
    bench.policies("shop", automated="true")
    assert len(bench.follow()) == 1
    bench.policies("shop", locked="true")
    bench.release("shop", image="acme/shop:1.0.0", force=True)
    assert "Flux-Rejected" not in dict(bench.trailers())


def test_what_automation_cannot_tell_yet_is_marked_by_what_was_there(tmp_path):
    """A container held by a digest, while it is not known what the newest tag stands for."""
    first, second = digest(1), digest(2)
    bench = Bench(tmp_path, {"acme/shop": {"1.0.0": (first, 1.0), "1.1.0": (second, 2.0), "1.2.0": ("", None)}})
    bench.write({"shop.yaml": automated("shop", f"acme/shop:1.1.0@{second}")})
    bench.release("shop", image="acme/shop:1.0.0")
    assert bench.trailers()[-1] == ("Flux-Rejected", f"{SHOP} web acme/shop:1.1.0@{second}")


def test_a_moving_tag_that_somebody_set_back_waits_until_it_moves_again(tmp_path):
    bench = Bench(tmp_path, {"acme/shop": {"main": (digest(2), 2.0)}})
    bench.write({"shop.yaml": automated("shop", f"acme/shop:main@{digest(1)}", "glob:main")})
    (commit,) = bench.follow()
    bench.revert(commit)
    assert bench.follow() == []
    assert marked(bench) == {"shop": f"acme/shop:main@{digest(2)}"}
    bench.library.images.update(Shelf({"acme/shop": {"main": (digest(3), 3.0)}}).images)
    assert len(bench.follow()) == 1
    assert f"acme/shop:main@{digest(3)}" in bench.read("shop.yaml")
