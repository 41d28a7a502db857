"""What a failed HTTP answer means: the one table from answers to the plugin's errors.

Three speak over the same connection and are told apart by their JSON: the agent (a Connect error, `code` and
`message`), the API server (a `Status` object), and anything else, such as kubectl's proxy or a load balancer. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubectl_flux.errors import NotFoundError, PluginError, RefusedError, TimedOutError, UnreachableError, hint_beside

if TYPE_CHECKING:
    from kubectl_flux.transport import Reply

OK = 200
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_TOO_MANY = 429

_CONNECT: dict[str, tuple[type[PluginError], str]] = {
    "unauthenticated": (RefusedError, "The agent does not know who calls; is the token still valid?"),
    "permission_denied": (RefusedError, "Ask for the right on group flux.fluxcd.io that is named here."),
    "not_found": (NotFoundError, ""),
    "unavailable": (UnreachableError, "The agent may be starting or stopping; try again in a moment."),
    "deadline_exceeded": (TimedOutError, "Give it longer with --timeout."),
    "resource_exhausted": (RefusedError, "The agent is busy; try again in a moment."),
    "unimplemented": (RefusedError, "The agent's version does not know this; compare with: kubectl flux version"),
    "internal": (RefusedError, "The agent's log tells more."),
    "unknown": (RefusedError, "The agent's log tells more."),
}


def parsed(reply: Reply) -> dict[str, Any]:
    """The JSON object in the body; empty where there is none."""
    import json  # noqa: PLC0415 - answers in JSON are errors, or the rare list of Services

    try:
        body = json.loads(reply.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def status_of(reply: Reply) -> int:
    """The code of the API server's `Status` object; 0 where the answer is none."""
    return reply.status if reply.status != OK and parsed(reply).get("kind") == "Status" else 0


def is_missing(reply: Reply) -> bool:
    """Whether the API server says that the Service is not there."""
    return status_of(reply) == _NOT_FOUND


def is_forbidden(reply: Reply) -> bool:
    """Whether the API server refuses this user the Service."""
    return status_of(reply) == _FORBIDDEN


def error_of(reply: Reply, where: str, *, changes: bool) -> PluginError:
    """The error that an answer other than 200 means.

    Args:
        reply: The answer.
        where: Who was asked, for the sentence.
        changes: Whether the call changes something: it needs another right than a read.
    """
    body = parsed(reply)
    message = str(body.get("message") or "")
    if body.get("kind") == "Status":
        return _api_server_error(reply.status, message, changes=changes)
    if isinstance(body.get("code"), str):
        kind, hint = _CONNECT.get(body["code"], (RefusedError, ""))
        return kind(message or f"the agent answered: {body['code']}", hint=hint_beside(message, hint))
    said = f": {reply.excerpt()}" if reply.body else ""
    if reply.status == _NOT_FOUND:
        return UnreachableError(
            f"{where} is not kubectl-flux's agent: it answered 404{said}", hint="Is the address right?"
        )
    return UnreachableError(f"{where} answered {reply.status}{said}", hint="Try again, or try: kubectl cluster-info")


def _api_server_error(status: int, message: str, *, changes: bool) -> PluginError:
    if status == _FORBIDDEN:
        verb = "create" if changes else "get"
        return RefusedError(
            f"the API server refuses: {message}",
            hint=f"A Role with verb {verb} on services/proxy of the agent's Service is needed "
            f'(resourceNames: ["flux:http"]).',
        )
    if status == _UNAUTHORIZED:
        return RefusedError(f"the API server does not know you: {message}", hint="Try: kubectl auth whoami")
    if status == _TOO_MANY:
        return RefusedError(f"the API server is busy: {message}", hint="Try again in a moment.")
    return UnreachableError(
        f"the API server cannot reach the agent: {message}",
        hint="See whether its pod is ready: kubectl get pods --all-namespaces -l app=flux",
    )
