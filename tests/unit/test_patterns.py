"""Filters on tags and the order they make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.errors import UsageError
from agent.model.images import Image
from agent.model.patterns import EVERYTHING, Pattern, ordered


@pytest.mark.parametrize(
    ("text", "fits", "fits_not"),
    [
        ("semver:~1.2", ["1.2.0", "v1.2.7"], ["1.3.0", "master", "latest"]),
        ("semver:*", ["1", "2.0.0"], ["1.0.0-rc", "a"]),
        ("glob:v1.*", ["v1.2"], ["v2", "xv1."]),
        ("glob:latest", ["latest"], ["later"]),
        ("glob:*", ["a", "1.0"], ["latest", "LATEST", "Latest"]),
        ("master-*", ["master-a1b2"], ["dev-1"]),
        ("regexp:^([a-z]+)$", ["abc"], ["ab1"]),
        ("regex:[0-9]", ["a1"], ["abc"]),
        ("regexp:(?i)^RC", ["rc1"], ["xrc"]),
        ("", ["anything"], ["latest"]),
    ],
)
def test_filters_let_through_what_fits(text, fits, fits_not):
    pattern = Pattern.parse(text)
    assert [tag for tag in [*fits, *fits_not] if pattern.matches(tag)] == fits


@pytest.mark.parametrize(
    "text", ["semver:not a range", "regexp:(", "regex:[", "semver:", r"regexp:(?=a)", "glob:" + "a" * 2000]
)
def test_a_filter_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="invalid tag pattern"):
        Pattern.parse(text)


def test_a_filter_knows_its_normal_form():
    assert str(Pattern.parse("v1*")) == "glob:v1*"
    assert Pattern.parse("") == EVERYTHING
    assert Pattern.parse("semver:1").order == "version"
    assert Pattern.parse("regex:1").order == "build time"


def tags(images, order, by_label=False):
    return [image.tag for image in ordered(images, order, by_label=by_label)]


def test_versions_come_newest_first():
    images = [Image(tag) for tag in ["1.2.3", "1.10", "1.10.0", "v2.0.0-rc.1", "nightly", "1.9.9", "a", "1.2.3+b2"]]
    assert tags(images, "version") == ["v2.0.0-rc.1", "1.10.0", "1.10", "1.9.9", "1.2.3+b2", "1.2.3", "a", "nightly"]


def test_times_come_newest_first_and_the_unknown_last():
    images = [Image("b", created=2.0), Image("a", created=2.0), Image("c", created=3.0), Image("z"), Image("y")]
    assert tags(images, "build time") == ["c", "a", "b", "y", "z"]


def test_labels_count_where_they_are_asked_for():
    images = [Image("a", created=1.0, labelled=9.0), Image("b", created=5.0)]
    assert tags(images, "build time") == ["b", "a"]
    assert tags(images, "build time", by_label=True) == ["a", "b"]


IMAGES = st.lists(
    st.builds(
        Image,
        st.sampled_from("abcdef") | st.from_regex(r"[0-3]\.[0-3](\.[0-3](-rc)?)?", fullmatch=True),
        created=st.none() | st.floats(0, 9),
    ),
    unique_by=lambda image: image.tag,
)


@given(IMAGES, st.randoms(), st.sampled_from(["version", "build time"]))
def test_the_order_does_not_depend_on_where_it_began(images, random, order):
    shuffled = random.sample(images, len(images))
    assert ordered(shuffled, order, by_label=False) == ordered(images, order, by_label=False)
    assert sorted(shuffled, key=str) == sorted(ordered(shuffled, order, by_label=False), key=str)
