"""The questions that are asked by creating an object: tokens, whose a token is, who I am, who may do what.

Nothing of it is stored. Unlike the real server's, the answers carry no managedFields.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.sandbox.answers import Refusal, bad_request, invalid, not_found
from agent.sandbox.callers import Callers
from agent.sandbox.calls import Call, body_of, now
from agent.sandbox.kinds import Kind
from agent.sandbox.messages import checked
from agent.sandbox.rbac import Action, User, decide
from agent.sandbox.store import Store
from agent.sandbox.tokens import ISSUER, TokenError, Tokens, bound_plural

Object = dict[str, Any]

TOKEN_REQUEST = Kind("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests")

_SHORTEST, _USUAL, _LONGEST = 600, 3600, 1 << 32
"""Seconds a token holds."""

_ACCESS_REVIEW = Kind("authorization.k8s.io", "v1", "", "")
"""How refusals call an access review: the real server forgets its kind."""


class Reviews:
    """Answers them."""

    def __init__(self, store: Store, tokens: Tokens, callers: Callers) -> None:
        self._store = store
        self._tokens = tokens
        self._callers = callers

    def token(self, call: Call) -> Object:
        """POST to a ServiceAccount's `token`.

        Raises:
            Refusal: There is no such account, or the request asks for what cannot be had.
        """
        request = _request(replace(call, kind=TOKEN_REQUEST, name=""))
        spec, metadata = request.get("spec", {}), request.get("metadata", {})
        self._object("namespaces", "", call.namespace)
        account = self._object("serviceaccounts", call.namespace, call.name)
        if metadata.get("name", call.name) != call.name:
            problem = f"Invalid value: {json.dumps(metadata['name'])}: must match the service account name if specified"
            raise invalid(TOKEN_REQUEST, call.name, ("metadata.name", problem))
        seconds = _seconds(spec, metadata.get("name", ""))
        reference = spec.get("boundObjectRef")
        bound = self._bound(call, reference) if reference else None
        audiences = spec.get("audiences") or [ISSUER]
        token, end = self._tokens.make(account, audiences, seconds, bound)
        return {
            **_head(TOKEN_REQUEST),
            "metadata": {
                "name": call.name,
                "namespace": call.namespace,
                "uid": account["metadata"]["uid"],
                "creationTimestamp": now(),
            },
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
            "status": {"token": token, "expirationTimestamp": _time(end)},
        }

    def review(self, call: Call, user: User) -> Object:
        """POST of a review by a user.

        Raises:
            Refusal: It asks nothing, or too much.
        """
        request = _request(call)
        answer = {**_head(call.kind), "metadata": {}, **request}
        kind = call.kind.kind
        if kind == "SelfSubjectReview":
            return {**answer, "metadata": {"creationTimestamp": now()}, "status": {"userInfo": _shown(user)}}
        if kind == "TokenReview":
            return {**answer, "status": self._token_status(request.get("spec", {}))}
        _check_access(call, request)
        answer["metadata"] = {"namespace": call.namespace} if call.namespace else {}
        spec = request["spec"]
        decision = decide(self._store, _subject(spec) if kind != "SelfSubjectAccessReview" else user, _action(spec))
        reason = {"reason": decision.reason} if decision.reason else {}
        return {**answer, "status": {"allowed": decision.allowed, **reason}}

    def _token_status(self, spec: Object) -> Object:
        if not spec.get("token"):
            raise bad_request("token is required for TokenReview in authentication")
        try:
            user, audiences = self._callers.check(spec["token"], spec.get("audiences", ()))
        except TokenError as error:
            words = f"[invalid bearer token, {error}]" if str(error) else "invalid bearer token"
            return {"user": {}, "error": words}
        return {"authenticated": True, "user": _shown(user), "audiences": list(audiences)}

    def _object(self, plural: str, namespace: str, name: str) -> Object:
        found = self._store.get(("", plural), namespace, name)
        if found is None:
            raise not_found(Kind("", "v1", "", plural), name)
        return found

    def _bound(self, call: Call, reference: Object) -> Object:
        plural = bound_plural(reference)
        if not plural:
            kind = f"/{reference.get('apiVersion', '')}, Kind={reference.get('kind', '')}"
            raise bad_request(f"cannot bind token to object of type {kind}")
        found = self._object(plural, call.namespace, reference.get("name", ""))
        if reference.get("uid", found["metadata"]["uid"]) != found["metadata"]["uid"]:
            name, kind = reference["name"], reference["kind"]
            words = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record"
            message = f'Operation cannot be fulfilled on {kind} "{name}": {words}. '
            message += "The object might have been deleted and then recreated"
            raise Refusal(409, "Conflict", message, {"name": name, "kind": kind})
        if plural == "pods" and found["spec"].get("serviceAccountName") != call.name:
            words = (
                f'cannot bind token for serviceaccount "{call.name}" to pod running with different serviceaccount name.'
            )
            raise bad_request(words)
        return found


def _request(call: Call) -> Object:
    return checked(body_of(call), call.kind)


def _head(kind: Kind) -> Object:
    return {"kind": kind.kind, "apiVersion": kind.api_version}


def _seconds(spec: Object, name: str) -> int:
    seconds = int(spec.get("expirationSeconds", _USUAL))
    problem = (
        "less than 10 minutes" if seconds < _SHORTEST else "larger than 2^32 seconds" if seconds > _LONGEST else ""
    )
    if problem:
        words = f"Invalid value: {seconds}: may not specify a duration {problem}"
        raise invalid(TOKEN_REQUEST, name, ("spec.expirationSeconds", words))
    return seconds


def _time(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(user: User) -> Object:
    shown: Object = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    shown["extra"] = {name: list(values) for name, values in user.extra.items()}
    return {name: value for name, value in shown.items() if value}


def _subject(spec: Object) -> User:
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups", ())))


def _action(spec: Object) -> Action:
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Action(path.get("verb", ""), path=path.get("path", ""))
    names = ("group", "resource", "subresource", "name", "namespace")
    resource = spec["resourceAttributes"]
    return Action(resource.get("verb", ""), *(resource.get(name, "") for name in names))


def _check_access(call: Call, request: Object) -> None:
    problems = [found for check in _CHECKS if (found := check(call, request))]
    if problems:
        raise invalid(_ACCESS_REVIEW, "", *problems)


Problem = tuple[str, str] | None


def _one_question(call: Call, request: Object) -> Problem:
    spec = request.get("spec", {})
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if path is not None and (resource is not None or call.namespace):
        why = "cannot be specified in combination with resourceAttributes"
        why = "disallowed on this kind of request" if call.namespace else why
        shown = json.dumps({"Path": path.get("path", ""), "Verb": path.get("verb", "")}, separators=(",", ":"))
        return "spec.nonResourceAttributes", f"Invalid value: {shown}: {why}"
    if resource is None and path is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return "spec.resourceAttributes", f"Invalid value: null: {why}"
    return None


def _somebody(call: Call, request: Object) -> Problem:
    spec = request.get("spec", {})
    if call.kind.kind == "SelfSubjectAccessReview" or spec.get("user") or spec.get("groups"):
        return None
    return "spec.user", 'Invalid value: "": at least one of user or group must be specified'


def _no_name(_call: Call, request: Object) -> Problem:
    name = request.get("metadata", {}).get("name")
    return ("metadata", f"Invalid value: {json.dumps({'name': name})}: must be empty") if name else None


def _same_namespace(call: Call, request: Object) -> Problem:
    asked = request.get("spec", {}).get("resourceAttributes", {}).get("namespace", "")
    if not call.namespace or "resourceAttributes" not in request.get("spec", {}) or asked == call.namespace:
        return None
    return "spec.resourceAttributes.namespace", f"Invalid value: {json.dumps(asked)}: must match metadata.namespace"


_CHECKS: tuple[Callable[[Call, Object], Problem], ...] = (_one_question, _somebody, _no_name, _same_namespace)
