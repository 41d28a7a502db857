"""Changes of policies: what is asked for, checked, and what it changes in git. Pure.

The words are Flux v1's. Unlike v1, a workload or container that does not exist is told, and so is that nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.patterns import EVERYTHING, Pattern
from agent.model.updates import (
    NO_CHANGES,
    NOT_IN_REPO,
    AnnotationEdit,
    Definition,
    Outcome,
    Plan,
    PoliciesSpec,
    PolicyUpdate,
    containers_not_found,
    in_order,
)
from agent.releases.select import ambiguous, by_id

_BOOLEAN = ("automated", "ignore", "locked")
_LOCK_NOTES = ("locked_user", "locked_msg")
_VALUES = {"automated": ("true", "false"), "locked": ("true", "false"), "ignore": ("true", "false", "sync_only")}
_TAG = "tag."


def checked(spec: PoliciesSpec) -> PoliciesSpec:
    """What was asked for, with its filters in full, as annotations and notes have them.

    Raises:
        UsageError: There is no such policy, or it cannot have that value.
    """
    return PoliciesSpec({id_: _checked(update) for id_, update in spec.updates.items()})


def update_policies(spec: PoliciesSpec, definitions: Iterable[Definition]) -> Plan:
    """The plan of a change of policies, which `checked` has seen."""
    updates = spec.updates
    defined = by_id(item for item in definitions if item.id in updates)
    outcomes: dict[WorkloadId, Outcome] = {}
    edits: list[AnnotationEdit] = []
    for id_, update in updates.items():
        found = defined.get(id_, ())
        if problem := _problem(found, update):
            outcomes[id_] = Outcome("failed", problem)
        elif changes := _changes(found[0], update):
            outcomes[id_] = Outcome("success")
            edits.append(AnnotationEdit(found[0].origin.path, id_, changes))
        else:
            outcomes[id_] = Outcome("skipped", NO_CHANGES)
    return Plan(in_order(outcomes), annotations=tuple(edits))


def _checked(update: PolicyUpdate) -> PolicyUpdate:
    """The same update with its filters in full, where it makes sense."""
    for name in (*update.add, *update.remove):
        if name not in (*_BOOLEAN, *_LOCK_NOTES) and not (name.startswith(_TAG) and name != _TAG):
            raise UsageError(
                f"there is no policy {name!r}", hint=f"there are {', '.join(_BOOLEAN)} and tag.<container>"
            )
    for name, value in update.add.items():
        if value and value not in _VALUES.get(name, (value,)):
            raise UsageError(f"policy {name} cannot be {value!r}", hint=f"it can be {' or '.join(_VALUES[name])}")
    add = {
        name: Pattern.parse(value).text if value and name.startswith(_TAG) else value
        for name, value in update.add.items()
    }
    return PolicyUpdate(add, update.remove, Pattern.parse(update.tag_all).text if update.tag_all else "")


def _problem(found: tuple[Definition, ...], update: PolicyUpdate) -> str:
    """Why a workload's policies cannot be changed; empty where they can."""
    if not found:
        return NOT_IN_REPO
    definition = found[0]
    known = {f"{_TAG}{container.name}" for container in definition.containers}
    removable = known | set(definition.policies)
    missing = [name for name in update.add if name.startswith(_TAG) and name not in known]
    missing += sorted(name for name in update.remove if name.startswith(_TAG) and name not in removable)
    if missing:
        return containers_not_found(name.removeprefix(_TAG) for name in missing)
    return ambiguous(found) or definition.read_only


def _changes(definition: Definition, update: PolicyUpdate) -> dict[str, str | None]:
    """What differs from what is there; removing beats setting, as in v1."""
    asked: dict[str, str | None] = {name: value or None for name, value in update.add.items()}
    asked |= dict.fromkeys(sorted(update.remove))
    if asked.get("locked") == "true" and "locked_user" not in asked:
        asked = {**dict.fromkeys(_LOCK_NOTES), **asked}
    for container in definition.containers if update.tag_all else ():
        text = None if update.tag_all == EVERYTHING.text else update.tag_all
        asked.setdefault(f"{_TAG}{container.name}", text)
    return {name: value for name, value in asked.items() if definition.policies.get(name) != value}
