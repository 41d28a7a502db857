"""Who sends a request, and whether RBAC lets them: the gate that every request passes.

A request without a bearer token is the administrator's, where a real server would call it anonymous. kubectl sends no
token over plain HTTP: to be somebody else with it, impersonate (`--as`). `Impersonate-Extra-…` is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, unquote

from agent.sandbox.answers import Refusal, bad_request
from agent.sandbox.rbac import ACCOUNTS, AUTHENTICATED, MASTERS, UNAUTHENTICATED, Action, User, decide
from agent.sandbox.store import Store
from agent.sandbox.tokens import ISSUER, TokenError, Tokens

ADMINISTRATOR = User("sandbox", "", (MASTERS, AUTHENTICATED))

Users = Mapping[str, tuple[str, tuple[str, ...]]]
"""People by their tokens: name and groups."""

_VERBS: Mapping[str, str] = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_ONE_NAME = re.compile(r"(?:^|,)metadata\.name==?([^,]+)")


class Callers:
    """Everyone who may call. Immutable; the ServiceAccounts and rights are those of the store."""

    def __init__(self, store: Store, tokens: Tokens, users: Users) -> None:
        self._store = store
        self._tokens = tokens
        self._users = {
            token: User(name, name, (*groups, AUTHENTICATED)) for token, (name, groups) in users.items() if token
        }

    def check(self, token: str, audiences: Iterable[str] = ()) -> tuple[User, tuple[str, ...]]:
        """Whose token this is, and for which of the audiences; people's tokens are for the API server alone.

        Raises:
            TokenError: It proves nothing.
        """
        wanted = tuple(audiences) or (ISSUER,)
        known = self._users.get(token)
        if known is None:
            return self._tokens.check(token, wanted)
        if ISSUER not in wanted:
            raise TokenError("")
        return known, (ISSUER,)

    def admit(self, method: str, path: str, query: str, headers: Message) -> User:
        """Who sends a request.

        Raises:
            Refusal: 401, the token is not known; 403, they may not do this.
        """
        user = self._impersonated(self._authenticated(headers.get("Authorization", "")), headers)
        self.require(user, action_of(method, path, query))
        return user

    def require(self, user: User, action: Action) -> None:
        """Refuse what a user may not do.

        Raises:
            Refusal: 403.
        """
        decision = decide(self._store, user, action)
        if not decision.allowed:
            raise forbidden(user, action, decision.reason)

    def _authenticated(self, authorization: str) -> User:
        scheme, token, *_ = (*authorization.strip().split(" "), "", "")
        if scheme.lower() != "bearer" or not token:
            return ADMINISTRATOR
        try:
            return self.check(token)[0]
        except TokenError as error:
            raise Refusal(401, "Unauthorized", "Unauthorized") from error

    def _impersonated(self, user: User, headers: Message) -> User:
        name = headers.get("Impersonate-User", "")
        uid, groups = headers.get("Impersonate-Uid", ""), tuple(headers.get_all("Impersonate-Group", ()))
        if not (name or uid or groups):
            return user
        if not name:
            raise bad_request("requested groups or a uid without impersonating a user name")
        parts = name.split(":")
        account = parts[2:] if len(parts) == 4 and name.startswith("system:serviceaccount:") else None
        if account:
            self.require(user, Action("impersonate", "", "serviceaccounts", "", account[1], account[0]))
        else:
            self.require(user, Action("impersonate", resource="users", name=name))
        for group in groups:
            self.require(user, Action("impersonate", resource="groups", name=group))
        if uid:
            self.require(user, Action("impersonate", "authentication.k8s.io", "uids", name=uid))
        if account and not groups:
            groups = (ACCOUNTS, f"{ACCOUNTS}:{account[0]}")
        everybody = UNAUTHENTICATED if name == "system:anonymous" else AUTHENTICATED
        return User(name, uid, groups if everybody in groups else (*groups, everybody))


def action_of(method: str, path: str, query: str) -> Action:
    """What a request does, in RBAC's words: told by its path alone, whether that is served or not."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    head = {"api": 2, "apis": 3}.get(parts[0], 0)
    if not head or len(parts) <= head:
        return Action(method.lower(), path=path)
    group, parts = ("" if head == 2 else parts[1]), parts[head:]
    namespace = parts[1] if parts[0] == "namespaces" and len(parts) > 1 else ""
    if namespace and len(parts) > 2 and parts[2] not in ("status", "finalize"):
        parts = parts[2:]
    resource, name, subresource = (*parts, "", "")[:3]
    verb = _VERBS.get(method, "")
    if not name and verb == "delete":
        verb = "deletecollection"
    elif not name and verb == "get":
        asked = dict(parse_qsl(query))
        verb = "watch" if asked.get("watch") in ("1", "true") else "list"
        found = _ONE_NAME.search(asked.get("fieldSelector", ""))
        name = found[1] if found else ""
    return Action(verb, group, resource, subresource, name, namespace)


def forbidden(user: User, action: Action, reason: str) -> Refusal:
    """The refusal of an action that RBAC does not allow."""
    why = f": {reason}" if reason else ""
    who = f'User "{user.name}" cannot {action.verb}'
    if action.path is not None:
        return Refusal(403, "Forbidden", f'forbidden: {who} path "{action.path}"{why}', {})
    what = f"{action.resource}.{action.group}" if action.group else action.resource
    where = f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
    details: dict[str, Any] = {
        **({"name": action.name} if action.name else {}),
        **({"group": action.group} if action.group else {}),
        "kind": action.resource,
    }
    named = f' "{action.name}"' if action.name else ""
    words = f'{who} resource "{action.full_resource}" in API group "{action.group}" {where}'
    return Refusal(403, "Forbidden", f"{what}{named} is forbidden: {words}{why}", details)
