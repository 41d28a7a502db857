"""What a release changes: one image, the newest of each, what somebody picked, or what automation asks for. Pure.

Workloads come from `select`, the verdict on each container from `verdicts`; here they become outcomes and edits.
Nothing is fetched: what would have to be known to say more is in the plan, and whoever asked may find it out and plan
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Protocol

from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.images import Image, Reference, Repository
from agent.model.patterns import EVERYTHING, Order, Pattern
from agent.model.updates import (
    DIFFERENT_IMAGE,
    DOES_NOT_USE,
    IMAGE_NOT_FOUND,
    NO_IMAGE,
    UP_TO_DATE,
    AutomaticSpec,
    ContainerChange,
    ContainersSpec,
    Definition,
    ImageEdit,
    Outcome,
    Plan,
    ReleaseSpec,
    Wanted,
    containers_mismatch,
    containers_not_found,
    in_order,
)
from agent.model.workloads import Container, WorkloadSnapshot
from agent.registry.demand import pattern_of, reference_of
from agent.releases.select import Selected, select, select_automated, select_picked
from agent.releases.verdicts import Held, Kind, Verdict, named, newest

Rejected = Mapping[tuple[WorkloadId, str], frozenset[str]]
"""By workload and container: tags and digests that automation is not to propose."""


class Library(Protocol):
    """What is known of images."""

    def ordered(self, image: Reference, order: Order) -> Sequence[Image]:
        """The images of its repository, newest first."""

    def by_label(self, image: Reference) -> bool:
        """Whether labels tell when its images were built."""

    def repository(self, image: Reference) -> Repository:
        """Its repository, as far as it is known."""


def release(spec: ReleaseSpec, definitions: Iterable[Definition], snapshot: WorkloadSnapshot, library: Library) -> Plan:
    """The plan of a release.

    Raises:
        UsageError: The image that is asked for has no tag, or does not exist.
    """
    selected = select(spec, definitions, snapshot)
    if spec.image is None:
        shelf = _Shelf(library)
        return _plan(selected, lambda definition: _newest_of_each(definition, shelf, {}))
    image = existing(spec.image, library)
    return _plan(selected, lambda definition: _named_image(definition, image, spec))


def automate(
    definitions: Iterable[Definition], snapshot: WorkloadSnapshot, library: Library, rejected: Rejected
) -> Plan:
    """The plan of an automation run: the newest image for each container of every automated workload."""
    shelf = _Shelf(library)
    selected = select_automated(definitions, snapshot)
    return _plan(selected, lambda definition: _newest_of_each(definition, shelf, rejected, automated=True))


def automatic_spec(plan: Plan) -> AutomaticSpec:
    """What an automation run did, as its commit tells it."""
    return AutomaticSpec(plan.changes)


def release_picked(spec: ContainersSpec, definitions: Iterable[Definition], snapshot: WorkloadSnapshot) -> Plan:
    """The plan of a release of changes that somebody picked one by one.

    Raises:
        UsageError: One of them has neither tag nor digest.
    """
    for change in chain.from_iterable(spec.changes.values()):
        _require_tag(change.target)
    selected = select_picked(spec, definitions, snapshot)
    return _plan(selected, lambda definition: (_picked(definition, spec), ()))


def existing(image: Reference, library: Library) -> Image:
    """What is known of an image that somebody named.

    Raises:
        UsageError: It has neither tag nor digest, or it does not exist as far as is known.
    """
    _require_tag(image)
    repository = library.repository(image)
    found = repository.images.get(image.tag) if image.tag else _of_digest(repository, image.digest)
    if found is None or (image.digest and found.digest not in ("", image.digest)):
        raise UsageError(f'image "{image}" does not exist: invalid image ID', hint=_why_unknown(repository))
    return found


class _Shelf:
    """A library, where the images that a filter lets through are found once for each repository."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._fitting: dict[tuple[str, str], tuple[Image, ...]] = {}

    def fitting(self, image: Reference, pattern: Pattern) -> tuple[Image, ...]:
        """The images of a repository that a filter lets through, newest first."""
        key = (image.canonical_name, pattern.text)
        if key not in self._fitting:
            images = self._library.ordered(image, pattern.order)
            self._fitting[key] = tuple(each for each in images if pattern.matches(each.tag))
        return self._fitting[key]

    def newest(self, held: Held, rejected: frozenset[str]) -> Verdict:
        """The verdict on a container."""
        fitting = self.fitting(held.image, held.pattern)
        if not fitting and not (repository := self._library.repository(held.image)).images:
            known = bool(repository.scanned_at or repository.error)
            text = f"{held.name}: {_why_unknown(repository)}"
            return Verdict(Kind.NO_IMAGE, text=text, wanted=None if known else frozenset())
        return newest(held, fitting, rejected, by_label=self._library.by_label(held.image))


