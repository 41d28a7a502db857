"""Where registries are reached that go by another name in the cluster's nodes than in its pods.

An image at `localhost:5000` is pulled by the node from its own loopback, which no pod can reach. `--registry-mirror`
names the address for a host; else the ConfigMap `local-registry-hosting` does, which tools for local clusters write
(https://github.com/kubernetes/enhancements/tree/master/keps/sig-cluster-lifecycle/generic/1755-communicating-a-local-registry).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import yaml

from agent.model.errors import FluxError, UsageError

_PATH = "/api/v1/namespaces/kube-public/configmaps/local-registry-hosting"
_KEY = "localRegistryHosting.v1"
_LOCAL = ("localhost", "127.", "[::1]")
KEEP = 300.0
"""Seconds for which the ConfigMap's word counts."""


class Reader(Protocol):
    """What reading needs of a client."""

    def get(self, path: str) -> dict[str, Any]:
        """One object."""


def parse_mirrors(values: tuple[str, ...]) -> dict[str, str]:
    """The addresses by host of flags such as `localhost:5000=registry.kube-system:5000`.

    Raises:
        UsageError: One is no `HOST=ADDRESS`.
    """
    found = {}
    for value in values:
        host, equals, address = value.partition("=")
        if not (host and equals and address) or "/" in value:
            raise UsageError(
                f"--registry-mirror={value} is no HOST=ADDRESS", hint="such as localhost:5000=10.0.0.7:5000"
            )
        found[host] = address
    return found


class Mirrors:
    """Knows where hosts are reached; safe for many threads."""

    def __init__(self, named: Mapping[str, str], client: Reader, clock: Callable[[], float] = time.monotonic) -> None:
        self._named = dict(named)
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._found: tuple[str, str] = ("", "")
        self._until = 0.0

    def __call__(self, host: str) -> str:
        """The address to ask for a host's images: mostly the host itself."""
        if host in self._named:
            return self._named[host]
        if not host.startswith(_LOCAL):
            return host
        with self._lock:
            if self._clock() >= self._until:
                self._until = self._clock() + KEEP
                self._found = self._hosting()
            return self._found[1] if host == self._found[0] else host

    def _hosting(self) -> tuple[str, str]:
        """The local registry's host and its address in the cluster's network; empty where nobody says."""
        try:
            text = (self._client.get(_PATH).get("data") or {}).get(_KEY) or ""
            document = yaml.load(text, Loader=yaml.CSafeLoader)
        except (FluxError, yaml.YAMLError):
            return "", ""
        if not isinstance(document, dict):
            return "", ""
        return str(document.get("host") or ""), str(document.get("hostFromClusterNetwork") or "")
