"""The sync marker kept in a Secret, for repositories that must not or cannot be written to.

As Flux v1 with `--sync-state=secret`: the revision stands in an annotation of the agent's own Secret.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from agent.model.errors import ClusterError

ANNOTATION = "flux.weave.works/sync-hwm"


class Client(Protocol):
    """What the marker needs of a client."""

    def get(self, path: str) -> dict[str, Any]:
        """One object."""

    def merge_patch(self, path: str, change: bytes) -> dict[str, Any]:
        """A merge patch (RFC 7386)."""


class SecretMarker:
    """Reads and moves the marker in the Secret `name` of `namespace`."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
        self._name = f"{namespace}/{name}"

    def read(self) -> str:
        """The marked revision; empty where there is none.

        Raises:
            ClusterError: The Secret cannot be read.
        """
        try:
            annotations = self._client.get(self._path)["metadata"].get("annotations") or {}
        except ClusterError as error:
            if error.status == 404:
                return ""
            raise
        return str(annotations.get(ANNOTATION, ""))

    def advance(self, revision: str) -> None:
        """Move the marker.

        Raises:
            ClusterError: The Secret is missing or may not be changed.
        """
        change = json.dumps({"metadata": {"annotations": {ANNOTATION: revision}}}).encode()
        try:
            self._client.merge_patch(self._path, change)
        except ClusterError as error:
            raise ClusterError(
                f"the sync marker cannot be kept in Secret {self._name}: {error.message}",
                status=error.status,
                reason=error.reason,
                hint="create the Secret and let the agent get and patch it",
            ) from error
