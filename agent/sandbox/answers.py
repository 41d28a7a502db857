"""The API server's refusals: exceptions that carry a Status object, worded as Kubernetes words them."""

from __future__ import annotations

from typing import Any

from agent.sandbox.kinds import Kind

Object = dict[str, Any]


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the program
    """A request that is answered with a Status object instead of what was asked for.

    Attributes:
        code: The HTTP status code.
        body: The Status object.
    """

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            **({"reason": reason} if reason else {}),
            **({"details": details} if details is not None else {}),
            "code": code,
        }


def _details(kind: Kind, name: str) -> Object:
    return {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}


def not_found(kind: Kind, name: str) -> Refusal:
    """The object does not exist."""
    return Refusal(404, "NotFound", f'{kind.full_name} "{name}" not found', _details(kind, name))


def no_such_path() -> Refusal:
    """The group, version or kind is not served."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(kind: Kind, name: str, *, going: bool = False) -> Refusal:
    """The object was to be created, and is there; `going` if it waits for its finalizers."""
    words = "object is being deleted: " if going else ""
    return Refusal(409, "AlreadyExists", f'{words}{kind.full_name} "{name}" already exists', _details(kind, name))


def modified(kind: Kind, name: str) -> Refusal:
    """The resourceVersion of an update is not the object's."""
    message = (
        f'Operation cannot be fulfilled on {kind.full_name} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return Refusal(409, "Conflict", message, _details(kind, name))


def precondition_failed(kind: Kind, name: str, why: str) -> Refusal:
    """The uid or resourceVersion that a deletion asks for is not the object's."""
    message = f'Operation cannot be fulfilled on {kind.kind} "{name}": {why}'
    return Refusal(409, "Conflict", message, {**_details(kind, name), "kind": kind.kind})


def bad_request(message: str) -> Refusal:
    """The request makes no sense."""
    return Refusal(400, "BadRequest", message)


def rejected() -> Refusal:
    """A JSON patch does not fit."""
    return Refusal(422, "Invalid", "the server rejected our request due to an error in our request", {})


def invalid(kind: Kind, name: str, *problems: tuple[str, str]) -> Refusal:
    """Fields hold what is not allowed; each problem is a field and the words about it."""
    causes = [
        {
            "reason": "FieldValueRequired" if words.startswith("Required") else "FieldValueInvalid",
            "message": words,
            "field": field,
        }
        for field, words in problems
    ]
    details = {
        **({"name": name} if name else {}),
        **({"group": kind.group} if kind.group else {}),
        **({"kind": kind.kind} if kind.kind else {}),
        "causes": causes,
    }
    listed = ", ".join(f"{field}: {words}" for field, words in problems)
    full = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    message = f'{full} "{name}" is invalid: ' + (f"[{listed}]" if len(problems) > 1 else listed)
    return Refusal(422, "Invalid", message, details)


def revision_needed(kind: Kind, name: str) -> Refusal:
    """A kind whose objects are replaced only by those who name the revision they replace."""
    problem, field = "Invalid value: 0: must be specified for an update", "metadata.resourceVersion"
    details = {**_details(kind, name), "causes": [{"reason": "FieldValueInvalid", "message": problem, "field": field}]}
    return Refusal(422, "Invalid", f'{kind.full_name} "{name}" is invalid: {field}: {problem}', details)


def method_not_allowed() -> Refusal:
    """The verb is not served at this path."""
    return Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_media_type() -> Refusal:
    """The body's content type is not known."""
    return Refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def expired(message: str) -> Refusal:
    """A resourceVersion or continue token is older than what is remembered."""
    return Refusal(410, "Expired", message)


def unavailable(message: str) -> Refusal:
    """A service cannot be reached."""
    return Refusal(503, "ServiceUnavailable", message)


def terminating(kind: Kind, name: str, namespace: str) -> Refusal:
    """Nothing is created in a namespace that is being deleted."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    details = {
        **_details(kind, name),
        "causes": [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
        ],
    }
    return Refusal(403, "Forbidden", f'{kind.full_name} "{name}" is forbidden: {why}', details)
