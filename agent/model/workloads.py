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
    Init containers come after containers, as v1 listed them.
    """

    id: WorkloadId
    containers: tuple[Container, ...]
    status: str = ""
    rollout: Rollout = field(default_factory=Rollout)
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    antecedent: str = ""
    system: bool = False


@dataclass(frozen=True, slots=True)
class WorkloadSnapshot:
    """All workloads, ordered by id, and when this view was last known to be current (Unix seconds)."""

    workloads: tuple[Workload, ...] = ()
    as_of: float = 0.0
    notices: tuple[str, ...] = ()
