"""Which workloads a release is about, and why each of the others is left out, in Flux v1's words. Pure.

The order of the questions is v1's, because the first one that says no gives the reason: is it asked for, is it in the
cluster, does it use the image, is it locked or ignored. `--force` on named workloads passes over the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.policies import ignores_sync, is_on
from agent.model.updates import (
    DIFFERENT_IMAGE,
    EXCLUDED,
    IGNORE,
    LOCKED,
    NOT_ACCESSIBLE,
    NOT_IN_REPO,
    NOT_INCLUDED,
    ContainersSpec,
    Definition,
    Outcome,
    Outcomes,
    ReleaseSpec,
)
from agent.model.workloads import WorkloadSnapshot
from agent.registry.demand import reference_of

Definitions = tuple[Definition, ...]
"""Of one workload: one where all is well."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The workloads to look at, ordered by id, and the outcome of all others."""

    chosen: tuple[Definition, ...] = ()
    left_out: Outcomes = field(default_factory=dict, hash=False)


def select(spec: ReleaseSpec, definitions: Iterable[Definition], snapshot: WorkloadSnapshot) -> Selected:
    """The workloads of a release.

    A workload outside the namespaces that the release is limited to is not told of, unless it is named.
    """
    named, running = frozenset(spec.workloads), _running(snapshot)
    forced = bool(named and spec.force)

    def judge(found: Definitions) -> Outcome | None:
        return (
            _if_not_asked_for(found, spec, named)
            or _if_ambiguous(found)
            or _if_not_running(found, running)
            or _if_different_image(found, spec.image)
            or (None if forced else _if_held(found))
            or _if_read_only(found)
        )

    told = (item for item in definitions if item.id in named or spec.within.shows(item.id.namespace))
    return _sorted_out(by_id(told), judge, named)


def select_picked(spec: ContainersSpec, definitions: Iterable[Definition], snapshot: WorkloadSnapshot) -> Selected:
    """The workloads that somebody picked changes for; all others are not included."""
    running = _running(snapshot)

    def judge(found: Definitions) -> Outcome | None:
        return (
            (None if found[0].id in spec.changes else Outcome("ignored", NOT_INCLUDED))
            or _if_ambiguous(found)
            or _if_not_running(found, running)
            or (None if spec.force else _if_held(found))
            or _if_read_only(found)
        )

    return _sorted_out(by_id(definitions), judge, spec.changes)


def select_automated(definitions: Iterable[Definition], snapshot: WorkloadSnapshot) -> Selected:
    """The automated workloads that may be changed; nothing is said of those that are not automated."""
    running = _running(snapshot)

    def judge(found: Definitions) -> Outcome | None:
        return _if_ambiguous(found) or _if_held(found) or _if_not_running(found, running) or _if_read_only(found)

    return _sorted_out(by_id(item for item in definitions if is_on(item.policies, "automated")), judge, ())


def by_id(definitions: Iterable[Definition]) -> dict[WorkloadId, Definitions]:
    """All definitions of each workload; more than one is a mistake in the repository."""
    found: dict[WorkloadId, list[Definition]] = {}
    for definition in definitions:
        found.setdefault(definition.id, []).append(definition)
    return {id_: tuple(items) for id_, items in found.items()}


def ambiguous(found: Definitions) -> str:
    """Why a workload cannot be told: several files define it; empty where one does."""
    if len(found) < 2:
        return ""
    return f"defined more than once: {', '.join(str(item.origin) for item in found)}"


def _running(snapshot: WorkloadSnapshot) -> frozenset[WorkloadId]:
    return frozenset(workload.id for workload in snapshot.workloads)


def _sorted_out(
    found: Mapping[WorkloadId, Definitions], judge: Callable[[Definitions], Outcome | None], named: Iterable[WorkloadId]
) -> Selected:
    outcomes = {id_: judge(items) for id_, items in found.items()}
    missing = {id_: Outcome("skipped", NOT_IN_REPO) for id_ in named if id_ not in found}
    chosen = sorted(
        (found[id_][0] for id_, outcome in outcomes.items() if outcome is None), key=lambda item: str(item.id)
    )
    return Selected(tuple(chosen), {id_: outcome for id_, outcome in outcomes.items() if outcome} | missing)


def _if_not_asked_for(found: Definitions, spec: ReleaseSpec, named: frozenset[WorkloadId]) -> Outcome | None:
    id_ = found[0].id
    if (named and id_ not in named) or not spec.within.shows(id_.namespace):
        return Outcome("ignored", NOT_INCLUDED)
    return Outcome("ignored", EXCLUDED) if id_ in spec.excludes else None


def _if_ambiguous(found: Definitions) -> Outcome | None:
    return Outcome("failed", reason) if (reason := ambiguous(found)) else None


def _if_not_running(found: Definitions, running: frozenset[WorkloadId]) -> Outcome | None:
    return None if found[0].id in running else Outcome("skipped", NOT_ACCESSIBLE)


def _if_different_image(found: Definitions, image: Reference | None) -> Outcome | None:
    if image is None:
        return None
    used = map(reference_of, found[0].containers)
    if any(reference and reference.canonical_name == image.canonical_name for reference in used):
        return None
    return Outcome("ignored", DIFFERENT_IMAGE)


def _if_held(found: Definitions) -> Outcome | None:
    """Locked, or left alone by the sync."""
    policies = found[0].policies
    if is_on(policies, "locked"):
        return Outcome("skipped", LOCKED, detail=_lock(policies))
    return Outcome("skipped", IGNORE) if ignores_sync(policies) else None


def _lock(policies: Mapping[str, str]) -> tuple[str, ...]:
    """Who locked it, and why, where that is known."""
    user, message = policies.get("locked_user", ""), policies.get("locked_msg", "")
    if not (user or message):
        return ()
    return (f"locked{f' by {user}' if user else ''}{f': {message}' if message else ''}",)


def _if_read_only(found: Definitions) -> Outcome | None:
    return Outcome("skipped", found[0].read_only) if found[0].read_only else None
