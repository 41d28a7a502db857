"""Changes to git as values: what is asked for, what becomes of each workload, and what is to be written. Pure.

Statuses and reasons are Flux v1's words, because scripts read them; `Outcome.detail` says what those words leave out.
What is changed is git's definition of a workload. The cluster only tells whether the workload is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from agent.model.access import Visible
from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.resources import Origin
from agent.model.workloads import Container

Status = Literal["success", "failed", "skipped", "ignored", "unknown"]

LOCKED = "locked"
IGNORE = "ignore"
NOT_INCLUDED = "not included"
EXCLUDED = "excluded"
DIFFERENT_IMAGE = "a different image"
NOT_ACCESSIBLE = "not accessible in cluster"
NOT_IN_REPO = "not found in repository"
IMAGE_NOT_FOUND = "cannot find one or more images"
UP_TO_DATE = "image(s) up to date"
DOES_NOT_USE = "does not use image(s)"
NO_CHANGES = "no changes"

NO_IMAGE = Reference("")
"""Stands for "whatever it is now" as the current image of a change that somebody picked."""


def containers_not_found(names: Iterable[str]) -> str:
    """The reason where a workload has no such containers."""
    return f"container(s) not found: {', '.join(names)}"


def containers_mismatch(names: Iterable[str]) -> str:
    """The reason where containers have other images by now than the change was picked for."""
    return f"container(s) tag mismatch: {', '.join(names)}"


@dataclass(frozen=True, slots=True)
class Cause:
    """Who asked for a change, as they say themselves (`Name <email>`), and why; both may be empty."""

    user: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """A workload as git defines it.

    Attributes:
        id: What it is called.
        origin: Where in the repository.
        containers: With their images as git has them, init containers last.
        policies: By their names without prefix.
        read_only: Why it cannot be changed through git; empty where it can.
    """

    id: WorkloadId
    origin: Origin
    containers: tuple[Container, ...] = ()
    policies: Mapping[str, str] = field(default_factory=dict, hash=False)
    read_only: str = ""


@dataclass(frozen=True, slots=True)
class ContainerChange:
    """A container's image before and after."""

    container: str
    current: Reference
    target: Reference


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one workload.

    Attributes:
        status: v1's word for it.
        reason: Why; empty for a success.
        changes: Of its containers, where images were changed.
        detail: Sentences on single containers that the reason leaves out.
    """

    status: Status
    reason: str = ""
    changes: tuple[ContainerChange, ...] = ()
    detail: tuple[str, ...] = ()


Outcomes = Mapping[WorkloadId, Outcome]
"""By workload, ordered as v1's tables are: by the id's text."""


def in_order(outcomes: Outcomes) -> dict[WorkloadId, Outcome]:
    """The same outcomes, ordered by the text of the ids."""
    return {id_: outcomes[id_] for id_ in sorted(outcomes, key=str)}


@dataclass(frozen=True, slots=True)
class ReleaseSpec:
    """A release of one image, or of the newest of each.

    Attributes:
        workloads: These only; none means all.
        excludes: Not these.
        image: This one; None for the newest that each container's filter lets through.
        force: For named workloads locks do not count; with an image filters do not count.
        within: The namespaces that whoever asks may release in.
    """

    workloads: tuple[WorkloadId, ...] = ()
    excludes: tuple[WorkloadId, ...] = ()
    image: Reference | None = None
    force: bool = False
    within: Visible = field(default_factory=Visible)


ContainerChanges = Mapping[WorkloadId, tuple[ContainerChange, ...]]


@dataclass(frozen=True, slots=True)
class ContainersSpec:
    """A release of changes that somebody picked one by one.

    Attributes:
        changes: By workload; a current image that is `NO_IMAGE` is not compared.
        skip_mismatches: Leave out containers whose image is another by now, instead of failing their workload.
        force: Locks do not count.
    """

    changes: ContainerChanges = field(default_factory=dict, hash=False)
    skip_mismatches: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class AutomaticSpec:
    """A release by the agent itself, of the changes that the filters of automated workloads ask for."""

    changes: ContainerChanges = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class PolicyUpdate:
    """A change of one workload's policies.

    Attributes:
        add: Policies to set, by name, such as `automated` or `tag.web`; an empty value removes.
        remove: Policies to remove.
        tag_all: A filter for all containers that neither of the two names; `glob:*` removes theirs, empty changes none.
    """

    add: Mapping[str, str] = field(default_factory=dict, hash=False)
    remove: frozenset[str] = frozenset()
    tag_all: str = ""


@dataclass(frozen=True, slots=True)
class PoliciesSpec:
    """A change of policies, by workload."""

    updates: Mapping[WorkloadId, PolicyUpdate] = field(default_factory=dict, hash=False)


Spec = ReleaseSpec | ContainersSpec | AutomaticSpec | PoliciesSpec


@dataclass(frozen=True, slots=True)
class ImageEdit:
    """A container's image to write, in this file, as this text."""

    path: str
    workload: WorkloadId
    container: str
    image: str


@dataclass(frozen=True, slots=True)
class AnnotationEdit:
    """Policies to write, in this file, by their names without prefix; None removes."""

    path: str
    workload: WorkloadId
    changes: Mapping[str, str | None] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What has to be found out before a workload's images can be told: these tags; without any, which tags exist."""

    workload: WorkloadId
    image: Reference
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of each workload, what is to be written for it, and what would have to be known to say more."""

    outcomes: Outcomes = field(default_factory=dict, hash=False)
    images: tuple[ImageEdit, ...] = ()
    annotations: tuple[AnnotationEdit, ...] = ()
    wanted: tuple[Wanted, ...] = ()

    @property
    def changes(self) -> ContainerChanges:
        """The changes of images, by workload."""
        return {id_: outcome.changes for id_, outcome in self.outcomes.items() if outcome.changes}

    def without(self, workload: WorkloadId, reason: str) -> Plan:
        """The same plan where this workload failed, because its file could not be edited as planned."""
        return replace(
            self,
            outcomes={**self.outcomes, workload: Outcome("failed", reason)},
            images=tuple(edit for edit in self.images if edit.workload != workload),
            annotations=tuple(edit for edit in self.annotations if edit.workload != workload),
        )
