"""Which repositories are wanted, with whose rights, and of which tags the build time counts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent.model.errors import UsageError
from agent.model.globs import matches_image
from agent.model.ids import WorkloadId
from agent.model.images import Image, Reference
from agent.model.patterns import EVERYTHING, Order, Pattern, ordered
from agent.model.policies import is_on
from agent.model.workloads import Container, Workload
from agent.registry.records import PullScope


@dataclass(frozen=True, slots=True)
class Selection:
    """Which images are scanned at all, by globs: exclude beats include, and none included means all.

    `further` may give a reason of its own against an image, such as an account of a cloud that is left out.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    further: Callable[[Reference], str] = field(default=lambda _: "", compare=False)

    def reason_against(self, image: Reference) -> str:
        """Why this image is not scanned; empty where it is."""
        if matches_image(self.exclude, image):
            return "excluded by --registry-exclude-image"
        if self.include and not matches_image(self.include, image):
            return "not included by --registry-include-image"
        return self.further(image)


@dataclass(frozen=True, slots=True)
class Demand:
    """What is wanted of one repository.

    Attributes:
        image: A reference of it.
        scopes: Whose rights to pull count.
        patterns: Filters that order by build time and whose newest tag is wanted: all tags they let through are looked
            at.
        pinned: Filters that order by version, of containers that are held by a digest: the newest tag is looked at.
    """

    image: Reference
    scopes: tuple[PullScope, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    pinned: tuple[Pattern, ...] = ()

    def tags(self, all_tags: Iterable[str]) -> tuple[str, ...]:
        """Those of the tags whose build time counts."""
        if not self.patterns and not self.pinned:
            return ()
        tags = list(all_tags)
        wanted = [tag for tag in tags if any(pattern.matches(tag) for pattern in self.patterns)]
        return tuple(dict.fromkeys((*wanted, *(tag for pattern in self.pinned for tag in _newest(pattern, tags)))))


def demands(
    workloads: Iterable[Workload], policies: Mapping[WorkloadId, Mapping[str, str]], selection: Selection
) -> dict[str, Demand]:
    """What the workloads of the cluster want, by canonical name; what cannot be read wants nothing."""
    images: dict[str, Reference] = {}
    scopes: dict[str, dict[PullScope, None]] = {}
    patterns: dict[tuple[str, Order], dict[Pattern, None]] = {}
    for workload in workloads:
        for container in workload.containers:
            image = reference_of(container)
            if image is None or selection.reason_against(image):
                continue
            name = image.canonical_name
            images.setdefault(name, image)
            scopes.setdefault(name, {})[scope_of(workload)] = None
            wanted = _automated(container, image, policies.get(workload.id, {}))
            if wanted is not None:
                patterns.setdefault((name, wanted.order), {})[wanted] = None
    return {
        name: Demand(
            image,
            tuple(scopes[name]),
            tuple(patterns.get((name, "build time"), ())),
            tuple(patterns.get((name, "version"), ())),
        )
        for name, image in images.items()
    }


def scope_of(workload: Workload) -> PullScope:
    """A workload's right to pull."""
    return PullScope(workload.id.namespace, workload.pull_secrets, workload.service_account)


def reference_of(container: Container) -> Reference | None:
    """A container's image; None where it is none that can be read."""
    try:
        return Reference.parse(container.image)
    except UsageError:
        return None


def pattern_of(container: str, policies: Mapping[str, str]) -> Pattern:
    """The filter of a container; everything where it has none.

    Raises:
        UsageError: It has one that cannot be read.
    """
    text = policies.get(f"tag.{container}")
    return Pattern.parse(text) if text else EVERYTHING


def _newest(pattern: Pattern, tags: Iterable[str]) -> list[str]:
    """The newest tag by version, in a list; an empty one where none fits."""
    fitting = (Image(tag) for tag in tags if pattern.matches(tag))
    return [image.tag for image in ordered(fitting, "version", by_label=False)[:1]]


def _automated(container: Container, image: Reference, policies: Mapping[str, str]) -> Pattern | None:
    """The filter of an automated container, where looking at tags tells what listing them does not."""
    if not is_on(policies, "automated"):
        return None
    try:
        pattern = pattern_of(container.name, policies)
    except UsageError:
        return None
    return pattern if pattern.order == "build time" or image.digest else None
