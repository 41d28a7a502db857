"""Tokens of ServiceAccounts: how they are asked for, and what they prove."""

from __future__ import annotations

import base64
import json
from datetime import datetime

import pytest
from conformance_api import ALICE, bearer, until

ISSUER = "https://kubernetes.default.svc"
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
SELF_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def _claims(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def _review(api, token, *audiences):
    body = {"spec": {"token": token, **({"audiences": audiences} if audiences else {})}}
    return api.create(TOKEN_REVIEWS, body)["status"]


class TestTokenRequests:
    def test_a_token_says_whose_and_for_whom_it_is(self, api, namespace, bot):
        uid = api.get(bot)["metadata"]["uid"]
        made = api.create(f"{bot}/token", {"spec": {"audiences": ["a", "b"], "expirationSeconds": 600}})
        assert (made["kind"], made["apiVersion"]) == ("TokenRequest", "authentication.k8s.io/v1")
        metadata = made["metadata"]
        assert (metadata["name"], metadata["namespace"], metadata["uid"]) == ("bot", namespace, uid)
        assert made["spec"] == {"audiences": ["a", "b"], "expirationSeconds": 600, "boundObjectRef": None}
        claims = _claims(made["status"]["token"])
        begin, end = claims.pop("iat"), claims.pop("exp")
        assert (end - begin, claims.pop("nbf")) == (600, begin)
        assert datetime.fromisoformat(made["status"]["expirationTimestamp"]).timestamp() == end
        assert len(claims.pop("jti")) == 36
        assert claims == {
            "aud": ["a", "b"],
            "iss": ISSUER,
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": "bot", "uid": uid}},
            "sub": f"system:serviceaccount:{namespace}:bot",
        }

    def test_an_hour_at_the_api_server_is_the_default(self, api, bot):
        made = api.create(f"{bot}/token", {})
        assert made["spec"] == {"audiences": [ISSUER], "expirationSeconds": 3600, "boundObjectRef": None}
        assert _claims(made["status"]["token"])["aud"] == [ISSUER]

    @pytest.mark.parametrize(
        ("code", "body", "message"),
        [
            (422, {"spec": {"expirationSeconds": 599}}, "599: may not specify a duration less than 10 minutes"),
            (422, {"spec": {"expirationSeconds": 0}}, "0: may not specify a duration less than 10 minutes"),
            (422, {"spec": {"expirationSeconds": 1 << 33}}, "may not specify a duration larger than 2^32 seconds"),
            (422, {"metadata": {"name": "x"}}, '"x": must match the service account name if specified'),
            (400, {"metadata": {"namespace": "x"}}, "does not match the namespace sent on the request"),
            (400, {"spec": {"expirationSeconds": "600"}}, "TokenRequestSpec.spec.expirationSeconds of type int64"),
            (400, {"spec": {"audiences": "a"}}, "TokenRequestSpec.spec.audiences of type []string"),
            (400, {"kind": "Pod", "apiVersion": "v1"}, 'Pod in version "v1" cannot be handled as a TokenRequest'),
            (400, {"spec": {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1"}}}, "/v1, Kind=ConfigMap"),
            (
                404,
                {"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "none"}}},
                'secrets "none" not found',
            ),
        ],
    )
    def test_wrong_wishes_are_refused(self, api, bot, code, body, message):
        assert message in api.refused(code, "POST", f"{bot}/token", body)["message"]

    def test_only_accounts_that_exist_have_tokens(self, api, accounts, bot):
        missing = api.refused(404, "POST", f"{accounts}/none/token", {})
        assert (missing["message"], missing["details"]["kind"]) == (
            'serviceaccounts "none" not found',
            "serviceaccounts",
        )
        nowhere = api.refused(404, "POST", "/api/v1/namespaces/none/serviceaccounts/bot/token", {})
        assert nowhere["message"] == 'namespaces "none" not found'
        assert api.refused(405, "GET", f"{bot}/token")["reason"] == "MethodNotAllowed"

    def test_a_token_may_be_bound_to_a_secret(self, api, namespace, bot):
        secret = api.create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "s"}})
        reference = {"kind": "Secret", "apiVersion": "v1", "name": "s"}
        token = api.token(bot, boundObjectRef=reference)
        bound = {"name": "s", "uid": secret["metadata"]["uid"]}
        assert _claims(token)["kubernetes.io"]["secret"] == bound
        assert _review(api, token)["authenticated"]
        status = api.refused(409, "POST", f"{bot}/token", {"spec": {"boundObjectRef": {**reference, "uid": "other"}}})
        assert status["reason"] == "Conflict"


class TestTokenReviews:
    def test_a_valid_token_tells_its_user(self, api, namespace, bot):
        token = api.token(bot, audiences=["a", "b"])
        assert _review(api, token, "b", "c") == {
            "authenticated": True,
            "user": {
                "username": f"system:serviceaccount:{namespace}:bot",
                "uid": api.get(bot)["metadata"]["uid"],
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
                "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={_claims(token)['jti']}"]},
            },
            "audiences": ["b"],
        }

    def test_a_token_for_nobody_is_for_the_api_server(self, api, bot):
        assert _review(api, api.token(bot))["audiences"] == [ISSUER]

    @pytest.mark.parametrize("audiences", [("c",), ()])
    def test_a_token_for_others_is_not_valid(self, api, bot, audiences):
        asked = f'"{(audiences or (ISSUER,))[0]}"'
        words = f'token audiences ["a" "b"] is invalid for the target audiences [{asked}]'
        status = _review(api, api.token(bot, audiences=["a", "b"]), *audiences)
        assert status == {"user": {}, "error": f"[invalid bearer token, {words}]"}

    def test_people_have_tokens_too(self, api):
        user = {"username": "alice", "uid": "alice", "groups": ["team-a", "system:authenticated"]}
        assert _review(api, "alice-token") == {"authenticated": True, "user": user, "audiences": [ISSUER]}
        assert _review(api, "alice-token", "x") == {"user": {}, "error": "invalid bearer token"}

    @pytest.mark.parametrize("token", ["nonsense", "a.b.c", "é"])
    def test_what_is_no_token_is_not_valid(self, api, token):
        assert _review(api, token) == {"user": {}, "error": "invalid bearer token"}

    def test_a_forged_token_is_not_valid(self, api, bot):
        head, body, signature = api.token(bot).split(".")
        status = _review(api, f"{head}.{body}.{signature[::-1]}")
        assert "authenticated" not in status
        assert status["error"].startswith("[invalid bearer token, ")

    def test_a_token_ends_with_its_account(self, api, accounts, bot):
        # The real server remembers for a while what it has checked, so each token is shown once.
        tokens = [api.token(bot) for _ in range(30)]
        assert _review(api, tokens.pop())["authenticated"]
        api.call("DELETE", bot)
        assert 'serviceaccounts "bot" not found' in _first_error(api, tokens)
        tokens = tokens[:2]
        api.create(accounts, {"metadata": {"name": "bot"}})
        new = api.get(bot)["metadata"]["uid"]
        assert f"service account UID ({new}) does not match claim" in _first_error(api, tokens, "UID")

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "token is required for TokenReview in authentication"),
            ({"spec": {"token": 5}}, "TokenReviewSpec.spec.token of type string"),
            ({"kind": "Pod", "apiVersion": "v1"}, "cannot be handled as a TokenReview"),
            (None, "the object provided is unrecognized (must be of type TokenReview)"),
        ],
    )
    def test_what_asks_nothing_is_refused(self, api, body, message):
        assert message in api.refused(400, "POST", TOKEN_REVIEWS, body)["message"]

    def test_reviews_are_not_kept(self, api):
        assert api.refused(405, "GET", TOKEN_REVIEWS)["reason"] == "MethodNotAllowed"
        assert api.refused(404, "GET", f"{TOKEN_REVIEWS}/x")["reason"] == "NotFound"


