"""The methods that change git: Release and UpdatePolicies. Each becomes a job; what is asked is checked before.

A change that touches a namespace where the caller lacks the right is refused as a whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from agent.api.audit import log_change
from agent.api.call import Call
from agent.api.jobs import Jobs
from agent.model.access import CHANGE_POLICIES, RELEASE_WORKLOADS, Right, Visible
from agent.model.errors import NotReadyError, UsageError
from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.status import Status
from agent.model.updates import (
    NO_IMAGE,
    Cause,
    ContainerChange,
    ContainersSpec,
    PoliciesSpec,
    PolicyUpdate,
    ReleaseSpec,
)
from agent.releases.contract import Asked
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

MAX_WORKLOADS = 10_000
MAX_TEXT = 10_000
"""Characters of a message or a user's name."""


class Reads(Protocol):
    """What is known of git."""

    def status(self) -> Status:
        """How the cluster stands to git."""


class Changes:
    """Answers Release and UpdatePolicies.

    Args:
        reads: What is known of git.
        jobs: Takes what is asked for.
    """

    def __init__(self, reads: Reads, jobs: Jobs) -> None:
        self._reads = reads
        self._jobs = jobs

    def release(self, request: pb.ReleaseRequest, call: Call) -> pb.ReleaseResponse:
        """A job that changes images in git; what it would do is told only to those who may do it."""
        spec = _release_spec(request)
        if isinstance(spec, ContainersSpec):
            self._admit(call, RELEASE_WORKLOADS, spec.changes)
        elif spec.workloads:
            self._admit(call, RELEASE_WORKLOADS, spec.workloads)
        else:
            spec = replace(spec, within=self._admit_all(call, RELEASE_WORKLOADS, request.namespace))
        self._require_repository()
        return pb.ReleaseResponse(job_id=self._submit("Release", call, spec, request.cause, dry_run=request.dry_run))

    def update_policies(self, request: pb.UpdatePoliciesRequest, call: Call) -> pb.UpdatePoliciesResponse:
        """A job that changes policies in git."""
        updates, accept = _policies_of(request)
        self._admit(call, CHANGE_POLICIES, updates)
        self._require_repository()
        return pb.UpdatePoliciesResponse(
            job_id=self._submit("UpdatePolicies", call, PoliciesSpec(updates), request.cause, accept=accept)
        )

    @staticmethod
    def _admit(call: Call, right: Right, named: Iterable[WorkloadId]) -> None:
        """Insist on the right in the namespace of every workload that is named.

        Raises:
            ForbiddenError: It is missing in some, which the error names.
        """
        call.check()
        call.access.require(right, {id_.namespace for id_ in named})

    def _admit_all(self, call: Call, right: Right, namespace: str) -> Visible:
        """Insist on the right in that namespace, or in every one that has a workload in git; where the job may act.

        What is pushed to git meanwhile may be in other namespaces: those are left out, unless the right holds in all.

        Raises:
            ForbiddenError: It is missing in some, which the error names.
        """
        call.check()
        if namespace:
            call.access.require(right, [namespace])
            return _only(namespace)
        namespaces = frozenset(id_.namespace for id_ in self._reads.status().policies)
        if not namespaces:
            call.access.require(right, [""])
            return Visible()
        visible = call.access.visible(right, namespaces)  # who has it nowhere learns no namespace's name
        call.access.require(right, namespaces)
        if visible.everything:
            return Visible()
        return Visible(everything=False, namespaces=namespaces)

    def _require_repository(self) -> None:
        """Insist on a repository that can be written.

        Raises:
            NotReadyError: It cannot be, and why.
        """
        repository = self._reads.status().repository
        if not repository.url:
            raise NotReadyError("no git repository is configured", hint="start flux-agent with --git-url")
        if repository.read_only:
            raise NotReadyError("the agent may not write to git: --git-readonly", hint="change git yourself")
        if not repository.ready:
            raise NotReadyError(f"the git repository cannot be used yet: {repository.error or 'it is being fetched'}")

    def _submit(
        self,
        method: str,
        call: Call,
        spec: ReleaseSpec | ContainersSpec | PoliciesSpec,
        cause: pb.Cause,
        *,
        dry_run: bool = False,
        accept: frozenset[WorkloadId] = frozenset(),
    ) -> str:
        caller = call.access.caller
        asked = Asked(
            str(uuid.uuid4()),
            spec,
            Cause(_line(cause.user), _text(cause.message)),
            caller.name,
            caller.credential_id,
            dry_run,
            accept,
        )
        self._jobs.submit_change(asked)
        log_change(method, call, asked.job_id, user=asked.cause.user, dry_run=dry_run)
        return asked.job_id


def _release_spec(request: pb.ReleaseRequest) -> ReleaseSpec | ContainersSpec:
    _bounded(len(request.workloads) + len(request.excludes) + len(request.chosen), "say all, or fewer")
    if request.chosen:
        changes: dict[WorkloadId, tuple[ContainerChange, ...]] = {}
        for each in request.chosen:
            id_ = WorkloadId.parse(each.workload)
            changes[id_] = (*changes.get(id_, ()), _change(each.change))
        return ContainersSpec(changes, force=request.force)
    if request.all == bool(request.workloads):
        raise UsageError("please supply either --all, or at least one --workload=<workload>")
    return ReleaseSpec(
        tuple(map(WorkloadId.parse, request.workloads)),
        tuple(map(WorkloadId.parse, request.excludes)),
        Reference.parse(request.image) if request.image else None,
        request.force,
        _only(request.namespace) if request.namespace else Visible(),
    )


def _policies_of(request: pb.UpdatePoliciesRequest) -> tuple[dict[WorkloadId, PolicyUpdate], frozenset[WorkloadId]]:
    """The updates, and the workloads whose marks are lifted."""
    _bounded(len(request.changes), "name fewer")
    updates: dict[WorkloadId, PolicyUpdate] = {}
    for change in request.changes:
        id_ = WorkloadId.parse(change.workload)
        if id_ in updates:
            raise UsageError(f"{id_} is named twice", hint="ask for all of its changes at once")
        updates[id_] = _update(change)
    if not updates:
        raise UsageError("no workload was named", hint="name those whose policies are to change")
    accept = frozenset(WorkloadId.parse(change.workload) for change in request.changes if change.accept)
    return updates, accept


def _update(change: pb.PolicyChange) -> PolicyUpdate:
    """In the order of names: a message's map has none, and what is added to a file should."""
    return PolicyUpdate(
        {name: _text(value) for name, value in sorted(change.set.items())},
        frozenset(change.remove),
        _text(change.tag_all),
    )


def _change(value: pb.ContainerChange) -> ContainerChange:
    current = Reference.parse(value.current) if value.current else NO_IMAGE
    return ContainerChange(value.container, current, Reference.parse(value.target))


def _only(namespace: str) -> Visible:
    return Visible(everything=False, namespaces=frozenset({namespace}))


def _bounded(number: int, hint: str) -> None:
    """Refuse what no person asks for.

    Raises:
        UsageError: More than `MAX_WORKLOADS` were named.
    """
    if number > MAX_WORKLOADS:
        raise UsageError(f"more than {MAX_WORKLOADS} workloads were named", hint=hint)


def _text(value: str) -> str:
    """A text without spaces around it.

    Raises:
        UsageError: It is longer than `MAX_TEXT`.
    """
    if len(value) > MAX_TEXT:
        raise UsageError(f"a message or name is longer than {MAX_TEXT} characters")
    return value.strip()


def _line(value: str) -> str:
    """A text of one line, as a user's name is in annotations, commits and logs."""
    return " ".join(_text(value).split())
