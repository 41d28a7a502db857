"""What stands in a commit besides its tree: the author people name, trailers, and the text for build servers."""

from __future__ import annotations

import subprocess
import threading

import pytest
from git_remote import Remote, git
from hypothesis import given
from hypothesis import strategies as st

from agent.git.authors import Author, parsed_author, resolved_author
from agent.git.mirror import Mirror
from agent.git.trailers import MAX_TRAILERS, MAX_VALUE, ci_skip_text, finished_message, trailers_of
from agent.model.errors import UsageError
from agent.settings import GitSettings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jane Doe <jane@doe.com>", Author("Jane Doe", "jane@doe.com")),
        ("  some_string <some other string>  ", Author("some_string", "some other string")),
        ("Jane\nDoe<j@d>", Author("Jane Doe", "j@d")),
        ("Jane Doe", None),
        ("jane@doe.com", None),
        ("<jane@doe.com>", None),
        ("Jane <>", None),
        ("Jane <j@d> x", None),
        ("Jane <j@d", None),
        ("", None),
    ],
)
def test_the_whole_form_of_an_author(text, expected):
    assert parsed_author(text) == expected


@pytest.fixture
def history(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    remote = Remote(tmp_path / "server")

    def by(name, email, day):
        date = f"@{1700000000 + day} +0000"
        return remote.commit({}, "mentions Carl", GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=email, GIT_COMMITTER_DATE=date)

    by("Jane Doe", "old@doe.com", 0)
    by("Jane Doe", "jane@doe.com", 1)
    head = by("Bob [ops] (x", "b.b@example.com", 2)
    mirror = Mirror(GitSettings(url=remote.url), tmp_path / "mirror", threading.Event())
    mirror.fetch()
    return mirror.repository, head


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ann <ann@example.com>", "Ann <ann@example.com>"),
        ("jane doe", "Jane Doe <jane@doe.com>"),
        ("old@doe.com", "Jane Doe <old@doe.com>"),
        ("Bob [ops] (x", "Bob [ops] (x <b.b@example.com>"),
    ],
)
def test_a_name_or_an_address_alone_is_that_of_the_newest_commit_that_has_it(history, text, expected):
    repository, head = history
    assert str(resolved_author(repository, text, head)) == expected


@pytest.mark.parametrize("text", ["unknown", "Carl", "J.*Doe", "Jane <jane@doe.com", "--all", ""])
def test_an_author_that_nothing_matches_is_refused_in_gits_words(history, text):
    with pytest.raises(UsageError) as caught:
        resolved_author(history[0], text, history[1])
    assert caught.value.message == (
        f"git commit: fatal: --author '{text}' is not 'Name <email>' and matches no existing author"
    )
    assert caught.value.hint == "give it as 'Name <email>'"


def test_an_author_has_a_bound(history):
    with pytest.raises(UsageError, match="longer than"):
        resolved_author(history[0], "x" * 501, history[1])


@pytest.mark.parametrize(
    ("skip", "custom", "expected"),
    [
        (False, "", ""),
        (True, "", "\n\n[ci skip]"),
        (True, "***NO_CI***", "\n\n***NO_CI***"),
        (False, " [skip ci]", " [skip ci]"),
        (True, "\n[skip ci]", "\n[skip ci]"),
    ],
)
def test_the_text_for_build_servers(skip, custom, expected):
    assert ci_skip_text(custom, skip=skip) == expected


OURS = [("Flux-Job", "18c93d7b"), ("Flux-Requested-By", "Ann <ann@example.com>")]
BLOCK = "Flux-Job: 18c93d7b\nFlux-Requested-By: Ann <ann@example.com>"


def parsed_by_git(tmp_path, message):
    """What git itself reads."""
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse", "--no-divider"],
        cwd=tmp_path,
        input=message.encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip("\n")


@pytest.mark.parametrize(
    ("message", "ci_skip", "expected"),
    [
        ("Release", "", f"Release\n\n{BLOCK}\n"),
        ("Release\n\n - one\n\n\n", "\n\n[ci skip]", f"Release\n\n - one\n\n[ci skip]\n\n{BLOCK}\n"),
        ("Release", " [skip ci]", f"Release [skip ci]\n\n{BLOCK}\n"),
        ("Release", "\n\nskip-checks: true", f"Release\n\n{BLOCK}\nskip-checks: true\n"),
        ("Why\n\nFlux-Job: forged", "", f"Why\n\nFlux-Job: forged\n\n{BLOCK}\n"),
        ("Why: a subject", "", f"Why: a subject\n\n{BLOCK}\n"),
        ("Why\n---\nnot", "", f"Why\n---\nnot\n\n{BLOCK}\n"),
    ],
)
def test_trailers_come_last_and_the_text_for_build_servers_does_not_hide_them(tmp_path, message, ci_skip, expected):
    finished = finished_message(message, OURS, ci_skip)
    assert finished == expected
    skip = [("skip-checks", "true")] if "skip-checks" in ci_skip else []
    assert trailers_of(finished) == (*OURS, *skip)
    assert parsed_by_git(tmp_path, finished) == "\n".join(f"{key}: {value}" for key, value in trailers_of(finished))


def test_a_value_stays_on_one_line_and_within_its_bound():
    message = finished_message("x", [("Key", "a\nForged: b\r\n\n c\x00"), ("Long", "y" * 2000), ("Empty", " \n")])
    (first, long) = trailers_of(message)
    assert first == ("Key", "a Forged: b c")
    assert (long[0], len(long[1])) == ("Long", MAX_VALUE)
    for key in ("", "Has space", "Has:colon", "new\nline"):
        with pytest.raises(ValueError, match="cannot be the key"):
            finished_message("x", [(key, "value")])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", ()),
        ("Key: value", ()),
        ("Subject\n\nJust text", ()),
        ("Subject\n\nKey: value\nand text", ()),
        ("Subject\n\nKey: value\n\n[ci skip]\n", ()),
        ("Subject\n\nSigned-off-by : A\nLong: one\n  two\n", (("Signed-off-by", "A"), ("Long", "one two"))),
        ("Subject\n\n" + "Key: value\n" * (MAX_TRAILERS + 1), ()),
    ],
)
def test_what_is_no_block_of_trailers_has_none(message, expected):
    assert trailers_of(message) == expected


@given(
    st.text(), st.lists(st.tuples(st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,9}", fullmatch=True), st.text()), max_size=5)
)
def test_trailers_survive_any_message_and_any_value(message, trailers):
    read = trailers_of(finished_message(f"Subject {message}", trailers)) if any(v.strip() for _, v in trailers) else ()
    assert [key for key, _ in read] == [key for key, value in trailers if value.strip()]


def test_git_shows_the_trailers_of_a_real_commit(tmp_path):
    remote = Remote(tmp_path / "server")
    remote.commit({}, finished_message("Release", OURS, "\n\n[ci skip]"))
    assert git(remote.work, "log", "-1", "--format=%(trailers)") == BLOCK
    assert trailers_of(git(remote.work, "log", "-1", "--format=%B")) == tuple(OURS)
