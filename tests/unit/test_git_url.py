from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.git.url import redacted, scrubbed, v1_form

SHOWN = [
    ("https://user:s3cret@example.com/acme/x.git", "https://example.com/acme/x.git"),
    ("https://ghp_abcdefghijklmnop@github.com/acme/x", "https://github.com/acme/x"),
    ("https://example.com:8443/acme/x", "https://example.com:8443/acme/x"),
    ("https://[::1]:8443/acme/x", "https://[::1]:8443/acme/x"),
    ("https://u:p@[::1]/x", "https://[::1]/x"),
    ("HTTPS://u:p@example.com/x", "HTTPS://example.com/x"),
    ("https://u:p@ss@example.com/x", "https://example.com/x"),
    ("https://u:p/w@example.com/x", "https://example.com/x"),
    ("https://u:p#w@example.com/x", "https://example.com/x"),
    ("https://u:12/w@example.com/x", "https://example.com/x"),
    ("https://example.com/a@b/x", "https://example.com/a@b/x"),
    ("https://example.com/x?private_token=s3cret", "https://example.com/x"),
    ("ssh://git@example.com/acme/cluster", "ssh://git@example.com/acme/cluster"),
    ("ssh://git:s3cret@example.com:2222/x", "ssh://git@example.com:2222/x"),
    ("ssh://example.com/x", "ssh://example.com/x"),
    ("git@github.com:acme/x", "git@github.com:acme/x"),
    ("git:s3cret@example.com:acme/x", "git@example.com:acme/x"),
    ("file:///git/cluster.git", "file:///git/cluster.git"),
    ("/git/a@b/cluster.git", "/git/a@b/cluster.git"),
    ("", ""),
]


@pytest.mark.parametrize(("url", "shown"), SHOWN)
def test_a_url_is_shown_without_its_secrets(url, shown):
    assert redacted(url) == shown


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("ssh://git@example.com/acme/cluster", "ssh://git@example.com/acme/cluster"),
        ("git@github.com:acme/x.git", "ssh://git@github.com/acme/x.git"),
        ("github.com:/acme/x.git", "ssh://github.com/acme/x.git"),
        ("https://user:s3cret@example.com/x", "https://user@example.com/x"),
        ("/git/cluster.git", "file:///git/cluster.git"),
        ("file:///git/cluster.git", "file:///git/cluster.git"),
    ],
)
def test_the_form_of_v1_keeps_the_user_and_has_a_scheme(url, form):
    assert v1_form(url) == form


@pytest.mark.parametrize(
    ("url", "text", "clean"),
    [
        (
            "https://user:p%40ss@example.com/x",
            "fatal: unable to access 'https://user:p%40ss@example.com/x/': p@ss",
            "fatal: unable to access 'https://example.com/x/': ***",
        ),
        (
            "https://ghp_abcdefghijklmnop:x-oauth-basic@example.com/x",
            "remote: ghp_abcdefghijklmnop was refused",
            "remote: *** was refused",
        ),
        ("https://git:pw@example.com/x", "git said https://other:thing@host/y", "git said https://host/y"),
        ("https://example.com/x?token=s3cret", "no s3cret here", "no *** here"),
        ("ssh://git:s3cret@example.com/x", "ssh://git:s3cret@example.com s3cret", "ssh://git@example.com ***"),
        ("git:s3cret@example.com:x", "s3cret", "***"),
        ("file:///git/x", "fatal: '/git/x' is nothing", "fatal: '/git/x' is nothing"),
    ],
)
def test_text_is_scrubbed_of_the_urls_secrets(url, text, clean):
    assert scrubbed(text, [url]) == clean


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@given(st.from_regex(r"[a-z]{0,5}", fullmatch=True), TEXT, st.sampled_from(["https", "http", "ssh", "git"]))
def test_no_password_survives(user, password, scheme):
    password = f"<{password}>"
    url = f"{scheme}://{user}:{password}@example.com/acme/x"
    assert password not in redacted(url)
    assert password not in scrubbed(f"git said {url} and {password}", [url])


@given(st.text(max_size=60))
def test_redacting_twice_changes_nothing_and_never_fails(text):
    assert redacted(redacted(f"https://{text}")) == redacted(f"https://{text}")
    assert redacted(redacted(text)) == redacted(text)
    scrubbed(text, [text])
    v1_form(text)
