"""What a caller may: the API server's answers, asked in parallel and remembered, and how a refusal is told.

Cluster-wide first, because that is one question; namespace by namespace only for those who lack it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Protocol

from agent.api.errors import UnavailableError
from agent.api.remembered import Remembered
from agent.model.access import GET_MANIFESTS, LIST_WORKLOADS, Caller, ForbiddenError, Right, Visible
from agent.model.errors import StoppedError

HOME = "flux"
"""The usual namespace of an agent."""

THREADS = 8
"""Questions asked of the API server at a time, for all callers together."""

MAX_ANSWERS = 20_000
"""Answers that are remembered: some 6 MB."""

MAX_NAMESPACES = 2_000
"""Namespaces that one call is asked about; what is in more is not shown to those who lack the right cluster-wide."""

MAX_NAMES = 5
"""Namespaces that one refusal names."""

_BATCH = 64
_DEADLINE = 60.0
_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_LOOKING = frozenset({LIST_WORKLOADS, GET_MANIFESTS})

_Question = tuple[Caller, Right, str]


class Tally(Protocol):
    """Counts reviews; `telemetry.Metrics` is one."""

    def observe_reviews(self, kind: str, *, asked: int, remembered: int) -> None:
        """So many answers about a `token` or an `access` were asked for, and so many were remembered."""


class Unobserved:
    """Counts nothing."""

    def observe_reviews(self, kind: str, *, asked: int, remembered: int) -> None:
        """Do nothing."""


class Rights:
    """The API server's answers about everybody's rights; safe for many threads.

    Args:
        is_allowed: Asks the API server; an empty namespace stands for the cluster as a whole.
        age: Seconds for which an answer is remembered.
        refusal_age: The same for answers that made a call be refused.
        tally: Is told how many answers were asked for and how many remembered.
        home: The agent's namespace, by which roles are called outside `flux`.
    """

    def __init__(
        self,
        is_allowed: Callable[[Caller, Right, str], bool],
        age: float,
        refusal_age: float,
        tally: Tally,
        home: str = HOME,
    ) -> None:
        self._is_allowed = is_allowed
        self._age = age
        self._refusal_age = refusal_age
        self._tally = tally
        self._home = home
        self._answers: Remembered[_Question, bool] = Remembered(MAX_ANSWERS)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="access")
        self._closed = False

    def allowed(self, caller: Caller, right: Right, namespaces: Collection[str]) -> frozenset[str]:
        """Those of the namespaces in which the caller has the right; an empty name stands for the cluster.

        Raises:
            ClusterError: The API server could not be asked.
            UnavailableError: It did not answer in time.
            StoppedError: The agent is shutting down.
        """
        questions = [(caller, right, name) for name in namespaces]
        answers = self._answers.known(questions)
        missing = [question for question in questions if question not in answers]
        self._tally.observe_reviews("access", asked=len(missing), remembered=len(answers))
        answers |= self._asked(missing)
        return frozenset(name for _, _, name in (question for question in questions if answers[question]))

    def refused(self, caller: Caller, right: Right, asked: Iterable[str], missing: Sequence[str]) -> ForbiddenError:
        """The error of a call that is refused for want of `missing`; soon the API server is asked again."""
        self._answers.shorten([(caller, right, name) for name in ("", *asked)], self._refusal_age)
        return refusal(caller, right, missing, self._home)

    def close(self) -> None:
        """End the threads that ask."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _asked(self, questions: Sequence[_Question]) -> dict[_Question, bool]:
        if len(questions) == 1:
            return {questions[0]: self._ask(questions[0])}
        answers: dict[_Question, bool] = {}
        try:
            for start in range(0, len(questions), _BATCH):
                batch = questions[start : start + _BATCH]
                answers |= zip(batch, self._pool.map(self._ask, batch, timeout=_DEADLINE), strict=True)
        except TimeoutError as error:
            raise UnavailableError(
                "the API server does not tell in time what the caller may", hint="try again in a moment", temporary=True
            ) from error
        except (CancelledError, RuntimeError) as error:
            if not self._closed:
                raise
            raise StoppedError("flux-agent is shutting down", hint="try again in a moment", temporary=True) from error
        return answers

    def _ask(self, question: _Question) -> bool:
        return self._answers.get(question, lambda: (self._is_allowed(*question), self._age))


