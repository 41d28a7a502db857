"""What the sync needs of a cluster, as Protocols: `wiring` gives it the real client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from agent.model.resources import Resource


class Kinds(Protocol):
    """Which kinds the cluster serves."""

    @property
    def preferred(self) -> tuple[Resource, ...]:
        """One resource for each kind."""

    @property
    def broken_groups(self) -> frozenset[str]:
        """Groups whose own API server does not answer."""

    def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of an apiVersion and kind, where it is served."""


class Cluster(Protocol):
    """The API server. Every call may raise `ClusterError`, or `StoppedError` at shutdown."""

    def kinds(self, *, refresh: bool = False) -> Kinds:
        """What is served, asked for again where `refresh`."""

    def get(self, path: str) -> dict[str, Any]:
        """One object."""

    def list_metadata(self, path: str, *, label_selector: str = "") -> Iterator[dict[str, Any]]:
        """The metadata of a collection, in pages of 500."""

    def apply(self, path: str, body: bytes) -> dict[str, Any]:
        """Server-side apply, forced; the object as it then stands."""

    def dry_run(self, path: str, body: bytes) -> dict[str, Any]:
        """The object as `apply` would leave it; nothing is kept."""

    def dry_replace(self, path: str, body: bytes) -> dict[str, Any]:
        """The object as replacing it as a whole would leave it; nothing is kept."""

    def json_patch(self, path: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
        """A JSON patch, all or nothing."""

    def delete(self, path: str, *, uid: str) -> None:
        """Delete the object with this uid and no other."""
