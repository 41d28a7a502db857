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
from agent.registry.transport import Question, Transport, address_of

_SCHEMES = re.compile(
    r"(?:^|,)\s*(?P<scheme>[A-Za-z]+)\s+(?=[A-Za-z-]+\s*=)|(?:^|,)\s*(?P<bare>Basic|Negotiate)\s*(?=,|$)"
)
MAX_HEADER = 8192
DEFAULT_LIFETIME = 60.0
"""Seconds a token is good for where its server does not say."""
MAX_LIFETIME = 86_400.0
_MARGIN = 10.0
_LATELY = 900.0
"""Seconds after a token's end for which its server is taken to be the one that the host still wants."""
MAX_TOKENS = 5000
MAX_HOSTS = 1000
_CLIENT_ID = "flux-agent"
_TOKEN = re.compile(r"[!-~]+")


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

    def header(self, image: Reference, credential: Credential | None, *, just_learned: bool) -> str:
        """What to send to the image's host; empty where it asked for nothing so far, or nothing that still works.

        Args:
            image: The image.
            credential: What to ask with.
            just_learned: Whether the host has just said what it wants; what it said before may not hold any more.

        Raises:
            RegistryError: The token server refuses or cannot be reached.
        """
        with self._lock:
            challenge = self._challenges.get(image.host)
        if challenge is None:
            return ""
        if challenge.scheme == "basic":
            return f"Basic {_basic(credential)}" if credential else ""
        try:
            return f"Bearer {self._token(challenge, image, credential)}"
        except RegistryError as error:
            with self._lock:
                if self._may_have_moved(challenge, error) and self._challenges.get(image.host) == challenge:
                    del self._challenges[image.host]
            if just_learned or error.cause in (Cause.BUSY, Cause.UNAUTHORIZED):
                raise
            return ""

    def learn(self, image: Reference, header: str, credential: Credential | None, sent: str) -> bool:
        """Take the challenge of a refusal of what was `sent`; whether asking again makes sense."""
        challenge, host, repository = challenge_of(header), image.host, image.repository
        if challenge is None:
            return False
        with self._lock:
            known = self._challenges.pop(host, None)
            self._challenges[host] = challenge
            while len(self._challenges) > MAX_HOSTS:
                del self._challenges[next(iter(self._challenges))]
            stale = self._tokens.pop(_key(challenge, repository, credential), None)
        return not sent or challenge != known or stale is not None

    def _may_have_moved(self, challenge: Challenge, error: RegistryError) -> bool:
        """Whether what a token server says may come of its not being wanted any more; with the lock held.

        One that gave tokens lately means those whom it refuses: others need not be refused by the host for that.
        """
        if error.cause is not Cause.UNAUTHORIZED:
            return error.cause is not Cause.BUSY
        server, since = (challenge.realm, challenge.service), self._clock() - _LATELY
        return not any(key[:2] == server and token.until > since for key, token in self._tokens.items())

    def _token(self, challenge: Challenge, image: Reference, credential: Credential | None) -> str:
        key, now = _key(challenge, image.repository, credential), self._clock()
        with self._lock:
            token = self._tokens.get(key)
        if token is None or token.until <= now:
            token = self._fetch(challenge, image, credential)
            with self._lock:
                self._tokens[key] = token
                while len(self._tokens) > MAX_TOKENS:
                    del self._tokens[next(iter(self._tokens))]
        return token.value

    def _fetch(self, challenge: Challenge, image: Reference, credential: Credential | None) -> _Token:
        repository, server = image.repository, self._server(challenge, image.host)
        answer = self._transport.send(_token_question(challenge, f"repository:{repository}:pull", credential))
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
        if not (isinstance(value, str) and _TOKEN.fullmatch(value)):
            raise RegistryError(f"the token server {server} gave no token", Cause.MALFORMED)
        told = document.get("expires_in")
        lifetime = told if isinstance(told, int | float) and told > 0 else DEFAULT_LIFETIME
        seconds = min(lifetime, MAX_LIFETIME)
        return _Token(value, self._clock() + max(seconds - _MARGIN, _MARGIN))

    def _server(self, challenge: Challenge, host: str) -> str:
        """The token server's host. What a host says over TLS sends nobody to where anybody may listen.

        Raises:
            RegistryError: Its address is none, or is not to be asked.
        """
        address = address_of(challenge.realm, f"the token server that {host} names")
        if address.scheme == "http" and not any(map(self._transport.may_be_plain, (host, address.netloc))):
            raise RegistryError(
                f"{host} names a token server without TLS, {address.netloc}, which is not asked",
                Cause.MALFORMED,
                hint=f"--registry-insecure-host={address.netloc} lets it be asked",
            )
        return address.netloc


def _token_question(challenge: Challenge, scope: str, credential: Credential | None) -> Question:
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
    return base64.b64encode(f"{credential.username}:{credential.password}".encode(errors="replace")).decode()


def _key(challenge: Challenge, repository: str, credential: Credential | None) -> tuple[str, ...]:
    """Tokens are kept by what they were asked with; the credential itself only as a hash."""
    secret = [credential.username, credential.password, credential.identity_token] if credential else []
    mark = hashlib.sha256("\0".join(secret).encode(errors="replace")).hexdigest() if credential else ""
    return (challenge.realm, challenge.service, repository, mark)
