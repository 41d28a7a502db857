"""Flux v1's webhook, as flux-recv calls it."""

import contextlib
import http.client
import json

import pytest
from served_api import Served, with_settings

from agent.api.http import MAX_HOOK_BODY
from agent.api.notify import NOTIFY_PATH, Change, change_of, concerns, notify_hook

URL = "ssh://git@git.example.com/acme/cluster"


@pytest.mark.parametrize(
    ("body", "change"),
    [
        ('{"Kind":"git","Source":{"URL":"git@h:a/b","Branch":"main"}}', Change("git", "git@h:a/b", "main")),
        ('{"kind":"git","source":{"url":"git@h:a/b","branch":"main"}}', Change("git", "git@h:a/b", "main")),
        ('{"kind":"git"}', Change("git")),
        ('{"kind":"git","source":{"url":null}}', Change("git")),
        (
            '{"Kind":"image","Source":{"Name":{"Domain":"quay.io","Image":"acme/shop"}}}',
            Change("image", image="quay.io/acme/shop"),
        ),
        ('{"Kind":"image","Source":{"Name":{"Image":"alpine"}}}', Change("image", image="alpine")),
        ('{"Kind":"image","Source":{"Name":5}}', Change("image")),
    ],
)
def test_messages_are_read_as_go_reads_them(body, change):
    assert change_of(body.encode()) == change


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "5",
        "{}",
        '{"kind":"other"}',
        '{"kind":["git"]}',
        "[" * 60_000,
        '{"kind":"git","source":{"url":5}}',
    ],
)
def test_anything_else_is_malformed(body):
    with pytest.raises(ValueError, match=r"^it"):
        change_of(body.encode())


@pytest.mark.parametrize(
    ("change", "url", "ours"),
    [
        (Change("git"), URL, True),
        (Change("git", URL, "master"), URL, True),
        (Change("git", "git@git.example.com:acme/cluster.git"), URL, True),
        (Change("git", "https://git.example.com/Acme/cluster.git/"), URL, True),
        (Change("git", "ssh://git@git.example.com:2222/acme/cluster"), URL, True),
        (
            Change("git", "https://git.example.com/acme/cluster"),
            "https://user:pa/ss@git.example.com/acme/cluster",
            True,
        ),
        (Change("git", "/srv/cluster.git"), "file:///srv/cluster.git", True),
        (Change("git", "git@git.example.com:acme/other"), URL, False),
        (Change("git", "git@other.example.com:acme/cluster"), URL, False),
        (Change("git", URL, "develop"), URL, False),
        (Change("git", "", "develop"), URL, False),
        (Change("image"), URL, False),
        (Change("git"), "", False),
    ],
)
def test_only_what_concerns_our_repository_counts(change, url, ours):
    assert concerns(change, url, "master") is ours


def post(port, body, chunked=False):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as link:
        link.request("POST", NOTIFY_PATH, iter([body]) if chunked else body, encode_chunked=chunked)
        answer = link.getresponse()
        return answer.status, answer.read().decode()


def test_it_is_answered_without_a_token_and_tells_nothing():
    told, rescans = [], []
    hook = notify_hook(URL, "master", lambda: told.append(1), rescans.append)
    api = Served(with_settings(auth="token"), hooks={NOTIFY_PATH: hook})
    try:
        port = api.server.http_port
        ours, other = ({"Kind": "git", "Source": {"URL": url}} for url in (URL, "git@h:x"))
        accepted = (202, "Accepted.\n")
        assert post(port, json.dumps(other).encode()) == accepted
        image = {"kind": "image", "source": {"name": "quay.io/acme/shop"}}
        assert post(port, json.dumps(image).encode()) == accepted
        assert (told, rescans) == ([], ["quay.io/acme/shop"])
        assert post(port, json.dumps(ours).encode()) == accepted
        assert post(port, json.dumps(ours).encode(), chunked=True) == accepted
        assert told == [1, 1]
        assert post(port, b"{") == (400, "This is no notification: it is not JSON.\n")
        assert post(port, b" " * (MAX_HOOK_BODY + 1))[0] == 413
        assert api.get(NOTIFY_PATH)[0] == 405
        assert told == [1, 1]
    finally:
        api.close()
