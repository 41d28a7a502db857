"""Docker's configuration files as credentials: `.dockerconfigjson`, and the older `.dockercfg`. Pure.

Which entry fits an image is told as kubelet tells it
(https://kubernetes.io/docs/concepts/containers/images/#config-json): hosts may hold `*` for a part of a name, a path
is a prefix, the longest path wins, and Docker Hub has several names.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from agent.model.errors import UsageError
from agent.model.images import DOCKER_HUB, Reference
from agent.registry.records import Credential

_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_VERSIONS = frozenset({"v1", "v2"})
MAX_CONFIG = 1 << 20
"""Characters of a configuration; a Secret holds no more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One registry, or one part of it, and what it is asked with."""

    host: str
    path: str
    credential: Credential = field(repr=False)

    def fits(self, image: Reference) -> bool:
        """Whether the image is one of these."""
        return _host_fits(self.host, image.host) and (
            not self.path or f"{image.repository}/".startswith(f"{self.path}/")
        )


def read_config(text: str, name: str) -> tuple[Entry, ...]:
    """The entries of a configuration, those with the longest paths first.

    Args:
        text: The file.
        name: Where it comes from, as credentials are named.

    Raises:
        UsageError: It is none.
    """
    try:
        document = json.loads(text) if len(text) <= MAX_CONFIG else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UsageError(f"{name} is no Docker configuration", hint="it is the JSON that `docker login` writes")
    listed = document.get("auths", document)
    entries = [_entry(key, value, name) for key, value in listed.items()] if isinstance(listed, dict) else []
    return tuple(sorted((entry for entry in entries if entry), key=lambda entry: -len(entry.path)))


def _entry(key: str, value: Any, name: str) -> Entry | None:
    """One entry; None where it holds nothing to ask with, as where a helper program keeps it."""
    credential = _credential(value, name) if isinstance(value, Mapping) else None
    if credential is None:
        return None
    address = key.partition("://")[2] or key
    host, _, path = address.rstrip("/").partition("/")
    first, _, rest = path.partition("/")
    return Entry(host.lower(), rest if first in _VERSIONS else path, credential)


def _credential(value: Mapping[str, Any], name: str) -> Credential | None:
    username, password = str(value.get("username") or ""), str(value.get("password") or "")
    identity = str(value.get("identitytoken") or "")
    if auth := str(value.get("auth") or ""):
        try:
            plain = base64.b64decode(auth + "=" * (-len(auth) % 4), validate=True).decode()
        except (binascii.Error, ValueError):
            return None
        username, _, password = plain.rstrip("\0").partition(":")
    if not (password or identity):
        return None
    return Credential(name, username, password, identity)


def _host_fits(wanted: str, host: str) -> bool:
    if host == DOCKER_HUB:
        return wanted in _HUB
    host, wanted = host.lower(), wanted.lower()
    if "*" not in wanted:
        return wanted == host
    ours, theirs = wanted.split("."), host.split(".")
    return len(ours) == len(theirs) and all(map(fnmatchcase, theirs, ours))
