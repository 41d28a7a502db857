"""Image pull Secrets as the cluster holds them: a workload's own, and those of its ServiceAccount.

Read when a scan asks for them and kept for seconds only, so that a Secret that is rotated is used at the next scan.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from agent.model.errors import ClusterError, UsageError
from agent.registry.docker_config import Entry, read_config
from agent.registry.records import PullScope

KEEP = 10.0
"""Seconds for which an answer counts."""
MAX_KEPT = 5000
_KEYS = (".dockerconfigjson", ".dockercfg")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""The names that objects can have. The API server does not look at those of image pull Secrets in a workload."""


class Reader(Protocol):
    """What reading needs of a client."""

    def get(self, path: str) -> dict[str, Any]:
        """One object."""


class PullSecretReader:
    """Reads them; safe for many threads."""

    def __init__(
        self, client: Reader, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._warn = warn
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Any]] = {}

    def entries(self, scope: PullScope) -> tuple[Entry, ...]:
        """What the Secrets of a scope hold, the workload's own first; one that is missing holds nothing.

        Raises:
            ClusterError: They may not be read, or the API server does not answer.
        """
        names = dict.fromkeys((*scope.secrets, *self._of_account(scope)))
        return tuple(entry for name in names if _NAME.fullmatch(name) for entry in self._secret(scope.namespace, name))

    def _of_account(self, scope: PullScope) -> tuple[str, ...]:
        if not _NAME.fullmatch(scope.service_account):
            return ()

        def read() -> tuple[str, ...]:
            account = self._get(f"/api/v1/namespaces/{scope.namespace}/serviceaccounts/{scope.service_account}")
            return tuple(str(item.get("name")) for item in account.get("imagePullSecrets") or () if item.get("name"))

        found: tuple[str, ...] = self._keep(f"account {scope.namespace}/{scope.service_account}", read)
        return found

    def _secret(self, namespace: str, name: str) -> tuple[Entry, ...]:
        def read() -> tuple[Entry, ...]:
            data = self._get(f"/api/v1/namespaces/{namespace}/secrets/{name}").get("data") or {}
            called = f"Secret {namespace}/{name}"
            texts = [data[key] for key in _KEYS if data.get(key)]
            try:
                plain = [base64.b64decode(text, validate=True).decode(errors="replace") for text in texts]
                return tuple(entry for text in plain for entry in read_config(text, called))
            except (binascii.Error, ValueError, UsageError) as error:
                self._warn(f"{called} is no image pull secret: {error}")
                return ()

        found: tuple[Entry, ...] = self._keep(f"secret {namespace}/{name}", read)
        return found

    def _get(self, path: str) -> dict[str, Any]:
        try:
            return self._client.get(path)
        except ClusterError as error:
            if error.status == 404:
                return {}
            raise

    def _keep(self, key: str, read: Callable[[], Any]) -> Any:
        now = self._clock()
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and now - kept[0] < KEEP:
            return kept[1]
        found = read()
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (now, found)
            while len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        return found
