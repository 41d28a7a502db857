"""The joins behind the reads: what the cluster runs beside what git says of it. Pure.

The join is Flux v1's: policies come from git, not from the object in the cluster; what git holds is writable; a
workload that only git knows is not listed.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from agent.model.errors import UsageError
from agent.model.policies import ignores_sync, is_on
from agent.model.status import RepositoryStatus, Status
from agent.model.workloads import Workload, WorkloadSnapshot

MAX_PAGE = 1_000
"""Workloads on one page: the default and the most."""

_NO_POLICIES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Row:
    """One workload of a list. `read_only` says why it cannot be changed through git; empty where it can."""

    workload: Workload
    policies: Mapping[str, str] = field(default_factory=dict, hash=False)
    read_only: str = ""
    sync_error: str = ""

    @property
    def automated(self) -> bool:
        """Whether new images are released to it by themselves."""
        return is_on(self.policies, "automated")

    @property
    def locked(self) -> bool:
        """Whether releases to it are refused."""
        return is_on(self.policies, "locked")

    @property
    def ignore(self) -> bool:
        """Whether the sync leaves it alone."""
        return ignores_sync(self.policies)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `next_token` is empty on the last."""

    rows: tuple[Row, ...]
    next_token: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for; an empty namespace means all, a size of 0 as many as there may be."""

    namespace: str = ""
    size: int = 0
    token: str = ""


def list_workloads(snapshot: WorkloadSnapshot, status: Status, window: Window) -> Page:
    """One page of the workloads, ordered by id.

    Raises:
        UsageError: The size is negative, or the token is none of ours.
    """
    if window.size < 0:
        raise UsageError(f"page_size is {window.size}", hint=f"say 1 to {MAX_PAGE}, or 0 for {MAX_PAGE}")
    wanted = [item for item in snapshot.workloads if window.namespace in ("", item.id.namespace)]
    ordered = sorted((str(item.id), place) for place, item in enumerate(wanted))
    ids = [id_ for id_, _ in ordered]
    start = bisect_right(ids, _last_of(window.token)) if window.token else 0
    end = start + min(window.size or MAX_PAGE, MAX_PAGE)
    errors = _sync_errors(status)
    rows = tuple(row_of(wanted[place], status, errors.get(id_, "")) for id_, place in ordered[start:end])
    return Page(rows, _token_after(ids[end - 1]) if end < len(ids) else "")


def row_of(workload: Workload, status: Status, sync_error: str = "") -> Row:
    """A workload with what git says of it."""
    policies = status.policies.get(workload.id)
    if policies is not None:
        return Row(workload, policies, sync_error=sync_error)
    return Row(workload, _NO_POLICIES, "System" if workload.system else _why_absent(status.repository), sync_error)


def _why_absent(repository: RepositoryStatus) -> str:
    """Why a workload is not among those of git, in v1's words."""
    if not repository.url:
        return "NoRepo"
    if not repository.ready:
        return "NotReady"
    return "ReadOnlyMode" if repository.read_only else "NotInRepo"


def _sync_errors(status: Status) -> Mapping[str, str]:
    """What went wrong with each object in the last sync, by its id; the first of several."""
    failures = status.last_sync.failures if status.last_sync else ()
    return {failure.object_id: failure.reason for failure in reversed(failures) if failure.object_id}


def _token_after(id_: str) -> str:
    return base64.urlsafe_b64encode(id_.encode()).decode().rstrip("=")


def _last_of(token: str) -> str:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise UsageError(
            f"page_token {token[:64]!r} is none of this agent's",
            hint="send next_page_token of the page before, or none for the first page",
        ) from error
