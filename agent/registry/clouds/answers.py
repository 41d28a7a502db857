"""What token servers of clouds answer; pure."""

from __future__ import annotations

from typing import Any

from agent.registry.errors import Cause, RegistryError
from agent.registry.manifests import parsed
from agent.registry.transport import Answer

MAX_ANSWER = 1 << 16
"""Bytes of an answer."""


def document_of(answer: Answer, who: str, hint: str) -> dict[str, Any]:
    """The JSON object in an answer.

    Args:
        answer: The answer.
        who: Who gave it.
        hint: What helps against a refusal.

    Raises:
        RegistryError: It is a refusal, or no JSON object.
    """
    if answer.status != 200:
        cause = Cause.UNREACHABLE if answer.status >= 500 else Cause.UNAUTHORIZED
        raise RegistryError(f"{who} gives no token: it answered {answer.status}", cause, hint=hint)
    try:
        return parsed(answer.body, "answer")
    except RegistryError as error:
        raise RegistryError(f"{who} gives no token: {error.message}", error.cause) from None


def token_of(document: dict[str, Any], key: str, who: str) -> str:
    """The token in such an object.

    Raises:
        RegistryError: There is none.
    """
    token = document.get(key)
    if not isinstance(token, str) or not token:
        raise RegistryError(f"{who} gives no token: its answer holds none", Cause.MALFORMED)
    return token
