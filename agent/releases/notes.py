"""The JSON of Flux v1's git notes, both ways: who asked for a commit, for what, and what became of it. Pure.

One note hangs on each commit of the agent, under the ref of `--git-notes-ref`. Keys, their order, and what is null are
v1's, so that its tools read ours; what it did not know (a limit to namespaces) is an additional key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from agent.model.access import Visible
from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.updates import (
    AutomaticSpec,
    Cause,
    ContainerChange,
    ContainerChanges,
    ContainersSpec,
    Outcome,
    Outcomes,
    PoliciesSpec,
    PolicyUpdate,
    ReleaseSpec,
    Spec,
    Status,
    in_order,
)

_ALL = "<all>"
_ALL_LATEST = "<all latest>"
_TAG_ALL = "tag_all"
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
_STATUSES: Mapping[str, Status] = {status: status for status in get_args(Status)}


@dataclass(frozen=True, slots=True)
class Note:
    """What a note says.

    Attributes:
        job_id: The job that made the commit.
        spec: What was asked for.
        cause: Who asked, and why.
        outcomes: What became of each workload; empty for policies, as in v1.
    """

    job_id: str
    spec: Spec
    cause: Cause
    outcomes: Outcomes


def write_note(note: Note) -> str:
    """The note's JSON, without a line break at its end."""
    kind, body = _written(note.spec)
    cause = {"Message": note.cause.message, "User": note.cause.user}
    result = None if kind == "policy" else {str(id_): _outcome(each) for id_, each in in_order(note.outcomes).items()}
    document = {"jobID": note.job_id, "spec": {"type": kind, "cause": cause, "spec": body}, "result": result}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def read_note(text: str) -> Note | None:
    """What a note says; None where it is none of Flux's, or of a kind that changes nothing."""
    try:
        document = json.loads(text)
        spec = document["spec"]
        cause = Cause(str(spec["cause"]["User"]), str(spec["cause"]["Message"]))
        read = _READERS[spec["type"]]
        outcomes = _mapped(document.get("result"), _read_outcome)
        return Note(str(document["jobID"]), read(spec["spec"]), cause, outcomes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError):
        return None


def _written(spec: Spec) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, ReleaseSpec):
        return "image", _release(spec)
    if isinstance(spec, ContainersSpec):
        changes = {id_: [_change(each) for each in spec.changes[id_]] for id_ in spec.changes}
        body = {"Kind": "execute", "ContainerSpecs": _keyed(changes)}
        return "containers", body | {"SkipMismatches": spec.skip_mismatches, "Force": spec.force}
    if isinstance(spec, AutomaticSpec):
        return "auto", {"Changes": [_automatic(id_, change) for id_ in spec.changes for change in spec.changes[id_]]}
    return "policy", _keyed({id_: _update(update) for id_, update in spec.updates.items()})


def _release(spec: ReleaseSpec) -> dict[str, Any]:
    body: dict[str, Any] = {
        "ServiceSpecs": [str(id_) for id_ in spec.workloads] or [_ALL],
        "ImageSpec": str(spec.image or _ALL_LATEST),
        "Kind": "execute",
        "Excludes": [str(id_) for id_ in spec.excludes] or None,
        "Force": spec.force,
    }
    return body if spec.within.everything else {**body, "Namespaces": sorted(spec.within.namespaces)}


def _update(update: PolicyUpdate) -> dict[str, Any]:
    add = {**update.add, **({_TAG_ALL: update.tag_all} if update.tag_all else {})}
    return {"add": dict(sorted(add.items())), "remove": dict.fromkeys(sorted(update.remove), "true")}


def _automatic(id_: WorkloadId, change: ContainerChange) -> dict[str, Any]:
    container = {"Name": change.container, "Image": str(change.current)}
    return {"WorkloadID": str(id_), "Container": container, "ImageID": str(change.target)}


def _change(change: ContainerChange) -> dict[str, str]:
    return {"Container": change.container, "Current": str(change.current), "Target": str(change.target)}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    reason = {"Error": outcome.reason} if outcome.reason else {}
    return {"Status": outcome.status, **reason, "PerContainer": [_change(each) for each in outcome.changes] or None}


def _keyed(values: Mapping[WorkloadId, Any]) -> dict[str, Any]:
    return {str(id_): values[id_] for id_ in sorted(values, key=str)}


def _mapped(document: Mapping[str, Any] | None, read: Callable[[Any], Any]) -> dict[WorkloadId, Any]:
    return {WorkloadId.parse(id_): read(value) for id_, value in (document or {}).items()}


def _read_release(body: Mapping[str, Any]) -> ReleaseSpec:
    named = [id_ for id_ in body["ServiceSpecs"] or () if id_ != _ALL]
    image = body["ImageSpec"]
    namespaces = body.get("Namespaces")
    return ReleaseSpec(
        workloads=tuple(map(WorkloadId.parse, named)) if len(named) == len(body["ServiceSpecs"] or ()) else (),
        excludes=tuple(map(WorkloadId.parse, body.get("Excludes") or ())),
        image=None if image == _ALL_LATEST else _reference(image),
        force=bool(body.get("Force")),
        within=Visible() if namespaces is None else Visible(everything=False, namespaces=frozenset(namespaces)),
    )


def _read_containers(body: Mapping[str, Any]) -> ContainersSpec:
    changes: ContainerChanges = _mapped(body["ContainerSpecs"], _read_changes)
    return ContainersSpec(changes, bool(body.get("SkipMismatches")), bool(body.get("Force")))


def _read_automatic(body: Mapping[str, Any]) -> AutomaticSpec:
    changes: dict[WorkloadId, tuple[ContainerChange, ...]] = {}
    for each in body["Changes"] or ():
        id_, container = WorkloadId.parse(each["WorkloadID"]), each["Container"]
        change = ContainerChange(container["Name"], _reference(container["Image"]), _reference(each["ImageID"]))
        changes[id_] = (*changes.get(id_, ()), change)
    return AutomaticSpec(changes)


def _read_policies(body: Mapping[str, Any]) -> PoliciesSpec:
    return PoliciesSpec(_mapped(body, _read_update))


def _read_update(body: Mapping[str, Any]) -> PolicyUpdate:
    """Old agents wrote sets as lists."""
    add = body["add"] if isinstance(body["add"], dict) else dict.fromkeys(body["add"] or (), "true")
    kept = {name: str(value) for name, value in add.items() if name != _TAG_ALL}
    return PolicyUpdate(kept, frozenset(body["remove"] or ()), str(add.get(_TAG_ALL, "")))


def _read_outcome(body: Mapping[str, Any]) -> Outcome:
    return Outcome(
        _STATUSES.get(body["Status"], "unknown"), str(body.get("Error", "")), _read_changes(body.get("PerContainer"))
    )


def _read_changes(body: list[Mapping[str, str]] | None) -> tuple[ContainerChange, ...]:
    return tuple(
        ContainerChange(each["Container"], _reference(each["Current"]), _reference(each["Target"]))
        for each in body or ()
    )


def _reference(text: str) -> Reference:
    """An image; v1 wrote some that are none, which are kept as they are."""
    try:
        return Reference.parse(text)
    except UsageError:
        return Reference(text)


_READERS: Mapping[str, Callable[[Any], Spec]] = {
    "image": _read_release,
    "containers": _read_containers,
    "auto": _read_automatic,
    "policy": _read_policies,
}
