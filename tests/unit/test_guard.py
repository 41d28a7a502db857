"""Who calls: what a token says of itself, what is remembered of the answers about it, and the guard at the door."""

import base64
import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from access_standins import VIEWER, Reviews

from agent.api import remembered
from agent.api.auth import MAX_TOKENS, Ages, Guard
from agent.api.errors import UnauthenticatedError
from agent.api.remembered import Remembered
from agent.api.tokens import Wanted, check
from agent.model.errors import ClusterError

WANTED = Wanted(("flux:flux/flux",), "flux")
NOW = 1_000_000.0


def token(**claims):
    """A token with these claims and a signature that nobody looks at here."""
    said = {"aud": ["flux:flux/flux"], "exp": NOW + 600} | claims
    body = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    return f"aGVhZA.{body}.c2lnbmF0dXJl"


def raw(body):
    return f"aGVhZA.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.c2ln"


# --- what a token says of itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("", "without a token"),
        ("alice-token", "no ServiceAccount's token"),
        ("a.b", "no ServiceAccount's token"),
        (raw(b"{"), "no ServiceAccount's token"),
        (raw(b"[]"), "no ServiceAccount's token"),
        (raw(b"[" * 9_000), "no ServiceAccount's token"),
        (raw(b'{"exp": %s}' % (b"9" * 400)), "no ServiceAccount's token"),
        (raw(b'{"aud": 1}'), "no ServiceAccount's token"),
        (token(exp="soon"), "no ServiceAccount's token"),
        (token(more="x" * 20_000), "no ServiceAccount's token"),
        (token(aud="https://kubernetes.default.svc"), "audience must be flux:flux/flux"),
        (token(aud=[]), "audience must be flux:flux/flux"),
        (token(exp=NOW), "has expired"),
        (token(exp=float("nan")), "has expired"),
        ("é.b.c", "no ServiceAccount's token"),
    ],
)
def test_what_no_review_could_accept_is_refused_unasked_and_never_repeated(bad, reason):
    with pytest.raises(UnauthenticatedError, match=reason) as caught:
        check(bad, WANTED, NOW)
    assert "kubectl create token flux-operator -n flux --audience=flux:flux/flux" in str(caught.value)
    assert not bad or bad not in str(caught.value)


@pytest.mark.parametrize("audiences", ["flux:flux/flux", ["other", "flux:flux/flux"]])
def test_a_token_for_this_agent_goes_on_to_the_review(audiences):
    assert check(token(aud=audiences), WANTED, NOW).expires == NOW + 600


# --- what is remembered --------------------------------------------------------------------------------------------


def test_an_answer_is_given_until_its_time_is_over_and_an_error_is_not_kept():
    now, asked = [0.0], []

    def ask():
        asked.append(now[0])
        if len(asked) == 1:
            raise ClusterError("down")
        return len(asked), 60.0

    kept = Remembered(10, lambda: now[0])
    with pytest.raises(ClusterError):
        kept.get("key", ask)
    assert [kept.get("key", ask) for _ in range(3)] == [2, 2, 2]
    now[0] = 59.9
    assert kept.known(["key", "other"]) == {"key": 2}
    now[0] = 60.0
    assert kept.known(["key"]) == {}
    assert kept.get("key", ask) == 3
    kept.shorten(["key", "other"], 5.0)
    now[0] = 65.0
    assert kept.get("key", ask) == 4


def test_there_is_room_for_so_many_and_the_least_used_goes():
    kept = Remembered(2)
    for key in ("a", "b", "a", "c"):
        kept.get(key, lambda key=key: (key, 60.0))
    assert sorted(kept.known("abc")) == ["a", "c"]


def test_fifty_calls_at_once_are_one_review():
    reviews = Reviews()
    reviews.gate.clear()
    guard = Guard(reviews, WANTED, clock=lambda: NOW)
    with contextlib.closing(guard), ThreadPoolExecutor(50) as pool:
        started = threading.Barrier(51)

        def call():
            started.wait(60)
            return guard.admit(token()).caller

        calls = [pool.submit(call) for _ in range(50)]
        started.wait(60)
        reviews.gate.set()
        assert {call.result(60).name for call in calls} == {VIEWER.name}
    assert reviews.tokens == 1


def test_all_who_wait_for_one_answer_get_its_error(monkeypatch):
    asked, waiting, done, kept = [], threading.Event(), threading.Event(), Remembered(10)
    wait = remembered._answer_of

    def ask():
        asked.append(1)
        assert done.wait(60)
        raise ClusterError("down")

    def wait_for(answer):
        waiting.set()
        return wait(answer)

    monkeypatch.setattr(remembered, "_answer_of", wait_for)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(kept.get, "key", ask) for _ in range(2)]
        assert waiting.wait(60)
        done.set()
        for call in calls:
            with pytest.raises(ClusterError, match="down"):
                call.result(60)
    assert len(asked) == 1


# --- the guard -----------------------------------------------------------------------------------------------------


def test_a_token_is_reviewed_once_and_never_taken_beyond_its_time():
    reviews, now = Reviews(), [NOW]
    with contextlib.closing(Guard(reviews, WANTED, clock=lambda: now[0])) as guard:
        for _ in range(3):
            assert guard.admit(token(exp=NOW + 5)).caller == VIEWER
        assert reviews.tokens == 1
        now[0] = NOW + 5
        with pytest.raises(UnauthenticatedError, match="expired"):
            guard.admit(token(exp=NOW + 5))


def test_a_refused_token_is_asked_about_again_only_after_a_while():
    reviews = Reviews(known=None)
    with contextlib.closing(Guard(reviews, WANTED, clock=lambda: NOW)) as guard:
        for _ in range(3):
            with pytest.raises(UnauthenticatedError, match="does not accept the token"):
                guard.admit(token())
    assert reviews.tokens == 1
    with contextlib.closing(Guard(reviews, WANTED, Ages(bad_token=0), clock=lambda: NOW)) as guard:
        with pytest.raises(UnauthenticatedError):
            guard.admit(token())
        reviews.known = VIEWER
        assert guard.admit(token()).caller == VIEWER


def test_who_makes_up_tokens_pushes_no_good_one_out():
    reviews = Reviews()
    with contextlib.closing(Guard(reviews, WANTED, clock=lambda: NOW)) as guard:
        guard.admit(token())
        reviews.known = None
        for number in range(MAX_TOKENS + 1):
            with pytest.raises(UnauthenticatedError):
                guard.admit(token(jti=str(number)))
        assert guard.admit(token()).caller == VIEWER


def test_tokens_are_told_apart():
    reviews = Reviews()
    with contextlib.closing(Guard(reviews, WANTED, clock=lambda: NOW)) as guard:
        guard.admit(token())
        guard.admit(token(jti="2"))
    assert reviews.tokens == 2
