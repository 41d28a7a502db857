"""Proving to a registry who asks: basic authentication and token servers.

The protocol is the distribution project's (https://distribution.github.io/distribution/spec/auth/token/): a refusal
names a token server, which gives a token for one repository in exchange for a credential, or for none. What a host
asked for once is remembered, so that the next repository costs one token call and no refusal.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from requests.utils import parse_dict_header

from agent.model.images import Reference
from agent.registry.errors import Cause, RegistryError
from agent.registry.manifests import parsed
from agent.registry.records import Credential
from agent.registry.transport import Question, Transport

_SCHEMES = re.compile(
    r"(?:^|,)\s*(?P<scheme>[A-Za-z]+)\s+(?=[A-Za-z-]+\s*=)|(?:^|,)\s*(?P<bare>Basic|Negotiate)\s*(?=,|$)"
)
MAX_HEADER = 8192
DEFAULT_LIFETIME = 60.0
"""Seconds a token is good for where its server does not say."""
_MARGIN = 10.0
MAX_TOKENS = 5000
_CLIENT_ID = "flux-agent"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a host wants: `basic`, or `bearer` with a token of this server."""

    scheme: str
    realm: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    until: float


def challenge_of(header: str) -> Challenge | None:
    """The best challenge of a `WWW-Authenticate` header (RFC 9110): a token before a password; None for neither."""
    if len(header) > MAX_HEADER:
        return None
    found: dict[str, Challenge] = {}
    starts = list(_SCHEMES.finditer(header))
    for place, start in enumerate(starts):
        end = starts[place + 1].start() if place + 1 < len(starts) else len(header)
        scheme = (start["scheme"] or start["bare"]).lower()
        values = parse_dict_header(header[start.end() : end].strip(" ,"))
        found.setdefault(scheme, Challenge(scheme, values.get("realm") or "", values.get("service") or ""))
    bearer = found.get("bearer")
    return bearer if bearer and bearer.realm else found.get("basic")


class Authenticator:
    """Gives each request its `Authorization`; safe for many threads.

    Args:
        transport: Sends what goes to token servers.
        clock: Seconds that never jump.
    """

    def __init__(self, transport: Transport, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._challenges: dict[str, Challenge] = {}
        self._tokens: dict[tuple[str, ...], _Token] = {}

    def header(self, image: Reference, credential: Credential | None) -> str:
        """What to send to the image's host; empty where it asked for nothing so far.

        Raises:
            RegistryError: The token server refuses or cannot be reached.
        """
        with self._lock:
            challenge = self._challenges.get(image.host)
        if challenge is None:
            return ""
        if challenge.scheme == "basic":
            return f"Basic {_basic(credential)}" if credential else ""
        return f"Bearer {self._token(challenge, image.repository, credential)}"

    def learn(self, image: Reference, header: str, credential: Credential | None, sent: str) -> bool:
        """Take the challenge of a refusal of what was `sent`; whether asking again makes sense."""
        challenge, host, repository = challenge_of(header), image.host, image.repository
        if challenge is None:
            return False
        with self._lock:
            known = self._challenges.get(host)
            self._challenges[host] = challenge
            stale = self._tokens.pop(_key(challenge, repository, credential), None)
        return not sent or challenge != known or stale is not None

    def _token(self, challenge: Challenge, repository: str, credential: Credential | None) -> str:
        key, now = _key(challenge, repository, credential), self._clock()
        with self._lock:
            token = self._tokens.get(key)
        if token is None or token.until <= now:
            token = self._fetch(challenge, repository, credential)
            with self._lock:
                self._tokens[key] = token
                while len(self._tokens) > MAX_TOKENS:
                    del self._tokens[next(iter(self._tokens))]
        return token.value

    def _fetch(self, challenge: Challenge, repository: str, credential: Credential | None) -> _Token:
        scope = f"repository:{repository}:pull"
        answer = self._transport.send(_token_question(challenge, scope, credential))
        server = urlsplit(challenge.realm).netloc
        if answer.status in (400, 401, 403):
            who = f"with {credential.name}" if credential else "without a credential"
            raise RegistryError(
                f"the token server {server} gives no access to {repository} {who}",
                Cause.UNAUTHORIZED,
                hint="does the image pull secret fit?",
            )
        if answer.status != 200:
            raise RegistryError(f"the token server {server} answered {answer.status}", Cause.UNREACHABLE)
        document = parsed(answer.body, "token")
        value = document.get("token") or document.get("access_token")
        if not isinstance(value, str):
            raise RegistryError(f"the token server {server} gave no token", Cause.MALFORMED)
        lifetime = document.get("expires_in")
        seconds = float(lifetime) if isinstance(lifetime, int | float) and lifetime > 0 else DEFAULT_LIFETIME
        return _Token(value, self._clock() + max(seconds - _MARGIN, _MARGIN))


def _token_question(challenge: Challenge, scope: str, credential: Credential | None) -> Question:
    if urlsplit(challenge.realm).scheme not in ("http", "https"):
        raise RegistryError("it names a token server that has no web address", Cause.MALFORMED)
    if credential and credential.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": credential.identity_token,
            "service": challenge.service,
            "scope": scope,
            "client_id": _CLIENT_ID,
        }
        return Question(challenge.realm, "token", "POST", form=form)
    query = urlencode({"service": challenge.service, "scope": scope} if challenge.service else {"scope": scope})
    joint = "&" if urlsplit(challenge.realm).query else "?"
    headers = {"Authorization": f"Basic {_basic(credential)}"} if credential else {}
    return Question(f"{challenge.realm}{joint}{query}", "token", headers=headers)


def _basic(credential: Credential) -> str:
    return base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()


def _key(challenge: Challenge, repository: str, credential: Credential | None) -> tuple[str, ...]:
    """Tokens are kept by what they were asked with; the credential itself only as a hash."""
    secret = [credential.username, credential.password, credential.identity_token] if credential else []
    mark = hashlib.sha256("\0".join(secret).encode()).hexdigest() if credential else ""
    return (challenge.realm, challenge.service, repository, mark)
