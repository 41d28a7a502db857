"""Which image a filter picks, and what it says of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.images import Image, Reference
from agent.model.patterns import Pattern, ordered
from agent.releases.newest import choose

DIGEST = "sha256:" + "0" * 64
OTHER = "sha256:" + "1" * 64


def pick(pattern, current, *tags, unseen=(), timeless=(), broken=()):
    """The choice among tags, each built a second after the one before it."""
    pattern = Pattern.parse(pattern)
    images = [Image(tag, DIGEST, float(time)) for time, tag in enumerate(tags, start=1)]
    images += [Image(tag) for tag in unseen] + [Image(tag, DIGEST) for tag in timeless]
    images += [Image(tag, error="gone") for tag in broken]
    in_order = ordered(images, pattern.order, by_label=False)
    choice = choose(
        in_order, Reference.parse(f"acme/shop:{current}" if current else "acme/shop"), pattern, by_label=False
    )
    return (choice.picked.tag if choice.picked else None, choice.update, choice.reason)


@pytest.mark.parametrize(
    ("choice", "picked", "update", "reason"),
    [
        (
            pick("semver:~1.2", "1.2.0", "1.2.5", "1.2.0", "1.3.0"),
            "1.2.5",
            True,
            "1.2.5 is the newest that fits semver:~1.2",
        ),
        (pick("semver:~1.2", "1.2.5", "1.2.5", "1.2.0"), "1.2.5", False, "it runs the newest image that fits"),
        (pick("semver:~1.2", "1.2.9", "1.2.5"), "1.2.5", False, "1.2.9 is newer than any that the registry has"),
        (pick("semver:~1.2", "2.0.0", "1.2.5", "2.0.0"), "1.2.5", True, "which 2.0.0 does not"),
        (pick("semver:~9", "1.0.0", "1.0.0"), None, False, "no tag fits semver:~9"),
        (pick("semver:*", "", "1.0.0"), "1.0.0", True, "1.0.0 is the newest"),
        (pick("glob:m-*", "m-1", "m-1", "m-2", "x"), "m-2", True, "m-2 is the newest that fits glob:m-*"),
        (pick("glob:m-*", "x", "m-1", "x"), "m-1", True, "which x does not"),
        (pick("glob:m-*", "m-1", "m-1", unseen=["m-2", "y"]), "m-1", False, "one tag has not been looked at yet"),
        (pick("glob:m-*", "m-1", "m-1", "m-2", broken=["m-3"]), "m-2", True, "m-2 is the newest"),
        (pick("glob:m-*", "m-1", timeless=["m-1", "m-2"]), None, False, "no build time is known of m-1"),
        (pick("glob:m-*", "m-0", "m-2", timeless=["m-0"]), "m-2", False, "no build time is known of m-0, which runs"),
        (pick("glob:m-*", "gone", "m-2"), "m-2", True, "which gone does not"),
        (pick("glob:m-*", "m-9", "m-2"), "m-2", False, "the registry does not have m-9"),
        (pick("glob:*", "latest", "latest", "a"), "a", True, "which latest does not"),
        (pick("semver:1.x", "1.0", "1.0", "1.0.0"), "1.0.0", False, "is newer than any"),
    ],
)
def test_choices_and_their_reasons(choice, picked, update, reason):
    assert choice[:2] == (picked, update)
    assert reason in choice[2]


@pytest.mark.parametrize(
    ("current", "picked", "update", "reason"),
    [
        (f"acme/shop@{DIGEST}", "m-2", False, "it runs the newest"),
        (f"acme/shop:m-2@{DIGEST}", "m-2", False, "it runs the newest"),
        (f"acme/shop:m-2@{OTHER}", "m-2", True, "stands for another image now"),
        (f"acme/shop:m-1@{OTHER}", "m-2", True, "m-2 is the newest"),
        (f"acme/shop@{OTHER}", "m-2", True, "m-2 is the newest"),
    ],
)
def test_a_digest_tells_whether_it_is_another_image(current, picked, update, reason):
    images = [Image("m-2", DIGEST, 2.0), Image("m-1", OTHER, 1.0)]
    choice = choose(images, Reference.parse(current), Pattern.parse("glob:m-*"), by_label=False)
    assert (choice.picked.tag, choice.update) == (picked, update) and reason in choice.reason


def test_a_digest_that_is_not_known_yet_is_waited_for():
    choice = choose([Image("1.1")], Reference.parse(f"a/b@{OTHER}"), Pattern.parse("semver:*"), by_label=False)
    assert not choice.update and "not known yet what 1.1" in choice.reason


TAGS = st.lists(st.from_regex(r"[0-2]\.[0-2]\.[0-2]", fullmatch=True), min_size=1, unique=True)


@given(TAGS, TAGS, st.sampled_from(["semver:*", "semver:~1", "semver:>=1.1", "glob:1.*", "regexp:2$"]))
def test_following_a_choice_ends(tags, others, pattern):
    current, picked = others[0], ""
    for _ in range(3):
        picked, update, _ = pick(pattern, current, *tags)
        if not update:
            return
        current = picked
    raise AssertionError(f"{current} is replaced again and again")


@given(TAGS, st.sampled_from(["semver:*", "semver:~1", "semver:>=1.1"]))
def test_a_version_that_fits_is_never_lowered(tags, pattern):
    current = tags[0]
    picked, update, _ = pick(pattern, current, *tags)
    if update and Pattern.parse(pattern).matches(current):
        assert tuple(map(int, picked.split("."))) > tuple(map(int, current.split(".")))
