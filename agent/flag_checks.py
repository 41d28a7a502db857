"""What a flag's value must be beyond its type: pure checks that `agent/flag_table.py` hangs on its rows.

A check returns nothing, or raises ValueError with the half sentence that ends `invalid argument "x" for "--y" flag:`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], None]

_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.%]+\]):(?P<port>[0-9]{1,5})")
_LIMIT = re.compile(r"none|[0-9]{1,9}|(?P<percent>[0-9]{1,3})%(,[0-9]{1,9})?")
_HIGHEST_PORT = 65535
_WHOLE = 100


def anything(_value: object) -> None:
    """Accept every value."""


def positive(value: float) -> None:
    """Accept what is more than 0."""
    if value <= 0:
        raise ValueError("it must be more than 0")


def port(value: int) -> None:
    """Accept the number of a port."""
    if not 0 < value <= _HIGHEST_PORT:
        raise ValueError(f"it must be 1 to {_HIGHEST_PORT}")


def platform(value: str) -> None:
    """Accept `os/architecture`, or an empty text."""
    if value and not re.fullmatch(r"[a-z0-9]+/[a-z0-9]+", value):
        raise ValueError("it must be os/architecture, such as linux/amd64")


def not_empty(value: str) -> None:
    """Accept what is not blank."""
    if not value.strip():
        raise ValueError("it must not be empty")


def one_of(*choices: str) -> Check:
    """Return a check that accepts these, and lists of these."""
    told = ", ".join(choice for choice in choices if choice)

    def check(value: str | tuple[str, ...]) -> None:
        given = (value,) if isinstance(value, str) else value
        if not set(given) <= set(choices):
            raise ValueError(f"it must be one of {told}")

    return check


def address(value: str) -> None:
    """Accept `host:port`, the host possibly empty."""
    match = _ADDRESS.fullmatch(value)
    if not match or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError("it must be host:port or :port, such as :3030")


def address_or_nothing(value: str) -> None:
    """Accept `host:port`, or an empty text."""
    if value:
        address(value)


def deletion_limit(value: str) -> None:
    """Accept `none`, a number of objects, a percentage, or `PERCENT%,NUMBER`."""
    match = _LIMIT.fullmatch(value)
    if not match or int(match["percent"] or 0) > _WHOLE:
        raise ValueError("it must be none, a number of objects, a percentage, or both as in 20%,10")


def relative_paths(value: tuple[str, ...]) -> None:
    """Accept paths inside the repository; v1 refused a leading slash, too."""
    for path in value:
        if path.startswith("/"):
            raise ValueError("paths are relative to the repository's root: leave out the leading slash")
        if ".." in path.split("/"):
            raise ValueError("paths stay inside the repository: leave out the ..")
