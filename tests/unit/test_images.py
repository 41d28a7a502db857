"""References and globs: what people write, what it means, and that it is written back as it was."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.errors import UsageError
from agent.model.globs import matches_glob, matches_image
from agent.model.images import Reference, is_sha256

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("nginx", "index.docker.io", "library/nginx", "", ""),
        ("nginx:1.19", "index.docker.io", "library/nginx", "1.19", ""),
        ("acme/shop:v1", "index.docker.io", "acme/shop", "v1", ""),
        ("docker.io/acme/shop", "index.docker.io", "acme/shop", "", ""),
        ("docker.io/nginx", "index.docker.io", "library/nginx", "", ""),
        ("index.docker.io/library/nginx:x", "index.docker.io", "library/nginx", "x", ""),
        ("localhost/shop:1", "localhost", "shop", "1", ""),
        ("localhost:5000/shop", "localhost:5000", "shop", "", ""),
        ("10.99.0.20:5000/acme/shop:1.1.4", "10.99.0.20:5000", "acme/shop", "1.1.4", ""),
        ("[::1]:5000/shop:1", "[::1]:5000", "shop", "1", ""),
        ("quay.io/a/b/c/d:e", "quay.io", "a/b/c/d", "e", ""),
        ("Registry/shop", "Registry", "shop", "", ""),
        (f"acme/db@{DIGEST}", "index.docker.io", "acme/db", "", DIGEST),
        (f"quay.io/acme/db:1@{DIGEST}", "quay.io", "acme/db", "1", DIGEST),
        ("a__b/c-d.e_f", "index.docker.io", "a__b/c-d.e_f", "", ""),
    ],
)
def test_references_are_read(text, host, repository, tag, digest):
    image = Reference.parse(text)
    assert (image.host, image.repository, image.tag, image.digest) == (host, repository, tag, digest)
    assert str(image) == text
    assert image.canonical_name == f"{host}/{repository}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UPPER",
        "a:b:c",
        "a/",
        "/a",
        "a@sha256:12",
        "a b",
        "a:",
        "a@",
        ":1",
        "-a",
        "a//b",
        "a:tag!",
        "a\n",
        "é",
        "a" * 2000,
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(UsageError, match="invalid image reference"):
        Reference.parse(text)


def test_a_new_tag_keeps_the_name_as_it_was_written():
    assert str(Reference.parse("acme/shop:1").with_tag("2")) == "acme/shop:2"
    assert (
        str(Reference.parse(f"docker.io/acme/shop:1@{DIGEST}").with_tag("2", DIGEST))
        == f"docker.io/acme/shop:2@{DIGEST}"
    )


PARTS = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)?", fullmatch=True)
HOSTS = st.sampled_from(["", "localhost:5000/", "registry.example.com/", "docker.io/", "[::1]:80/"])
TAGS = st.one_of(st.just(""), st.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True))
REFERENCES = st.builds(
    "{}{}{}{}".format,
    HOSTS,
    st.lists(PARTS, min_size=1, max_size=3).map("/".join),
    TAGS,
    st.sampled_from(["", f"@{DIGEST}"]),
)


@given(REFERENCES)
def test_whatever_is_read_is_written_back(text):
    image = Reference.parse(text)
    assert str(image) == text
    assert Reference.parse(image.canonical_name).canonical_name == image.canonical_name


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text):
    with contextlib.suppress(UsageError):
        assert str(Reference.parse(text)) == text


def test_only_whole_sha256_digests_can_be_checked():
    assert is_sha256(DIGEST)
    assert not is_sha256("sha512:" + "0" * 128)
    assert not is_sha256("sha256:" + "0" * 63)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("a*", "a/b/c", True),
        ("*b*", "abc", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("master-v1.*.*", "master-v1.2.3", True),
        ("master-v1.*.*", "master-v1.2", False),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("**b", "ab", True),
        ("*a*b*", "ba", False),
    ],
)
def test_globs_know_only_the_star(pattern, text, fits):
    assert matches_glob(pattern, text) is fits


@given(st.lists(st.text("ab", max_size=3), min_size=1, max_size=4), st.text("ab", max_size=6))
def test_a_glob_fits_what_was_made_of_it(parts, filling):
    assert matches_glob("*".join(parts), filling.join(parts))


def test_image_globs_fit_docker_hub_under_both_names():
    image = Reference.parse("weaveworks/flux:1")
    for pattern in ("index.docker.io/weaveworks/*", "docker.io/weaveworks/*", "*/flux"):
        assert matches_image([pattern], image)
    assert not matches_image(["weaveworks/*", "quay.io/*"], image)
