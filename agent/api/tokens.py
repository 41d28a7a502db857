"""What a token says of itself before anybody is asked: enough to refuse most wrong ones without a request. Pure.

Nothing read here is believed: whose the token is, and whether it is good, only the API server's review tells. No text
made here holds any part of a token.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass

from agent.api.errors import UnauthenticatedError

MAX_TOKEN = 16 * 1024
"""Characters of a token; a ServiceAccount's has about 1,200."""

_JWT = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tokens are taken: those for one of `audiences`; `namespace` is the agent's own, for the hint."""

    audiences: tuple[str, ...]
    namespace: str

    @property
    def command(self) -> str:
        """What makes one."""
        return f"kubectl create token flux-operator -n {self.namespace} --audience={self.audiences[0]}"

    @property
    def hint(self) -> str:
        """How to get one."""
        return f"get one with: {self.command}"


@dataclass(frozen=True, slots=True)
class Claims:
    """Whom a token says it is for, and until when: `expires` in Unix seconds, infinite where it does not say."""

    audiences: frozenset[str]
    expires: float


def check(token: str, wanted: Wanted, now: float) -> Claims:
    """Read a token's claims and refuse what no review could accept; `now` is in Unix seconds.

    Raises:
        UnauthenticatedError: There is none, it is no JSON web token, it has expired, or it is for somebody else.
    """
    if not token:
        raise UnauthenticatedError(
            "the call came without a token, so the agent cannot tell who is calling",
            hint=f"kubectl flux sends one; others send it in the header X-Flux-Token, made with: {wanted.command}",
        )
    claims = _claims(token)
    if claims is None:
        raise UnauthenticatedError("what came as a token is no ServiceAccount's token", hint=wanted.hint)
    if claims.audiences.isdisjoint(wanted.audiences):
        audiences = " or ".join(wanted.audiences)
        raise UnauthenticatedError(
            f"the token is not for this agent: its audience must be {audiences}", hint=wanted.hint
        )
    if not claims.expires > now:
        raise UnauthenticatedError("the token has expired", hint=wanted.hint)
    return claims


def _claims(token: str) -> Claims | None:
    match = _JWT.fullmatch(token) if len(token) <= MAX_TOKEN else None
    if match is None:
        return None
    try:
        said = json.loads(base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
        audience, expires = said.get("aud", ()), said.get("exp", math.inf)
        audiences = (audience,) if isinstance(audience, str) else audience
        return Claims(frozenset(map(str, audiences)), float(expires))
    except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
