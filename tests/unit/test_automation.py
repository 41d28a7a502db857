"""What automation changes, and what it leaves alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from release_standins import Shelf, built, defined, digest, running

from agent.model.images import Reference
from agent.model.patterns import Pattern
from agent.model.updates import Outcome
from agent.releases.calculate import automate, automatic_spec
from agent.releases.messages import commit_message

SHOP = "demo:deployment/shop"


def automated(image, pattern="semver:~1", **policies):
    return defined(SHOP, f"web={image}", automated="true", **({"tag__web": pattern} if pattern else {}), **policies)


VERSIONS = Shelf({"a": built("1.0.0", "1.1.0", "1.2.0", "2.0.0", "main")})


@pytest.mark.parametrize(
    ("definition", "rejected", "image", "reason"),
    [
        (automated("a:1.0.0"), (), "a:1.2.0", ""),
        (automated("a:2.0.0"), (), "a:1.2.0", ""),
        (automated("a:1.9.0"), (), None, "image(s) up to date"),
        (automated(f"a:1.9.0@{digest(7)}"), (), None, "image(s) up to date"),
        (automated("a:1.0.0", locked="true"), (), None, "locked"),
        (automated("a:1.0.0", ignore="true"), (), None, "ignore"),
        (automated("a:1.0.0"), ("1.2.0",), "a:1.1.0", ""),
        (automated("a:1.0.0"), (digest(3),), "a:1.1.0", ""),
        (automated("a:1.1.0"), ("1.2.0",), None, "web: 1.2.0 was rejected, and 1.1.0 is the newest but for that"),
        (automated("a:1.2.0"), ("1.2.0",), None, "image(s) up to date"),
        (
            automated("a:0.1.0"),
            ("1.0.0", "1.1.0", "1.2.0"),
            None,
            "web: all that fits semver:~1 was rejected: 1.2.0, 1.1.0, 1.0.0",
        ),
        (automated(f"a:main@{digest(9)}", "glob:main"), (), f"a:main@{digest(5)}", ""),
        (automated(f"a:main@{digest(5)}", "glob:main"), (), None, "image(s) up to date"),
        (
            automated(f"a:main@{digest(9)}", "glob:main"),
            (digest(5),),
            None,
            "web: what main stands for now was rejected",
        ),
        (automated(f"a@{digest(1)}"), (), f"a:1.2.0@{digest(3)}", ""),
        (automated(f"a@{digest(3)}"), (), None, "image(s) up to date"),
        (automated(f"a@{digest(1)}", ""), (), None, "image(s) up to date"),
        (automated("a", ""), (), None, "image(s) up to date"),
        (automated("a", "glob:1*"), (), "a:1.2.0", ""),
    ],
)
def test_automation_picks_the_newest_that_is_allowed(definition, rejected, image, reason):
    plan = automate([definition], running(definition), VERSIONS, {(definition.id, "web"): frozenset(rejected)})
    (outcome,) = plan.outcomes.values()
    assert [edit.image for edit in plan.images] == ([image] if image else [])
    assert outcome.reason == reason
    if rejected and image:
        assert outcome.detail == ("web: 1.2.0 was rejected, so 1.1.0 is the newest",)


def test_automation_tells_of_automated_workloads_only():
    other = defined("demo:deployment/other", "web=a:1.0.0")
    gone = automated("a:1.0.0")
    plan = automate([other, gone], running(other), VERSIONS, {})
    assert plan.outcomes == {gone.id: Outcome("skipped", "not accessible in cluster")}


TAGS = st.lists(st.from_regex(r"[0-2]\.[0-2]\.[0-2]", fullmatch=True), min_size=1, max_size=8, unique=True)
PATTERNS = st.sampled_from(["semver:*", "semver:~1", "semver:>=1.1", "glob:1.*", "regexp:2$", ""])
FORMS = st.sampled_from(["a", "a:{0}", f"a@{digest(2)}", f"a:{{0}}@{digest(2)}", f"a:{{0}}@{digest(99)}"])


@given(TAGS, TAGS, PATTERNS, FORMS, st.sets(st.sampled_from([*map(digest, range(5)), "1.1.1", "1.2.2", "2.2.2"])))
def test_following_automation_ends_and_never_lowers_a_version(tags, others, pattern, form, rejected):
    library, image = Shelf({"a": built(*tags)}), form.format(others[0])

    def followed(image):
        definition = automated(image, pattern)
        plan = automate([definition], running(definition), library, {(definition.id, "web"): frozenset(rejected)})
        return plan.images[0].image if plan.images else ""

    if not (written := followed(image)):
        return
    before, after = Reference.parse(image), Reference.parse(written)
    assert after.tag in tags and bool(after.digest) == bool(before.digest)
    assert not rejected & ({after.tag} - {before.tag}) and after.digest not in rejected
    if pattern.startswith("semver") and before.tag and Pattern.parse(pattern).matches(before.tag):
        assert tuple(map(int, after.tag.split("."))) >= tuple(map(int, before.tag.split(".")))
    assert not followed(written)


def test_an_automation_run_names_its_images_once():
    definitions = [
        defined(f"demo:deployment/d{number}", "web=a:1.0.0", automated="true", tag__web="semver:~1")
        for number in range(3)
    ]
    plan = automate(definitions, running(*definitions), VERSIONS, {})
    assert commit_message(automatic_spec(plan), plan.outcomes) == "Auto-release a:1.2.0"


def test_a_thousand_workloads_cost_one_look_at_each_repository():
    """Counted, not timed: a filter meets each tag of a repository once, whoever shares them."""
    tags = built(*(f"1.{number}.0" for number in range(200)))

    class Counting(Shelf):
        asked = 0

        def ordered(self, image, order):
            self.asked += 1
            return super().ordered(image, order)

    library = Counting({f"acme/app{number}": tags for number in range(10)})
    definitions = [
        defined(
            f"demo:deployment/d{number}", f"web=acme/app{number % 10}:1.0.0", automated="true", tag__web="semver:~1"
        )
        for number in range(1000)
    ]
    plan = automate(definitions, running(*definitions), library, {})
    assert len(plan.images) == 1000 and library.asked == 10
