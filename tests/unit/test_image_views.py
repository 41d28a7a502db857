"""What lists and explanations say of images."""

import pytest

from agent.api.image_views import Filter, explained, listing, needed_tags
from agent.model.images import Image, Reference
from agent.model.patterns import Pattern, ordered

VERSIONS = [
    Image(tag, "sha256:d", float(time)) for time, tag in enumerate(["1.0.0", "1.1.0", "1.2.0", "2.0.0-rc", "dev"])
]


def shown(pattern, current, limit=2):
    pattern = Pattern.parse(pattern)
    images = ordered(VERSIONS, pattern.order, by_label=False)
    fitting = [place for place, image in enumerate(images) if pattern.matches(image.tag)]
    return listing(images, fitting, Reference.parse(current), limit)


def test_a_list_counts_what_is_newer():
    found = shown("semver:~1", "acme/shop:1.1.0")
    assert [image.tag for image in found.available] == ["2.0.0-rc", "1.2.0"]
    assert found.counts == (5, 2, 3, 1)
    assert (found.place, found.current.tag, found.newest.tag) == (3, "1.1.0", "1.2.0")


@pytest.mark.parametrize("current", ["acme/shop", "acme/shop:gone", "acme/shop:1.0.0@sha256:" + "0" * 64])
def test_where_the_current_image_is_not_among_them_all_are_new(current):
    found = shown("semver:~1", current, 0)
    assert (found.place, found.current, found.counts) == (0, None, (5, 5, 3, 3))
    assert len(found.available) == 5


def test_only_what_is_ordered_or_shown_is_needed():
    image = Reference.parse("acme/shop:1.0.0")
    by_version, by_time = Pattern.parse("semver:*"), Pattern.parse("glob:*")
    images = ordered(VERSIONS, "version", by_label=False)
    assert needed_tags(images, image, by_version, 1) == {"2.0.0-rc", "1.2.0", "1.0.0"}
    assert needed_tags(images, image, by_version, 0) == {each.tag for each in VERSIONS}
    assert needed_tags(images, image, by_time, 1) == {each.tag for each in VERSIONS}


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("1.2.0", ""),
        ("1.1.0", "it fits, but 1.2.0 is newer"),
        ("2.0.0-rc", "pre-release"),
        ("dev", "it is no semantic version"),
        ("9", "the registry has no such tag"),
    ],
)
def test_an_image_that_is_asked_about_is_judged(asked, reason):
    pattern = Pattern.parse("semver:~1")
    images = ordered(VERSIONS, "version", by_label=False)
    found = explained(images, Reference.parse("acme/shop:1.0.0"), pattern, asked, by_label=False)
    assert found.asked[0] == asked and reason in found.asked[1] and bool(reason) == bool(found.asked[1])
    assert found.choice.update and found.choice.picked.tag == "1.2.0"
    assert [tag for tag, _ in found.rejected] == ["2.0.0-rc", "dev"] and found.rejected_count == 2


def test_a_filter_that_cannot_be_read_is_told_and_everything_is_shown():
    broken = Filter.of("web", {"tag.web": "semver:not a range"})
    assert "invalid tag pattern" in broken.error and str(broken.pattern) == "glob:*"
    assert Filter.of("web", {"tag.side": "x"}) == Filter()
