"""Who calls: the seam every call of either front passes before it reaches the service.

`--auth=token`: a token is checked for what it says of itself, then by the API server, whose answer is remembered for a
minute. What its owner may is asked when a method wants to know, see `agent.api.access`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.api.access import Grants, Rights, Tally, Unobserved
from agent.api.errors import UnauthenticatedError
from agent.api.remembered import Remembered
from agent.api.tokens import Claims, Wanted, check
from agent.model.access import Access, Caller, OpenAccess, Right

TOKEN_HEADER = "x-flux-token"  # noqa: S105 # a header's name
"""The API server's proxy strips `Authorization`, so the token travels in a header of its own."""

MAX_TOKENS = 1_000
"""Tokens that are remembered: so many good ones, and so many bad ones beside them."""

Admit = Callable[[str], Access]
"""Takes the token of a call, empty where there is none; raises UnauthenticatedError where it proves nothing."""


def admit_everybody(_token: str) -> Access:
    """`--auth=none`: whoever reaches the port is trusted."""
    return OpenAccess()


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds for which the API server's answers are remembered.

    Attributes:
        token: Whose a token is; never longer than the token itself is good.
        bad_token: That a token is not accepted.
        right: Whether a caller has a right.
        refusal: The same where it made a call be refused, so that who was just granted the right need not wait.
    """

    token: float = 60.0
    bad_token: float = 5.0
    right: float = 60.0
    refusal: float = 5.0


class Reviews(Protocol):
    """Asks the API server; `agent.cluster.access.Reviewer` is one."""

    def review_token(self, token: str, audiences: Sequence[str]) -> Caller | None:
        """Whose token it is; None where it is not accepted."""

    def is_allowed(self, caller: Caller, right: Right, namespace: str) -> bool:
        """Whether the caller has the right there; an empty namespace stands for the cluster as a whole."""


class Guard:
    """`--auth=token`: lets in whoever the API server knows, with the rights that it says they have.

    Args:
        reviews: Asks the API server.
        wanted: Which tokens are taken.
        ages: How long answers are remembered.
        tally: Is told how many answers were asked for and how many remembered.
        clock: The time in Unix seconds, to see whether a token has expired.
    """

    def __init__(
        self,
        reviews: Reviews,
        wanted: Wanted,
        ages: Ages | None = None,
        tally: Tally | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reviews = reviews
        self._wanted = wanted
        self._ages = ages or Ages()
        self._tally = tally or Unobserved()
        self._clock = clock
        self._callers: Remembered[str, Caller | None] = Remembered(MAX_TOKENS)
        # Apart, so that nobody who makes up tokens pushes the good ones out.
        self._strangers: Remembered[str, None] = Remembered(MAX_TOKENS)
        self._rights = Rights(reviews.is_allowed, self._ages.right, self._ages.refusal, self._tally, wanted.namespace)

    def admit(self, token: str) -> Access:
        """Find out who calls.

        Raises:
            UnauthenticatedError: The token proves nothing.
            ClusterError: The API server could not be asked.
        """
        claims = check(token, self._wanted, self._clock())
        name = hashlib.sha256(token.encode()).hexdigest()
        known = self._callers.known([name]) or self._strangers.known([name])
        self._tally.observe_reviews("token", asked=1 - len(known), remembered=len(known))
        caller = known[name] if known else self._callers.get(name, lambda: self._review(token, claims))
        if caller is None:
            self._strangers.get(name, lambda: (None, self._ages.bad_token))
            raise UnauthenticatedError(
                "the API server does not accept the token: it was revoked, or another cluster made it",
                hint=self._wanted.hint,
            )
        return Grants(caller, self._rights)

    def close(self) -> None:
        """End the threads that ask; calls that still run are refused."""
        self._rights.close()

    def _review(self, token: str, claims: Claims) -> tuple[Caller | None, float]:
        caller = self._reviews.review_token(token, self._wanted.audiences)
        if caller is None:
            return None, 0.0
        return caller, min(self._ages.token, claims.expires - self._clock())
