"""Who the plugin says it is to the agent: a ServiceAccount, proven by a token for this one agent.

The API server does not pass on who called, so the plugin asks it for a ServiceAccount's token of audience
`flux:NAMESPACE/SERVICE` (a TokenRequest), which no other agent and no API server takes, and sends it in a header. The
right to ask for it is the user's own. A token lives for ten minutes and is kept in the user's cache. An agent that has
never asked for a token is asked without one, so that one with --auth=none costs nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kubectl_flux.errors import RefusedError, UnreachableError, hint_beside, without_hint
from kubectl_flux.replies import message_of, parsed
from kubectl_flux.transport import Reply, Request

if TYPE_CHECKING:
    from kubectl_flux.cache import Cache
    from kubectl_flux.locate import Service
    from kubectl_flux.transport import Link

HEADER = "X-Flux-Token"
USUAL_ACCOUNTS = ("flux-operator", "flux-viewer")
LIFETIME = 600
RENEW_BEFORE = 60

_CREATED = 201
_NOT_FOUND = 404
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


class Account(NamedTuple):
    """One ServiceAccount."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Token(NamedTuple):
    """A token, whose, and until when by this machine's clock, in seconds of Unix time."""

    text: str
    account: str
    expires: float

    def is_fresh(self, now: float) -> bool:
        """Whether it will do for a call; one from beyond its own lifetime was written by another clock."""
        return RENEW_BEFORE <= self.expires - now <= LIFETIME

    def __repr__(self) -> str:
        return f"Token(account={self.account!r}, expires={self.expires!r})"


class Refusal(NamedTuple):
    """Why there is no token of an account: the HTTP status and the API server's words."""

    status: int
    reason: str


class Caller(NamedTuple):
    """Who asks for tokens.

    Attributes:
        account: The ServiceAccount that was chosen, `[NAMESPACE/]NAME`; empty for the usual ones in turn.
        person: As whom the API server is asked, for error sentences.
        fingerprint: Tells this user on this cluster from any other; empty where that is not known, so nothing is kept.
    """

    account: str = ""
    person: str = "kubectl's own user"
    fingerprint: str = ""


class Identity(Protocol):
    """What the way to an agent asks for the caller's sake."""

    def token(self, service: Service, timeout: float) -> str:
        """The token to send; empty where none is wanted yet, or none can be had."""

    def renewed(self, service: Service, timeout: float) -> str:
        """A new token; empty where none can be had."""

    def may_rise(self, service: Service) -> bool:
        """Whether a new token may be another account's than the one that was sent."""

    def unknown(self, service: Service, reply: Reply) -> RefusedError:
        """The error for an agent that does not know who calls."""

    def denied(self, service: Service, reply: Reply) -> RefusedError:
        """The error for an agent that does not allow the call."""


