"""Tokens of ServiceAccounts: made, and checked against the store each time they are shown.

They are JSON Web Tokens as the real server makes them, but signed by a random key of the sandbox's own (HS256), so no
other program can check them. What a token is bound to must exist, with the uid it had. Nothing is cached: a deletion
counts at once, while a real server may go on for ten seconds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.sandbox.rbac import ACCOUNTS, AUTHENTICATED, User, account_user
from agent.sandbox.store import Store

Object = dict[str, Any]

ISSUER = "https://kubernetes.default.svc"
"""Who issues the tokens; also the audience of a token that is meant for the API server itself."""

_CREDENTIAL = "authentication.kubernetes.io/credential-id"
_KINDS: Mapping[str, str] = {"Pod": "pods", "Secret": "secrets"}
"""What a token may be bound to, and where such objects are."""


class TokenError(Exception):
    """A token proves nothing; in the real server's words, empty for what is no token of this server at all."""


class Tokens:
    """Makes and checks tokens.

    Args:
        store: Where the ServiceAccounts are.
        clock: The time, in seconds since 1970.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def make(
        self, account: Object, audiences: Iterable[str], seconds: int, bound: Object | None = None
    ) -> tuple[str, int]:
        """A token of a ServiceAccount, and when it ends, in seconds since 1970.

        Args:
            account: The ServiceAccount.
            audiences: Whom the token is meant for.
            seconds: How long it holds.
            bound: The Pod or Secret without which it holds no longer.
        """
        metadata, begin = account["metadata"], int(self._clock())
        private: Object = {"namespace": metadata["namespace"], "serviceaccount": _reference(account)}
        if bound:
            private[bound["kind"].lower()] = _reference(bound)
        claims = {
            "aud": list(audiences),
            "exp": begin + seconds,
            "iat": begin,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": begin,
            "sub": account_user(metadata["namespace"], metadata["name"]),
        }
        signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
        return f"{signed}.{self._signature(signed)}", begin + seconds

    def check(self, token: str, audiences: Iterable[str]) -> tuple[User, tuple[str, ...]]:
        """Whose token this is, and for which of the audiences.

        Raises:
            TokenError: It is not valid, or for none of them.
        """
        claims = _claims(token)
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(signed).encode(), signature.encode()):
            raise TokenError("go-jose/go-jose: error in cryptographic primitive")
        if self._clock() > claims["exp"]:
            raise TokenError("service account token has expired")
        wanted = tuple(audiences)
        shared = tuple(audience for audience in wanted if audience in claims["aud"])
        if not shared:
            words = f"token audiences {_go_list(claims['aud'])} is invalid for the target audiences {_go_list(wanted)}"
            raise TokenError(words)
        self._check_bonds(claims["kubernetes.io"])
        return _user(claims), shared

    def _check_bonds(self, private: Object) -> None:
        namespace, account = private["namespace"], private["serviceaccount"]
        found = self._store.get(("", "serviceaccounts"), namespace, account["name"])
        if found is None:
            raise TokenError(f'serviceaccounts "{account["name"]}" not found')
        uid = found["metadata"]["uid"]
        if uid != account["uid"]:
            raise TokenError(f"service account UID ({uid}) does not match claim ({account['uid']})")
        for kind, plural in _KINDS.items():
            bound = private.get(kind.lower())
            live = self._store.get(("", plural), namespace, bound["name"]) if bound else None
            if bound and (live is None or live["metadata"]["uid"] != bound["uid"]):
                raise TokenError("service account token has been invalidated")

    def _signature(self, signed: str) -> str:
        return _base64(hmac.digest(self._key, signed.encode(), hashlib.sha256))


def bound_plural(reference: Object) -> str:
    """Where the object is that a token is to be bound to; empty for kinds that it cannot be bound to."""
    return _KINDS.get(reference.get("kind", ""), "") if reference.get("apiVersion") == "v1" else ""


def _reference(obj: Object) -> Object:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}


def _user(claims: Object) -> User:
    private = claims["kubernetes.io"]
    namespace, account = private["namespace"], private["serviceaccount"]
    extra = {_CREDENTIAL: (f"JTI={claims['jti']}",)}
    if pod := private.get("pod"):
        extra |= {f"authentication.kubernetes.io/pod-{name}": (pod[name],) for name in ("name", "uid")}
    groups = (ACCOUNTS, f"{ACCOUNTS}:{namespace}", AUTHENTICATED)
    return User(account_user(namespace, account["name"]), account["uid"], groups, extra)


def _claims(token: str) -> Object:
    """What a token says, whoever made it; a TokenError without words where it is none of this issuer."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, binascii.Error) as error:
        raise TokenError("") from error
    if len(parts) != 3 or not isinstance(claims, dict) or claims.get("iss") != ISSUER:
        raise TokenError("")
    return claims


def _encoded(value: Object) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _go_list(values: Iterable[str]) -> str:
    return "[" + " ".join(json.dumps(value) for value in values) + "]"
