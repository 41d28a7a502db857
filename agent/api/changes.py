"""The methods that change git: Release and UpdatePolicies. Each becomes a job; what is asked is checked before.

A change that touches a namespace where the caller lacks the right is refused as a whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Protocol

from agent import telemetry
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

_log = telemetry.logger("api")


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
        """A job that changes images in git."""
        spec = _release_spec(request)
        named = list(spec.changes) if isinstance(spec, ContainersSpec) else list(spec.workloads)
        self._admit(call, RELEASE_WORKLOADS, named, Visible() if not request.namespace else _only(request.namespace))
        return pb.ReleaseResponse(job_id=self._submit("Release", call, spec, request.cause, dry_run=request.dry_run))

    def update_policies(self, request: pb.UpdatePoliciesRequest, call: Call) -> pb.UpdatePoliciesResponse:
        """A job that changes policies in git."""
        updates = {_workload(change.workload): _update(change) for change in request.changes}
        if not updates:
            raise UsageError("no workload was named", hint="name those whose policies are to change")
        accept = frozenset(_workload(change.workload) for change in request.changes if change.accept)
        self._admit(call, CHANGE_POLICIES, updates, Visible())
        return pb.UpdatePoliciesResponse(
            job_id=self._submit("UpdatePolicies", call, PoliciesSpec(updates), request.cause, accept=accept)
        )

    def _admit(self, call: Call, right: Right, named: Iterable[WorkloadId], within: Visible) -> None:
        """Insist on the right in every namespace that may be touched, and on a repository that can be written."""
        call.check()
        status = self._reads.status()
        namespaces = {id_.namespace for id_ in named}
        if not namespaces:
            namespaces = {id_.namespace for id_ in status.policies if within.shows(id_.namespace)}
            namespaces |= within.namespaces
        call.access.require(right, sorted(namespaces) or [""])
        repository = status.repository
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
            Cause(_text(cause.user), _text(cause.message)),
            caller.name,
            caller.credential_id,
            dry_run,
            accept,
        )
        self._jobs.submit_change(asked)
        _log.info(
            "a change was asked for",
            method=method,
            caller=caller.name or "anybody (--auth=none)",
            credential_id=caller.credential_id,
            user=asked.cause.user,
            dry_run=dry_run,
            job=asked.job_id,
        )
        return asked.job_id


def _release_spec(request: pb.ReleaseRequest) -> ReleaseSpec | ContainersSpec:
    if len(request.workloads) > MAX_WORKLOADS or len(request.chosen) > MAX_WORKLOADS:
        raise UsageError(f"more than {MAX_WORKLOADS} workloads were named", hint="say all, or fewer")
    if request.chosen:
        changes: dict[WorkloadId, tuple[ContainerChange, ...]] = {}
        for each in request.chosen:
            id_ = _workload(each.workload)
            changes[id_] = (*changes.get(id_, ()), _change(each.change))
        return ContainersSpec(changes, force=request.force)
    if request.all == bool(request.workloads):
        raise UsageError("please supply either --all, or at least one --workload=<workload>")
    return ReleaseSpec(
        tuple(map(_workload, request.workloads)),
        tuple(map(_workload, request.excludes)),
        Reference.parse(request.image) if request.image else None,
        request.force,
        _only(request.namespace) if request.namespace else Visible(),
    )


def _update(change: pb.PolicyChange) -> PolicyUpdate:
    return PolicyUpdate(
        {name: _text(value) for name, value in change.set.items()}, frozenset(change.remove), change.tag_all
    )


def _change(value: pb.ContainerChange) -> ContainerChange:
    current = Reference.parse(value.current) if value.current else NO_IMAGE
    return ContainerChange(value.container, current, Reference.parse(value.target))


def _workload(text: str) -> WorkloadId:
    return WorkloadId.parse(text)


def _only(namespace: str) -> Visible:
    return Visible(everything=False, namespaces=frozenset({namespace}))


def _text(value: str) -> str:
    """A text of reasonable length, without what would break out of its line in a log.

    Raises:
        UsageError: It is longer.
    """
    if len(value) > MAX_TEXT:
        raise UsageError(f"a message or name is longer than {MAX_TEXT} characters")
    return value.strip()
