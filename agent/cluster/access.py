"""What the API server says of a caller: whose a token is, and what its owner may.

TokenReview and SubjectAccessReview, asked afresh each time: what is remembered, and for how long, is the API's
business. Knows nothing of calls. A token goes into the request's body and nowhere else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from agent.cluster.client import Request
from agent.model.access import GROUP, Caller, Right
from agent.model.errors import ClusterError

LOCAL_AGE = 300.0
"""Seconds after which an agent that may ask about single namespaces only tries again to ask about the cluster."""

_AUTHENTICATION = "authentication.k8s.io"
_AUTHORIZATION = "authorization.k8s.io"
_CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_FORBIDDEN = 403
MAX_NAMES = 5
"""Namespaces that one sentence names."""


class Client(Protocol):
    """What reviewing needs of a client."""

    def send(self, request: Request) -> dict[str, Any]:
        """Send and read the answer."""


class Reviewer:
    """Asks the API server about callers; safe for many threads."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._local_until = 0.0

    def review_token(self, token: str, audiences: Sequence[str]) -> Caller | None:
        """Whose token it is; None where the API server does not accept it for any of these audiences.

        Raises:
            ClusterError: It could not be asked, or the agent may not ask.
        """
        try:
            status = self._ask(_AUTHENTICATION, "TokenReview", {"token": token, "audiences": list(audiences)})
        except ClusterError as error:
            if error.status != _FORBIDDEN:
                raise
            raise ClusterError(
                f"the agent cannot check who is calling: {error.message}",
                status=error.status,
                reason=error.reason,
                hint=_remedy("tokenreviews", _AUTHENTICATION),
            ) from error
        # An authenticator that knows no audiences answers without any: its tokens are good for the API server alone.
        accepted = set(status.get("audiences") or ()) & set(audiences)
        return _caller(status.get("user") or {}) if status.get("authenticated") and accepted else None

    def is_allowed(self, caller: Caller, right: Right, namespace: str) -> bool:
        """Whether the caller has a right in a namespace, or with an empty name in the cluster as a whole.

        Where the agent itself may only ask about single namespaces, nobody has any right cluster-wide, and nobody any
        in a namespace that it may not ask about.

        Raises:
            ClusterError: The API server could not be asked.
        """
        if self._clock() >= self._local_until:
            try:
                return self._is_allowed("SubjectAccessReview", caller, right, namespace)
            except ClusterError as error:
                if error.status != _FORBIDDEN:
                    raise
                self._local_until = self._clock() + LOCAL_AGE
        if not namespace:
            return False
        try:
            return self._is_allowed("LocalSubjectAccessReview", caller, right, namespace)
        except ClusterError as error:
            if error.status != _FORBIDDEN:
                raise
            return False

    def missing_rights(self, namespaces: Iterable[str]) -> tuple[str, ...]:
        """What the agent itself may not ask, as sentences with what to do; empty where all is well.

        Args:
            namespaces: The only namespaces the agent looks at; none for all.

        Raises:
            ClusterError: It cannot be found out.
        """
        told, scopes = [], tuple(namespaces)
        if not self._may_create("tokenreviews", _AUTHENTICATION):
            told.append(
                "the agent may not create tokenreviews, so it cannot check who is calling and refuses every call; "
                + _remedy("tokenreviews", _AUTHENTICATION)
            )
        if self._may_create("subjectaccessreviews", _AUTHORIZATION):
            return tuple(told)
        blind = [name for name in scopes if not self._may_create("localsubjectaccessreviews", _AUTHORIZATION, name)]
        if blind or not scopes:
            where = f" in {_enumerated(blind)}" if blind else ""
            told.append(
                f"the agent may not ask what callers may{where}, so nothing there is shown to anybody; "
                + _remedy("localsubjectaccessreviews" if blind else "subjectaccessreviews", _AUTHORIZATION)
            )
        return tuple(told)

    def _may_create(self, plural: str, group: str, namespace: str = "") -> bool:
        attributes = {"group": group, "resource": plural, "verb": "create", "namespace": namespace}
        status = self._ask(_AUTHORIZATION, "SelfSubjectAccessReview", {"resourceAttributes": attributes})
        return bool(status.get("allowed"))

    def _is_allowed(self, kind: str, caller: Caller, right: Right, namespace: str) -> bool:
        attributes = {"group": GROUP, "resource": right.resource, "verb": right.verb, "namespace": namespace}
        spec = {
            "user": caller.name,
            "uid": caller.uid,
            "groups": list(caller.groups),
            "extra": {key: list(values) for key, values in caller.extra.items()},
            "resourceAttributes": attributes,
        }
        local = namespace if kind.startswith("Local") else ""
        return bool(self._ask(_AUTHORIZATION, kind, spec, local).get("allowed"))

    def _ask(self, group: str, kind: str, spec: Mapping[str, Any], namespace: str = "") -> dict[str, Any]:
        """Create a review and read its status; the same again where the connection was dropped: it changes nothing."""
        metadata = {"metadata": {"namespace": namespace}} if namespace else {}
        body = {"apiVersion": f"{group}/v1", "kind": kind, **metadata, "spec": spec}
        scope = f"/namespaces/{namespace}" if namespace else ""
        request = Request("POST", f"/apis/{group}/v1{scope}/{kind.lower()}s", json.dumps(body).encode())
        try:
            answer = self._client.send(request)
        except ClusterError as error:
            if error.status:
                raise
            answer = self._client.send(request)
        status: dict[str, Any] = answer.get("status") or {}
        return status


def _remedy(plural: str, group: str) -> str:
    return (
        f"bind the ClusterRole system:auth-delegator to the agent's ServiceAccount, or let it create {plural}.{group}"
    )


def _caller(user: Mapping[str, Any]) -> Caller:
    extra = {str(key): tuple(map(str, values or ())) for key, values in (user.get("extra") or {}).items()}
    return Caller(
        name=str(user.get("username", "")),
        credential_id=next(iter(extra.get(_CREDENTIAL_ID, ())), ""),
        uid=str(user.get("uid", "")),
        groups=tuple(map(str, user.get("groups") or ())),
        extra=extra,
    )


def _enumerated(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