def _first_error(api, tokens, words=""):
    """Shows token after token until one is refused in these words; what was said then."""

    def refused():
        status = _review(api, tokens.pop() if len(tokens) > 1 else tokens[0])
        return status.get("error", "") if words in status.get("error", "") else ""

    return until(refused)


class TestWhoAmI:
    @pytest.mark.parametrize(
        ("headers", "name", "groups"),
        [
            (ALICE, "alice", ["team-a"]),
            ({"Impersonate-User": "joe", "Impersonate-Group": "g1"}, "joe", ["g1"]),
            ({"Impersonate-User": "joe"}, "joe", []),
            (
                {"Impersonate-User": "system:serviceaccount:x:bot"},
                "system:serviceaccount:x:bot",
                ["system:serviceaccounts", "system:serviceaccounts:x"],
            ),
        ],
    )
    def test_by_token_and_impersonation(self, api, headers, name, groups):
        user = self._user(api, headers)
        assert (user["username"], user["groups"]) == (name, [*groups, "system:authenticated"])

    def test_of_an_account(self, api, bot):
        token = api.token(bot)
        assert self._user(api, bearer(token)) == _review(api, token)["user"]

    def _user(self, api, headers):
        answer = api.call("POST", SELF_REVIEWS, {}, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()["status"]["userInfo"]
