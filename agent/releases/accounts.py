"""What a commit tells programs: who asked, what was updated, and what automation must not bring again. Pure.

The trailers are read by `quarantine`, by whoever asks for a job after a restart, and by people with `git log`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from agent.git.records import JOB
from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.updates import (
    AutomaticSpec,
    ContainerChange,
    ContainersSpec,
    Definition,
    Outcome,
    Outcomes,
    Plan,
    PoliciesSpec,
    ReleaseSpec,
    Spec,
    in_order,
)
from agent.model.workloads import WorkloadSnapshot
from agent.registry.demand import pattern_of
from agent.releases import calculate, quarantine
from agent.releases.contract import Asked

Trailer = tuple[str, str]

POLICIES = "Flux-Policies"
"""The trailer that names a workload whose policies were changed."""

_KINDS = {AutomaticSpec: quarantine.AUTOMATION, PoliciesSpec: "policies"}


def trailers(asked: Asked, spec: Spec, plan: Plan, accepted: Collection[WorkloadId]) -> Iterator[Trailer]:
    """Who asked for a change and what it changes."""
    yield JOB, asked.job_id
    yield quarantine.KIND, _KINDS.get(type(spec), "release")
    yield "Flux-Requested-By", asked.caller
    yield "Flux-Credential", asked.credential_id
    yield "Flux-User", asked.cause.user
    for id_, changes in plan.changes.items():
        for change in changes:
            yield quarantine.UPDATED, f"{id_} {change.container} {change.current} {change.target}"
    for id_ in [id_ for id_, outcome in plan.outcomes.items() if outcome.status == "success" and not outcome.changes]:
        yield POLICIES, str(id_)
    for id_ in sorted(accepted, key=str):
        yield quarantine.ACCEPTED, str(id_)


def outcomes_of(told: Iterable[Trailer]) -> Outcomes:
    """What became of workloads, as far as the trailers of its commit tell it; what is none of ours is left out."""
    changes: dict[WorkloadId, tuple[ContainerChange, ...]] = {}
    for name, value in told:
        words = value.split(" ")
        with suppress(UsageError):
            if name == quarantine.UPDATED and len(words) == 4:
                id_, change = WorkloadId.parse(words[0]), (Reference.parse(words[2]), Reference.parse(words[3]))
                changes[id_] = (*changes.get(id_, ()), ContainerChange(words[1], *change))
            elif name in (POLICIES, quarantine.ACCEPTED):
                changes.setdefault(WorkloadId.parse(value), ())
    return in_order({id_: Outcome("success", changes=each) for id_, each in changes.items()})


def taken_back(
    spec: Spec,
    plan: Plan,
    definitions: Iterable[Definition],
    snapshot: WorkloadSnapshot,
    library: calculate.Library | None,
) -> Iterator[Trailer]:
    """Marks for containers that somebody sets back to an older image which automation would replace again.

    The mark is on what automation would bring; where that cannot be told yet, on what was there.
    """
    if library is None or not isinstance(spec, ReleaseSpec | ContainersSpec) or not plan.changes:
        return
    after = {each.id: _changed(each, plan.changes[each.id]) for each in definitions if each.id in plan.changes}
    again = calculate.automate(after.values(), snapshot, library, {})
    brought = {(id_, each.container): each.target for id_, changes in again.changes.items() for each in changes}
    unknown = {(each.workload, each.image) for each in again.wanted}
    for id_, changes in plan.changes.items():
        for change in changes:
            target = brought.get((id_, change.container))
            if target is None and (id_, change.target) in unknown:
                target = change.current
            if target is not None and _is_rollback(change, after[id_], library):
                yield quarantine.REJECTED, f"{id_} {change.container} {target}"


def _is_rollback(change: ContainerChange, definition: Definition, library: calculate.Library) -> bool:
    order = pattern_of(change.container, definition.policies).order
    return quarantine.is_rollback(change, library.ordered(change.target, order))


def _changed(definition: Definition, changes: Iterable[ContainerChange]) -> Definition:
    """The definition as it is after the changes."""
    targets = {change.container: str(change.target) for change in changes}
    containers = (replace(each, image=targets.get(each.name, each.image)) for each in definition.containers)
    return replace(definition, containers=tuple(containers))
