"""What a failed HTTP answer means: the one table from answers to the plugin's errors.

Three speak over the same connection and are told apart by their JSON: the agent (a Connect error, `code` and
`message`), the API server (a `Status` object), and anything else, such as kubectl's proxy or a load balancer. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kubectl_flux.errors import (
    BusyError,
    NotFoundError,
    PluginError,
    RefusedError,
    TimedOutError,
    UnreachableError,
    hint_beside,
)

if TYPE_CHECKING:
    from kubectl_flux.transport import Reply

OK = 200
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_TOO_MANY = 429
_BROKEN = 500
_GATEWAY = (500, 502, 503, 504)
_NO_CLUSTER = ":8080: "
_UNREACHED = "error trying to reach service"
_UNDELIVERED = ("dial", "connection refused", "no route to host", "i/o timeout", "TLS handshake", "proxy error")
_NAMED = re.compile(r'services "([^"]+)"')

_CONNECT: dict[str, tuple[type[PluginError], str]] = {
    "unauthenticated": (RefusedError, "The agent does not know who calls; is the token still valid?"),
    "permission_denied": (RefusedError, "Ask for the right on group flux.fluxcd.io that is named here."),
    "not_found": (NotFoundError, ""),
    "unavailable": (UnreachableError, "The agent may be starting or stopping; try again in a moment."),
    "deadline_exceeded": (TimedOutError, "Give it longer with --timeout."),
    "resource_exhausted": (BusyError, "The agent is busy; try again in a moment."),
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


def is_not_ready(reply: Reply) -> bool:
    """Whether the API server says that no pod behind the Service is ready."""
    return status_of(reply) != 0 and "no endpoints available" in message_of(reply)


def is_another_service(reply: Reply) -> bool:
    """Whether the API server says that the Service has no such port, so is not the agent's."""
    return status_of(reply) != 0 and "no service port" in message_of(reply)


def is_cut_off(reply: Reply, *, changes: bool) -> bool:
    """Whether the API server cannot get through to a pod that is ready, so that another way may.

    A change is not sent twice: where it may have arrived, because the connection was lost only then, the answer is no.
    """
    status, message = status_of(reply), message_of(reply)
    if status not in _GATEWAY or is_not_ready(reply) or is_another_service(reply):
        return False
    if status == _BROKEN and _UNREACHED not in message.lower():
        return False
    return not changes or any(sign in message for sign in _UNDELIVERED)


def is_unauthenticated(reply: Reply) -> bool:
    """Whether the agent says that it does not know who calls."""
    return reply.status != OK and parsed(reply).get("code") == "unauthenticated"


def is_denied(reply: Reply) -> bool:
    """Whether the agent says that the caller may not do this."""
    return reply.status != OK and parsed(reply).get("code") == "permission_denied"


def message_of(reply: Reply) -> str:
    """The words of an error in JSON; empty where there are none."""
    return str(parsed(reply).get("message") or "")


def fault_of_kubectl(reply: Reply) -> PluginError | None:
    """The error where kubectl's proxy itself answers, because it cannot reach the API server; else None."""
    if reply.status != _BROKEN or reply.json or b"Internal Server Error" in reply.body:
        return None
    said = reply.excerpt()
    hint = "Is there a kubeconfig? Try: kubectl config view" if _NO_CLUSTER in said else "Try: kubectl cluster-info"
    return UnreachableError(f"kubectl cannot reach the cluster: {said}", hint=hint)


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
        named = _NAMED.match(message)
        return RefusedError(
            f"the API server refuses: {message}",
            hint=f"A Role with verb {verb} on services/proxy of the agent's Service is needed "
            f'(resourceNames: ["{named[1] if named else "flux:http"}"]).',
        )
    if status == _UNAUTHORIZED:
        return RefusedError(f"the API server does not know you: {message}", hint="Try: kubectl auth whoami")
    if status == _TOO_MANY:
        return RefusedError(f"the API server is busy: {message}", hint="Try again in a moment.")
    return UnreachableError(
        f"the API server cannot reach the agent: {message}",
        hint="See whether its pod is ready: kubectl get pods --all-namespaces -l app=flux",
    )
