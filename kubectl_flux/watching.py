"""What has changed between two lists of workloads, as `list-workloads --watch` prints it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from kubectl_flux.commands.workloads import COLOURS, as_v1, headers_of, rows_of
from kubectl_flux.output import colours_wanted, go_json, table, widths_of, yaml_text
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

DELETED = "deleted"
"""What RELEASE says of a workload that is gone."""


class Printer:
    """Prints a list, and then of every further list what differs from the one before.

    Args:
        output_format: A known format; JSON is one line for each workload, YAML one document.
        headers: Whether a table begins with its headers.
    """

    def __init__(self, output_format: str, *, headers: bool) -> None:
        self._format = output_format
        self._headers = headers
        self._widths: Sequence[int] = ()
        self._before: dict[str, pb.Workload] | None = None

    def print(self, workloads: Sequence[pb.Workload]) -> None:
        """Print what is new."""
        first, before = self._before is None, self._before or {}
        self._before = {workload.id: workload for workload in workloads}
        found = changed(before, workloads, self._shown)
        text = self._table(found, headers=first and self._headers) if self._is_table else self._documents(found)
        sys.stdout.write(text)
        sys.stdout.flush()

    @property
    def _is_table(self) -> bool:
        return self._format not in ("json", "yaml", "name")

    def _shown(self, workload: pb.Workload) -> object:
        """What of a workload is shown: where that is the same, nothing has changed."""
        return list(rows_of(workload, wide=self._format == "wide")) if self._is_table else workload

    def _table(self, workloads: Sequence[pb.Workload], *, headers: bool) -> str:
        wide = self._format == "wide"
        rows = [headers_of(wide=wide)] if headers else []
        rows.extend(row for workload in workloads for row in rows_of(workload, wide=wide))
        self._widths = widths_of(rows, self._widths)
        colours = COLOURS if colours_wanted(sys.stdout, os.environ) else {}
        return table(rows, lambda cell: colours.get(cell, ""), self._widths)

    def _documents(self, workloads: Sequence[pb.Workload]) -> str:
        match self._format:
            case "json":
                return "".join(go_json(as_v1(workload)) for workload in workloads)
            case "yaml":
                return "".join(f"---\n{yaml_text(as_v1(workload))}" for workload in workloads)
        return "".join(f"{workload.id}\n" for workload in workloads)


def changed(
    before: dict[str, pb.Workload], after: Sequence[pb.Workload], shown: Callable[[pb.Workload], object]
) -> list[pb.Workload]:
    """The workloads that are new or show something else, in their order, then those that are gone; pure."""
    here = {workload.id for workload in after}
    found = [item for item in after if item.id not in before or shown(before[item.id]) != shown(item)]
    return found + [_gone(item) for id_, item in before.items() if id_ not in here]


def _gone(workload: pb.Workload) -> pb.Workload:
    gone = pb.Workload()
    gone.CopyFrom(workload)
    gone.status = DELETED
    gone.ClearField("rollout")
    return gone