class AccountIdentity:
    """The token of a ServiceAccount, from the cache or from the API server.

    Args:
        link: To the API server.
        cache: Where tokens are kept.
        caller: Who asks.
        clock: Unix time, in seconds.
    """

    def __init__(self, link: Link, cache: Cache, caller: Caller, clock: Callable[[], float] = time.time) -> None:
        self._link = link
        self._cache = cache
        self._caller = caller
        self._clock = clock
        self._known: dict[Service, Token] = {}
        self._refused: dict[Account, Refusal] = {}

    def token(self, service: Service, timeout: float) -> str:
        """The token to send: the one that is known, or a new one where an old one shows that the agent wants it.

        Raises:
            UnreachableError: The API server cannot be reached.
        """
        known = self._known.get(service) or self._kept(service)
        if known is None or known.is_fresh(self._clock()):
            return known.text if known else ""
        return self.renewed(service, timeout)

    def renewed(self, service: Service, timeout: float) -> str:
        """A new token of the first account that gives one.

        Raises:
            UnreachableError: The API server cannot be reached.
        """
        self._known.pop(service, None)
        self._refused.clear()
        for account in accounts_for(self._caller.account, service.namespace):
            token = self._requested(account, service, timeout)
            if token is not None:
                self._known[service] = token
                if self._caller.fingerprint:
                    self._cache.write(self._file(service), written(token))
                return token.text
        self._cache.drop(self._file(service))
        return ""

    def may_rise(self, service: Service) -> bool:
        """Whether the account was only the second choice, and that was settled by an earlier command."""
        known = self._known.get(service)
        first = accounts_for(self._caller.account, service.namespace)[0]
        return known is not None and known.account != str(first) and not self._refused

    def unknown(self, service: Service, reply: Reply) -> RefusedError:
        """The error for an agent that does not know who calls: what was tried, as whom, and what would help."""
        message = message_of(reply) or "the agent does not know who calls"
        known = self._known.get(service)
        if known is not None:
            sent = f"It refused a new token of ServiceAccount {known.account}, made for flux:{service}."
            return RefusedError(message, hint=hint_beside(message, sent))
        tried = "\n".join(f"  {account}: {refusal.reason}" for account, refusal in self._refused.items())
        return RefusedError(
            without_hint(message),
            hint=f"No ServiceAccount's token could be had as {self._caller.person}:\n{tried}\n"
            f"{remedy(self._refused)} Or name another account with --service-account.",
        )

    def denied(self, service: Service, reply: Reply) -> RefusedError:
        """The error for an agent that does not allow the call: as which account it was made, and why as that one."""
        message = message_of(reply)
        known = self._known.get(service)
        if known is None:
            return RefusedError(message, hint="Ask for the right on group flux.fluxcd.io that is named here.")
        hints = [hint_beside(message, f"The call was made as ServiceAccount {known.account}.")]
        for account, refusal in self._refused.items():
            hints += [f"It could not be made as {account}: {refusal.reason}", remedy({account: refusal})]
        return RefusedError(message, hint="\n".join(filter(None, hints)))

    def _kept(self, service: Service) -> Token | None:
        if not self._caller.fingerprint:
            return None
        token = read(self._cache.read(self._file(service)))
        if token is not None:
            self._known[service] = token
        return token

    def _requested(self, account: Account, service: Service, timeout: float) -> Token | None:
        """Ask the API server for a token; None, and the reason remembered, where it gives none."""
        import json  # noqa: PLC0415 - once in ten minutes

        wanted = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience(service)], "expirationSeconds": LIFETIME},
        }
        path = f"/api/v1/namespaces/{account.namespace}/serviceaccounts/{account.name}/token"
        now = self._clock()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        reply = self._link.send(Request(path, headers, json.dumps(wanted).encode()), timeout)
        answer = parsed(reply)
        if reply.status >= 500 and answer.get("kind") != "Status":
            raise UnreachableError(f"{self._link.where} answered {reply.status}: {reply.excerpt()}")
        if reply.status != _CREATED:
            said = message_of(reply) or f"the API server answered {reply.status}: {reply.excerpt()}"
            self._refused[account] = Refusal(reply.status, said)
            return None
        text = str((answer.get("status") or {}).get("token") or "")
        if not _TOKEN.fullmatch(text):
            self._refused[account] = Refusal(reply.status, "the API server's answer holds no token")
            return None
        seconds = (answer.get("spec") or {}).get("expirationSeconds")
        lifetime = min(LIFETIME, seconds) if isinstance(seconds, int) else LIFETIME
        return Token(text, str(account), now + lifetime)

    def _file(self, service: Service) -> str:
        return cache_name("token", self._caller.fingerprint, self._caller.account, audience(service))


def audience(service: Service) -> str:
    """Whom a token is for: this agent and no other."""
    return f"flux:{service}"


def accounts_for(chosen: str, namespace: str) -> tuple[Account, ...]:
    """The ServiceAccounts to try in turn, for an agent in this namespace."""
    account_namespace, _, name = chosen.rpartition("/")
    names = (name,) if name else USUAL_ACCOUNTS
    return tuple(Account(account_namespace or namespace, name) for name in names)


def cache_name(kind: str, *parts: str) -> str:
    """The name of a file in the cache; its parts cannot be told from it."""
    import hashlib  # noqa: PLC0415 - loaded by now: a fingerprint is a hash

    return f"{kind}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:40]}"


def written(token: Token) -> str:
    """A token as it is kept."""
    return f"{token.account}\n{int(token.expires)}\n{token.text}\n"


def read(text: str) -> Token | None:
    """A token that was kept; None where the text is none."""
    match text.split("\n"):
        case [account, expires, token, ""] if expires.isdecimal() and _TOKEN.fullmatch(token):
            return Token(token, account, float(expires))
    return None


def remedy(refused: Mapping[Account, Refusal]) -> str:
    """What would help, for the account that may do the least of those that exist."""
    there = [account for account, refusal in refused.items() if refusal.status != _NOT_FOUND]
    if not there:
        names = " and ".join(sorted({account.namespace for account in refused}))
        return f"Make the ServiceAccount in namespace {names}, as the agent's installation does."
    return (
        f"A Role in namespace {there[-1].namespace} with verb create on serviceaccounts/token is needed "
        f'(resourceNames: ["{there[-1].name}"]).'
    )
