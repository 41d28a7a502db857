"""Workload ids as people write them: `kind/name` in a default namespace, or Flux v1's `namespace:kind/name`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from kubectl_flux.errors import UsageError

_ID = re.compile(r"(?:(?P<namespace><cluster>|[\w-]+):)?(?P<kind>[\w-]+)/(?P<name>[\w.:-]+)", re.ASCII)


def qualified(text: str, default_namespace: Callable[[], str]) -> str:
    """The id with its namespace, the kind in lower case.

    Args:
        text: As it was given.
        default_namespace: Asked only where the text names no namespace.

    Raises:
        UsageError: The text is no workload id.
    """
    match = _ID.fullmatch(text)
    if match is None:
        raise UsageError(
            f"parsing {text}: invalid service ID", hint="A workload is written kind/name or namespace:kind/name."
        )
    return f"{match['namespace'] or default_namespace()}:{match['kind'].lower()}/{match['name']}"
