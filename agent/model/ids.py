"""What an object is called: the full identity inside, Flux v1's workload id towards people.

Two identities exist because v1's id has no group: `demo:service/web` may be a core Service and a Knative Service.
Inside, `ObjectKey` tells them apart; people and policies use `WorkloadId`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from agent.model.errors import UsageError

CLUSTER_SCOPE = "<cluster>"
"""The namespace part of a cluster-scoped object's id, as Flux v1 wrote it."""

_ID = re.compile(
    r"(?:(?P<namespace><cluster>|[a-z0-9][a-z0-9.-]*):)?(?P<kind>[a-zA-Z][a-zA-Z0-9]*)/(?P<name>[^\s/:]+(?::[^\s/]+)*)"
)


class WorkloadId(NamedTuple):
    """`namespace:kind/name`, the kind in lower case; `<cluster>` stands for no namespace."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}:{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str, *, default_namespace: str = "default") -> WorkloadId:
        """Read `namespace:kind/name` or `kind/name`.

        Raises:
            UsageError: The text is neither.
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise UsageError(f"parsing {text}: invalid service ID", hint="write it as namespace:kind/name")
        return cls(match["namespace"] or default_namespace, match["kind"].lower(), match["name"])


class ObjectKey(NamedTuple):
    """One object of a cluster: group and namespace are empty for the core group and for cluster-scoped objects."""

    group: str
    kind: str
    namespace: str
    name: str

    @property
    def workload_id(self) -> WorkloadId:
        """The id people see; equal for two kinds of one name in different groups."""
        return WorkloadId(self.namespace or CLUSTER_SCOPE, self.kind.lower(), self.name)

    def __str__(self) -> str:
        return str(self.workload_id)


def group_of(api_version: str) -> str:
    """The group of an apiVersion: `apps` of `apps/v1`, empty for `v1`."""
    group, _, version = api_version.rpartition("/")
    return group if version else ""