class Grants:
    """One caller's access: `agent.model.access.Access`."""

    def __init__(self, caller: Caller, rights: Rights) -> None:
        self._caller = caller
        self._rights = rights

    @property
    def caller(self) -> Caller:
        """Who calls."""
        return self._caller

    def visible(self, right: Right, namespaces: Iterable[str]) -> Visible:
        """What of these namespaces, and of the caller's own, they have the right in.

        Raises:
            ForbiddenError: They have it nowhere.
            ClusterError: The API server could not be asked.
        """
        if self._rights.allowed(self._caller, right, ("",)):
            return Visible()
        # The API server need not be asked about names that no namespace can have.
        asked = sorted({name for name in namespaces if _NAMESPACE.fullmatch(name)} - {self._caller.namespace})
        asked = [self._caller.namespace, *asked][:MAX_NAMESPACES] if self._caller.namespace else asked[:MAX_NAMESPACES]
        allowed = self._rights.allowed(self._caller, right, asked)
        if not allowed:
            raise self._rights.refused(self._caller, right, asked, ())
        return Visible(everything=False, namespaces=allowed)

    def require(self, right: Right, namespaces: Iterable[str]) -> None:
        """Insist on a right in every one of these namespaces; an empty name stands for the cluster as a whole.

        Raises:
            ForbiddenError: It is missing in some, which the error names.
            ClusterError: The API server could not be asked.
        """
        wanted = sorted(set(namespaces))
        if not wanted or self._rights.allowed(self._caller, right, ("",)):
            return
        asked = [name for name in wanted if _NAMESPACE.fullmatch(name)][:MAX_NAMESPACES]
        allowed = self._rights.allowed(self._caller, right, asked)
        forbidden = [name for name in wanted if name not in allowed]
        if forbidden:
            raise self._rights.refused(self._caller, right, forbidden, forbidden)


def refusal(caller: Caller, right: Right, namespaces: Sequence[str], home: str = HOME) -> ForbiddenError:
    """The error of a right that is missing in these namespaces, or with none of them everywhere. Pure.

    People read what may not be done, administrators what RBAC calls it.
    """
    message = f"{caller.name} may not {right.deed} {_places(namespaces)}"
    return ForbiddenError(message, hint=f"{right}; grant it with: {_grant(caller, right, namespaces, home)}")


def _places(namespaces: Sequence[str]) -> str:
    if not namespaces:
        return "in any namespace"
    if "" in namespaces:
        return "in the cluster as a whole"
    names = ", ".join(name[:63] for name in namespaces[:MAX_NAMES])
    more = f" and {len(namespaces) - MAX_NAMES} more" if len(namespaces) > MAX_NAMES else ""
    return f"in {'namespace' if len(namespaces) == 1 else 'the namespaces'} {names}{more}"


def _grant(caller: Caller, right: Right, namespaces: Sequence[str], home: str) -> str:
    """The command that grants it, by the roles that the agent is installed with; outside `flux` they carry its name."""
    kind = "flux-viewer" if right in _LOOKING else "flux-operator"
    role = kind if home == HOME else f"{kind}:{home}"
    account = caller.name.rpartition(":")[2] if caller.namespace else ""
    whom = f"--serviceaccount={caller.namespace}:{account}" if account else f"--user={shlex.quote(caller.name)}"
    name = f"{kind}-{account}" if account else kind
    place = f"-n {namespaces[0][:63] if namespaces else 'NAMESPACE'}"
    words = ["clusterrolebinding", name] if "" in namespaces else ["rolebinding", name, place]
    own = "" if home == HOME else ", or the role as your installation names it"
    return " ".join(["kubectl create", *words, f"--clusterrole={role}", whom]) + own
