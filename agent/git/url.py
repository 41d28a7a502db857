"""Repository URLs: what of one may be shown, and how its secrets are kept out of any other text.

Pure. Understands what git does: `scheme://user:password@host/path`, `user@host:path` (ssh), `file://` and plain paths.
In doubt it removes too much: a URL that git itself would not understand may still hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_PLAIN_HOST = re.compile(r"\[[^\]]*\]|[^:@\[\]]*")
_SCP_WITH_PASSWORD = re.compile(r"([^/@:]*):([^/]+)@([^/:@]+:.*)", re.DOTALL)
_SCP = re.compile(r"(?:([^/@:]+)@)?([^/:@]+):(?!/{2})(.*)", re.DOTALL)
_USER_INFO_IN_TEXT = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://([^\s/]+)@")
_ANONYMOUS_SCHEMES = frozenset({"http", "https", "ftp", "ftps"})
_SHORTEST_TOKEN = 16
"""A user name at least this long may be a token, as in `https://TOKEN:x-oauth-basic@host/`; `git` is none."""


class _Parts(NamedTuple):
    """A `scheme://` URL, cut so that joining the pieces gives it back; `address` is host, port and path."""

    scheme: str
    user: str
    password: str
    address: str
    query: str


def redacted(url: str) -> str:
    """The URL for people: without password, and over HTTP without user and query, which may be secrets as well."""
    parts = _parse(url)
    if parts is None:
        return _SCP_WITH_PASSWORD.sub(r"\1@\3", url)
    if parts.scheme.lower() in _ANONYMOUS_SCHEMES or not parts.user:
        return f"{parts.scheme}://{parts.address}"
    return f"{parts.scheme}://{parts.user}@{parts.address}"


def v1_form(url: str) -> str:
    """The URL as Flux v1 printed and hashed it: always with a scheme, and with the user but not the password.

    `git@host:path` becomes `ssh://git@host/path`, a plain path `file://…` (its `Remote.SafeURL`).
    """
    parts = _parse(url)
    if parts is not None:
        user = f"{parts.user}@" if parts.user else ""
        return f"{parts.scheme}://{user}{parts.address}"
    scp = _SCP.fullmatch(redacted(url))
    if scp is None:
        return f"file://{url}"
    user = f"{scp[1]}@" if scp[1] else ""
    return f"ssh://{user}{scp[2]}/{scp[3].removeprefix('/')}"


def scrubbed(text: str, urls: Iterable[str]) -> str:
    """The text without the secrets of these URLs, and without the user info of any URL in it."""
    known = tuple(urls)
    for url in known:
        text = text.replace(url, redacted(url))
    for secret in sorted({secret for url in known for secret in _secrets(url)}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _USER_INFO_IN_TEXT.sub(_without_secrets, text)


def _without_secrets(match: re.Match[str]) -> str:
    scheme, user = match[1], match[2].partition(":")[0]
    return f"{scheme}://" if scheme.lower() in _ANONYMOUS_SCHEMES else f"{scheme}://{user}@"


def _secrets(url: str) -> Iterator[str]:
    """Everything in the URL that must not be seen, as written and as git prints it after decoding."""
    parts = _parse(url)
    if parts is None:
        match = _SCP_WITH_PASSWORD.fullmatch(url)
        found = [match[2]] if match else []
    else:
        found = [parts.password, *(value for _, value in parse_qsl(parts.query))]
        found += [parts.user] if len(parts.user) >= _SHORTEST_TOKEN else []
    for secret in found:
        if secret:
            yield from (secret, unquote(secret))


def _parse(url: str) -> _Parts | None:
    """The parts of a `scheme://` URL; None for a path and for `user@host:path`."""
    match = _SCHEME.match(url)
    if match is None:
        return None
    rest = url[match.end() :]
    if match[1].lower() == "file":
        return _Parts(match[1], "", "", rest, "")
    end = _end_of_user_info(rest)
    user, _, password = rest[: max(end, 0)].partition(":")
    address, _, query = rest[end + 1 :].partition("#")[0].partition("?")
    return _Parts(match[1], user, password, address, query)


def _end_of_user_info(rest: str) -> int:
    """Where the `@` after user and password is; -1 where there is none.

    A password with an unescaped `/`, `?` or `#` makes the URL unusable for git, but it must not be shown either: so a
    colon before the first slash with an `@` behind it is taken for a password's, even if a port would look the same.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority or _PLAIN_HOST.fullmatch(authority):
        return authority.rfind("@")
    return rest.rfind("@")
