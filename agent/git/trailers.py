"""Commit messages that machines read too: trailers at the end, and the text that tells a build server to stay away.

Pure. The trailers are `Key: value` lines in the last paragraph, where `git interpret-trailers --parse` and
`git log --format=%(trailers)` find them. They are always a paragraph of their own, so nothing that a person wrote into
the message is read as one of ours. The build server's text stands before them, as build servers look for it anywhere;
only where it is a trailer itself, such as GitHub's `skip-checks: true`, it is the last of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain

MAX_VALUE = 1000
"""Characters of a trailer's value; the rest is cut."""
MAX_TRAILERS = 5_000
"""Trailers that are read from a message; more are none of ours."""

_CI_SKIP = "\n\n[ci skip]"
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)[ \t]*:[ \t]*(.*)")


def ci_skip_text(custom: str = "", *, skip: bool = False) -> str:
    """What to append to a message: the custom text if there is one, else Flux v1's, else nothing.

    A custom text that starts with a space or a new line brings its own distance; any other is a paragraph of its own.
    """
    if custom.strip():
        return custom if custom[0].isspace() else f"\n\n{custom}"
    return _CI_SKIP if skip else ""


def finished_message(message: str, trailers: Iterable[tuple[str, str]] = (), ci_skip: str = "") -> str:
    """The message with the build server's text and the trailers behind it, ending in a new line.

    Values are put on one line and cut at `MAX_VALUE` characters; a trailer with an empty value is left out.

    Raises:
        ValueError: A key is no word of letters, digits and hyphens.
    """
    block = [_trailer(key, value) for key, value in trailers if value.strip()]
    body = message.rstrip()
    if _is_trailer(ci_skip):
        block.append(ci_skip.strip())
    else:
        body = f"{body}{ci_skip.rstrip()}"
    return "\n\n".join(chain([body], ["\n".join(block)] if block else [])) + "\n"


def trailers_of(message: str) -> tuple[tuple[str, str], ...]:
    """The trailers of a message in their order: its last paragraph, if every line of it is one; else none."""
    body, blank, last = message.rstrip().rpartition("\n\n")
    lines = re.sub(r"\n[ \t]+", " ", last).split("\n")
    found = [_LINE.fullmatch(line) for line in lines]
    if not (body.strip() and blank) or None in found or len(found) > MAX_TRAILERS:
        return ()
    return tuple((match[1], match[2].strip()) for match in found if match)


def _trailer(key: str, value: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} cannot be the key of a trailer")
    words = " ".join("".join(character if character.isprintable() else " " for character in value).split())
    return f"{key}: {words if len(words) <= MAX_VALUE else words[: MAX_VALUE - 1] + '…'}"


def _is_trailer(text: str) -> bool:
    return bool(_LINE.fullmatch(text.strip()))
