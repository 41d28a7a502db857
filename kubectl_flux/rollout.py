"""The table of the workloads that a release rolls out: Flux v1's columns, a row for each change.

Whether they are rolled out is the commit's progress, which tells old lists from new ones; the rows are the agent's
lists.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from kubectl_flux.errors import BusyError, UnreachableError
from kubectl_flux.output import table, widths_of
from kubectl_flux.watching import changed

if TYPE_CHECKING:
    from kubectl_flux.client import WorkloadList
    from kubectl_flux.progress import Entry
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

HEADERS = ("WORKLOAD", "CONTAINER", "IMAGE", "RELEASE", "REPLICAS")


class Lists(Protocol):
    """Who can be asked for workloads."""

    def workload_list(self, namespace: str, after_version: int, wait: float) -> WorkloadList:
        """All workloads of a namespace, empty for all."""


class RolloutTable:
    """Prints the workloads, and then each that changes.

    Args:
        lists: Is asked for them.
        workloads: Their ids.
        verbose: Whether outdated and ready pods are counted besides.
        stream: Where to print; stdout by default.
    """

    def __init__(
        self, lists: Lists, workloads: Collection[str], *, verbose: bool = False, stream: TextIO | None = None
    ) -> None:
        self._lists = lists
        self._workloads = frozenset(workloads)
        self._verbose = verbose
        self._stream = stream or sys.stdout
        self._before: dict[str, pb.Workload] | None = None
        self._widths: Sequence[int] = ()

    def show(self, _story: Iterable[Entry]) -> None:
        """Print what has changed since it was last looked at."""
        try:
            found = self._listed()
        except (UnreachableError, BusyError):
            return  # a list that cannot be had now is had at the next change
        first, before = self._before is None, self._before or {}
        self._before = {workload.id: workload for workload in found}
        rows = [list(HEADERS)] if first else []
        rows += [row for workload in changed(before, found, self._rows) for row in self._rows(workload)]
        self._widths = widths_of(rows, self._widths)
        self._stream.write(table(rows, None, self._widths))
        self._stream.flush()

    def clear(self) -> None:
        """Nothing: what is printed stays."""

    def _listed(self) -> list[pb.Workload]:
        namespaces = {id_.partition(":")[0] for id_ in self._workloads}
        listed = self._lists.workload_list(namespaces.pop() if len(namespaces) == 1 else "", 0, 0.0).workloads
        return [workload for workload in listed if workload.id in self._workloads]

    def _rows(self, workload: pb.Workload) -> list[list[str]]:
        return list(rows_of(workload, verbose=self._verbose))


def rows_of(workload: pb.Workload, *, verbose: bool) -> Iterator[list[str]]:
    """A workload's rows: the first with its state, one more for each further container; pure."""
    rollout = workload.rollout
    replicas = f"{rollout.updated}/{rollout.desired}"
    if verbose:
        replicas += f" ({rollout.outdated} outdated, {rollout.ready} ready)"
    containers = [(container.name, container.image) for container in workload.containers] or [("", "")]
    first, *others = containers
    yield [workload.id, *first, workload.status, replicas]
    for other in others:
        yield ["", *other, "", ""]
