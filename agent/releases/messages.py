"""What commits say, byte for byte as Flux v1 said it: people's tools read them. Pure.

No text ends with a line break; git puts one there.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.ids import WorkloadId
from agent.model.updates import (
    AutomaticSpec,
    ContainersSpec,
    Outcomes,
    PoliciesSpec,
    PolicyUpdate,
    ReleaseSpec,
    Spec,
    in_order,
)

MOST_IMAGES = 10
"""Images that an automatic commit names."""

_SET = {"automated": "Automated", "locked": "Locked"}
_REMOVED = {"automated": "Deautomated", "locked": "Unlocked"}
_OTHER = "Updated policies"
_ORDER = ("Automated", "Deautomated", "Locked", "Unlocked", _OTHER)


def commit_message(spec: Spec, outcomes: Outcomes, message: str = "") -> str:
    """The message of the commit that does this.

    Args:
        spec: What was asked for.
        outcomes: What became of each workload.
        message: What the person says of it: it replaces the text, and for policies only its subject.
    """
    if isinstance(spec, PoliciesSpec):
        return _of_policies(spec, outcomes, message)
    if message:
        return message
    if isinstance(spec, ReleaseSpec):
        return _of_release(spec)
    if isinstance(spec, ContainersSpec):
        return _of_containers(outcomes)
    return _of_automation(spec)


def accepting_message(accepted: Iterable[WorkloadId]) -> str:
    """The message of a commit that lets images through again which were taken back, and changes nothing else."""
    return f"Accepted again what was taken back: {', '.join(sorted(map(str, accepted)))}"


def _of_release(spec: ReleaseSpec) -> str:
    return f"Release {spec.image or 'all latest'} to {', '.join(map(str, spec.workloads)) or 'all'}"


def _of_automation(spec: AutomaticSpec) -> str:
    images = sorted({str(change.target) for changes in spec.changes.values() for change in changes})
    if not images:
        return "Auto-release (no images)"
    if len(images) == 1:
        return f"Auto-release {images[0]}"
    lines = [f" - {image}" for image in images[:MOST_IMAGES]] + [" ..."] * (len(images) > MOST_IMAGES)
    return "\n".join([f"Auto-release multiple ({len(images)}) images", "", *lines])


def _of_containers(outcomes: Outcomes) -> str:
    done = {id_: outcome for id_, outcome in in_order(outcomes).items() if outcome.status == "success"}
    blocks = [f"Update image refs in {', '.join(map(str, done))}"]
    for id_, outcome in done.items():
        blocks.append("\n".join([str(id_), *(f"- {change.target}" for change in outcome.changes)]))
    failed = [(id_, outcome.reason) for id_, outcome in in_order(outcomes).items() if outcome.status == "failed"]
    if len(failed) == 1:
        blocks.append(f"{failed[0][0]} failed: {failed[0][1]}")
    elif failed:
        blocks.append(f"Multiple workloads failed: {', '.join(str(id_) for id_, _ in failed)}")
    return "\n\n".join(blocks)


def _of_policies(spec: PoliciesSpec, outcomes: Outcomes, message: str) -> str:
    done = {id_: update for id_, update in spec.updates.items() if _is_done(id_, outcomes)}
    events = [
        f"{event}: {', '.join(sorted(str(id_) for id_, update in done.items() if event in _events(update)))}"
        for event in _ORDER
        if any(event in _events(update) for update in done.values())
    ]
    subject = message or ("Updated workload policies" if len(events) > 1 else "")
    if not subject:
        return "\n".join(events)
    return "\n".join([subject, "", *(f"- {event}" for event in events)])


def _is_done(id_: WorkloadId, outcomes: Outcomes) -> bool:
    return id_ in outcomes and outcomes[id_].status == "success"


def _events(update: PolicyUpdate) -> frozenset[str]:
    """What an update does, in v1's words."""
    added: Iterable[str] = (*update.add, *(("tag_all",) if update.tag_all else ()))
    return frozenset(_SET.get(name, _OTHER) for name in added) | frozenset(
        _REMOVED.get(name, _OTHER) for name in update.remove
    )
