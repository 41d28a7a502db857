"""Workloads as the cluster runs them: what the lists show and what releases will change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.model.ids import WorkloadId


@dataclass(frozen=True, slots=True)
class Container:
    """A container and its image, exactly as the cluster has it."""

    name: str
    image: str
    init: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far a rollout is, in pods; `messages` is what the cluster says of one that does not get on."""

    desired: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    outdated: int = 0
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """An object of the cluster that creates containers.

    `status` is one of `started`, `updating`, `ready`, `error`, `unknown`, or empty for kinds that roll nothing out.
    Init containers come after containers, as v1 listed them. `pull_secrets` and `service_account` are its pods'.
    """

    id: WorkloadId
    containers: tuple[Container, ...]
    status: str = ""
    rollout: Rollout = field(default_factory=Rollout)
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    antecedent: str = ""
    system: bool = False
    pull_secrets: tuple[str, ...] = ()
    service_account: str = "default"


@dataclass(frozen=True, slots=True)
class View:
    """How well one kind is seen, in one namespace or in all.

    Attributes:
        place: The kind as `group/plural`.
        kind: The kind as ids name it, in lower case.
        namespace: Where; empty for all.
        version: The resourceVersion up to which it is seen; empty where it has not been listed yet.
        trouble: Why it may have changed unseen; empty while it is watched.
    """

    place: str
    kind: str
    namespace: str = ""
    version: str = ""
    trouble: str = ""

    def covers(self, id_: WorkloadId) -> bool:
        """Whether a workload would be seen here."""
        return self.kind == id_.kind and self.namespace in ("", id_.namespace)

    def misses(self, written: Mapping[tuple[str, str], int]) -> bool:
        """Whether one of these versions, by place and namespace, is newer than what is seen.

        resourceVersions are compared as numbers, as Kubernetes allows within one kind since 1.35.
        """
        if self.version and not self.version.isdigit():
            return False
        here = [
            version
            for (place, namespace), version in written.items()
            if place == self.place and self.namespace in ("", namespace)
        ]
        return int(self.version or 0) < max(here, default=0)


@dataclass(frozen=True, slots=True)
class WorkloadSnapshot:
    """All workloads, ordered by id, and when this view was last known to be current (Unix seconds).

    `not_ready` says why this may not be all of them yet; empty where every kind has been listed once.
    """

    workloads: tuple[Workload, ...] = ()
    as_of: float = 0.0
    notices: tuple[str, ...] = ()
    views: tuple[View, ...] = ()
    not_ready: str = ""