Judged = tuple[Outcome, Sequence[Wanted]]


def _plan(selected: Selected, judge: Callable[[Definition], Judged]) -> Plan:
    outcomes: dict[WorkloadId, Outcome] = dict(selected.left_out)
    edits: list[ImageEdit] = []
    wanted: list[Wanted] = []
    for definition in selected.chosen:
        outcome, more = judge(definition)
        outcomes[definition.id] = outcome
        wanted += more
        edits += _edits(definition, outcome.changes)
    return Plan(in_order(outcomes), tuple(edits), wanted=tuple(wanted))


def _edits(definition: Definition, changes: Iterable[ContainerChange]) -> list[ImageEdit]:
    path = definition.origin.path
    return [ImageEdit(path, definition.id, change.container, str(change.target)) for change in changes]


def _newest_of_each(definition: Definition, shelf: _Shelf, rejected: Rejected, *, automated: bool = False) -> Judged:
    def judge(container: Container, held: Held) -> Verdict:
        if automated and not held.image.tag and f"tag.{container.name}" not in definition.policies:
            text = f"{container.name}: it names no tag, and no filter says which to follow"
            return Verdict(Kind.UP_TO_DATE, text=text)
        return shelf.newest(held, rejected.get((definition.id, container.name), frozenset()))

    verdicts = [_verdict(definition, container, judge) for container in definition.containers]
    return _summed(verdicts), _wanted(definition, verdicts)


def _named_image(definition: Definition, image: Image, spec: ReleaseSpec) -> Judged:
    asked = spec.image or NO_IMAGE

    def judge(container: Container, held: Held) -> Verdict:
        free = spec.force or f"tag.{container.name}" not in definition.policies
        return named(held, image, asked, fits=free or held.pattern.matches(image.tag))

    verdicts = [
        _verdict(definition, container, judge, filtered=not spec.force)
        if _uses(container, asked)
        else Verdict(Kind.OTHER_IMAGE)
        for container in definition.containers
    ]
    return _summed_of_named(verdicts), _wanted(definition, verdicts)


def _uses(container: Container, image: Reference) -> bool:
    reference = reference_of(container)
    return reference is not None and reference.canonical_name == image.canonical_name


def _verdict(
    definition: Definition, container: Container, judge: Callable[[Container, Held], Verdict], *, filtered: bool = True
) -> Verdict:
    image = reference_of(container)
    if image is None:
        return Verdict(Kind.LEFT, text=f"{container.name}: {container.image!r} is no image reference")
    try:
        pattern = pattern_of(container.name, definition.policies) if filtered else EVERYTHING
    except UsageError as error:
        return Verdict(Kind.LEFT, text=f"{container.name}: {error.message}")
    return judge(container, Held(container.name, image, pattern))


def _summed(verdicts: Sequence[Verdict]) -> Outcome:
    """The outcome for a workload of which the newest images were asked for."""
    if any(verdict.change for verdict in verdicts):
        return _success(verdicts)
    if left := [verdict.text for verdict in verdicts if verdict.kind is Kind.LEFT]:
        return Outcome("skipped", "; ".join(left), detail=_texts(verdicts, but=left))
    if any(verdict.kind is Kind.NO_IMAGE for verdict in verdicts):
        return Outcome("skipped", IMAGE_NOT_FOUND, detail=_texts(verdicts))
    if not verdicts:
        return Outcome("ignored", DOES_NOT_USE)
    return Outcome("skipped", UP_TO_DATE, detail=_texts(verdicts))


def _summed_of_named(verdicts: Sequence[Verdict]) -> Outcome:
    """The outcome for a workload of which one image was asked for.

    As in v1 the last container decides between "does not use" and "cannot find" where a filter keeps the image out.
    """
    if any(verdict.change for verdict in verdicts):
        return _success(verdicts)
    users = [verdict for verdict in verdicts if verdict.kind is not Kind.OTHER_IMAGE]
    if any(verdict.kind is Kind.UP_TO_DATE for verdict in users):
        return Outcome("skipped", UP_TO_DATE, detail=_texts(users))
    if left := [verdict.text for verdict in users if verdict.kind is Kind.LEFT]:
        return Outcome("skipped", "; ".join(left), detail=_texts(users, but=left))
    if verdicts[-1].kind is Kind.OTHER_IMAGE:
        return Outcome("ignored", DOES_NOT_USE, detail=_texts(users))
    return Outcome("skipped", IMAGE_NOT_FOUND, detail=_texts(users))


def _success(verdicts: Sequence[Verdict]) -> Outcome:
    changes = tuple(verdict.change for verdict in verdicts if verdict.change)
    return Outcome("success", changes=changes, detail=_texts(verdicts))


def _texts(verdicts: Iterable[Verdict], but: Sequence[str] = ()) -> tuple[str, ...]:
    return tuple(verdict.text for verdict in verdicts if verdict.text and verdict.text not in but)


def _wanted(definition: Definition, verdicts: Sequence[Verdict]) -> list[Wanted]:
    """What would have to be known."""
    pairs = zip(map(reference_of, definition.containers), verdicts, strict=True)
    return [
        Wanted(definition.id, image, verdict.wanted)
        for image, verdict in pairs
        if image is not None and verdict.wanted is not None
    ]


def _picked(definition: Definition, spec: ContainersSpec) -> Outcome:
    """As in v1: a container that is not there fails its workload, an image that has changed since does too."""
    asked = spec.changes[definition.id]
    containers = {container.name: container for container in definition.containers}
    missing = [change.container for change in asked if change.container not in containers]
    there = [(change, containers[change.container]) for change in asked if change.container in containers]
    other = [change.container for change, container in there if _is_other(change, container)]
    fresh = [(change, container) for change, container in there if not _is_other(change, container)]
    strange = [change.container for change, container in fresh if not _uses(container, change.target)]
    if missing:
        return Outcome("failed", containers_not_found(missing))
    if other and not spec.skip_mismatches:
        return Outcome("failed", containers_mismatch(other))
    if strange:
        return Outcome("failed", f"{DIFFERENT_IMAGE}: {', '.join(strange)}")
    mismatch = containers_mismatch(other) if other else ""
    resolved = [_resolved(change, container) for change, container in fresh]
    changes = tuple(change for change in resolved if change.current != change.target)
    if not changes:
        return Outcome("skipped", mismatch or UP_TO_DATE)
    return Outcome("success", mismatch, changes)


def _is_other(change: ContainerChange, container: Container) -> bool:
    return change.current != NO_IMAGE and str(change.current) != container.image


def _resolved(change: ContainerChange, container: Container) -> ContainerChange:
    """The change from what git has, the name written as it is there."""
    current = Reference.parse(container.image)
    return ContainerChange(change.container, current, current.with_tag(change.target.tag, change.target.digest))


def _require_tag(image: Reference) -> None:
    if not (image.tag or image.digest):
        raise UsageError("blank tag (if you want latest, explicitly state the tag :latest): invalid image ID")


def _of_digest(repository: Repository, digest: str) -> Image | None:
    return next((image for image in repository.images.values() if image.digest == digest), None)


def _why_unknown(repository: Repository) -> str:
    """Why a repository has not what was looked for."""
    if repository.error:
        return repository.error
    if not repository.scanned_at:
        return f"the tags of {repository.name} have not been listed yet"
    return f"{repository.name} has no such image" if repository.images else f"{repository.name} has no tags"
