"""`list-workloads`: what runs in the cluster, its images, rollout and policies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from kubectl_flux.commands.flags import AllNamespacesFlag, FormatFlag, NamespaceFlag, NoHeadersFlag, own_namespace
from kubectl_flux.errors import TimedOutError
from kubectl_flux.output import check_format, colours_wanted, go_json, table, tell, yaml_text

if TYPE_CHECKING:
    from kubectl_flux.client import WorkloadList
    from kubectl_flux.options import Globals
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

HEADERS = ("WORKLOAD", "CONTAINER", "IMAGE", "RELEASE", "POLICY")
WIDE_HEADERS = (*HEADERS, "READY", "READ-ONLY", "SYNC-ERROR")
FOREVER = 10 * 365 * 86_400.0
"""Seconds for which a list is watched where nobody says for how long."""
COLOURS = {"error": "red", "unknown": "yellow", "started": "yellow", "updating": "yellow"}

HIDDEN = "Note: workloads of namespaces that you may not see are left out"

EXAMPLES = """
# The workloads of the current namespace
kubectl flux list-workloads

# Those of all namespaces
kubectl flux list-workloads --all-namespaces

# The same, and then every change
kubectl flux list-workloads --all-namespaces --watch

# Those with a container "web", for a script
kubectl flux list-workloads --namespace=demo --container=web -o json
"""

_ContainerFlag = Annotated[
    str, typer.Option("--container", "-c", metavar="string", help="Only workloads that have a container of this name")
]
_WatchFlag = Annotated[
    bool, typer.Option("--watch", "-w", help="After the list, print each workload that changes, until interrupted")
]


def register(app: typer.Typer) -> None:
    """Let the commands join the tree."""
    app.command("list-workloads", epilog=EXAMPLES, rich_help_panel="Viewing Commands", add_help_option=False)(
        list_workloads
    )
    app.command("list-controllers", hidden=True, add_help_option=False)(list_controllers)


def list_workloads(
    ctx: typer.Context,
    namespace: NamespaceFlag = "",
    all_namespaces: AllNamespacesFlag = False,
    container: _ContainerFlag = "",
    output_format: FormatFlag = "tab",
    no_headers: NoHeadersFlag = False,
    *,
    watch: _WatchFlag = False,
) -> None:
    """List workloads currently running in the cluster."""
    check_format(output_format)
    if watch:
        printed = _Printed(container, output_format, headers=not no_headers)
        _watch(ctx.obj, "" if all_namespaces else namespace or own_namespace(ctx.obj), printed)
        return
    listed = _fetch(ctx.obj, namespace, everywhere=all_namespaces)
    found = _with_container(listed.workloads, container)
    colours = COLOURS if colours_wanted(sys.stdout, os.environ) else None
    sys.stdout.write(render(found, output_format, headers=not no_headers, colours=colours))
    if listed.restricted:
        tell(HIDDEN)


def list_controllers(
    ctx: typer.Context,
    namespace: NamespaceFlag = "",
    all_namespaces: AllNamespacesFlag = False,
    container: _ContainerFlag = "",
    output_format: FormatFlag = "tab",
    no_headers: NoHeadersFlag = False,
) -> None:
    """List workloads under the command's old name."""
    tell('Command "list-controllers" is deprecated, use list-workloads instead')
    list_workloads(ctx, namespace, all_namespaces, container, output_format, no_headers)


def render(
    workloads: Sequence[pb.Workload], output_format: str, *, headers: bool, colours: dict[str, str] | None = None
) -> str:
    """The workloads in one of the formats; pure.

    Args:
        workloads: In the order to show.
        output_format: A known format.
        headers: Whether a table begins with its headers.
        colours: The colour of a RELEASE cell by its text; None for none.
    """
    match output_format:
        case "json":
            return go_json([as_v1(workload) for workload in workloads])
        case "yaml":
            return yaml_text([as_v1(workload) for workload in workloads])
        case "name":
            return "".join(f"{workload.id}\n" for workload in workloads)
    wide = output_format == "wide"
    rows = [headers_of(wide=wide)] if headers else []
    rows.extend(row for workload in workloads for row in rows_of(workload, wide=wide))
    return table(rows, (lambda cell: colours.get(cell, "")) if colours else None)


def as_v1(workload: pb.Workload) -> dict[str, Any]:
    """A workload with the keys of Flux v1's API, in their order."""
    rollout = workload.rollout
    return {
        "ID": workload.id,
        "Containers": [
            {
                "Name": container.name,
                "Current": {"ID": container.image, "Labels": {}},
                "LatestFiltered": {"ID": "", "Labels": {}},
            }
            for container in workload.containers
        ],
        "ReadOnly": workload.read_only,
        "Status": workload.status,
        "Rollout": {
            "Desired": rollout.desired,
            "Updated": rollout.updated,
            "Ready": rollout.ready,
            "Available": rollout.available,
            "Outdated": rollout.outdated,
            "Messages": list(rollout.messages) or None,
        },
        "SyncError": workload.sync_error,
        "Antecedent": workload.antecedent,
        "Labels": dict(sorted(workload.labels.items())),
        "Automated": workload.automated,
        "Locked": workload.locked,
        "Ignore": workload.ignore,
        "Policies": dict(sorted(workload.policies.items())),
    }


def _with_container(workloads: Iterable[pb.Workload], name: str) -> list[pb.Workload]:
    """Those that have a container of this name; all where none was named."""
    return [item for item in workloads if not name or any(container.name == name for container in item.containers)]


class _Printed(NamedTuple):
    """What of a watched list is printed, and how."""

    container: str
    output_format: str
    headers: bool


def _watch(settings: Globals, namespace: str, printed: _Printed) -> None:
    """Print the list, then what changes, until somebody interrupts or the --timeout that was given is over.

    An agent that goes away is waited for: its next run is asked for the whole list, and what differs is printed.
    """
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage
    from kubectl_flux.wait import answers  # noqa: PLC0415 - as above

    with connect(settings, timeout=settings.timeout if settings.timeout_given else FOREVER) as client:
        from kubectl_flux.watching import Printer  # noqa: PLC0415 - loads protobuf, while kubectl starts

        def ask(after_version: int, wait: float) -> WorkloadList:
            return client.workload_list(namespace, after_version, wait)

        printer = Printer(printed.output_format, headers=printed.headers)
        try:
            for number, found in enumerate(answers(ask, client.deadline)):
                printer.print(_with_container(found.workloads, printed.container))
                if found.restricted and not number:
                    tell(HIDDEN)
        except TimedOutError:
            return


def _fetch(settings: Globals, namespace: str, *, everywhere: bool) -> WorkloadList:
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    with connect(settings) as client:
        return client.workload_list("" if everywhere else namespace or own_namespace(settings), 0, 0.0)


def headers_of(*, wide: bool) -> list[str]:
    """The headers of a table."""
    return list(WIDE_HEADERS if wide else HEADERS)


def rows_of(workload: pb.Workload, *, wide: bool) -> Iterable[list[str]]:
    """A workload's rows: the first with its state, one more for each further container."""
    containers = [(container.name, container.image) for container in workload.containers] or [("", "")]
    first, *others = containers
    row = [workload.id, *first, workload.status, _policies(workload)]
    rollout = workload.rollout
    more = [f"{rollout.ready}/{rollout.desired}", workload.read_only, " ".join(workload.sync_error.split())]
    yield [*row, *more] if wide else row
    for other in others:
        yield ["", *other, "", "", *(["", "", ""] if wide else [])]


def _policies(workload: pb.Workload) -> str:
    flags = {"automated": workload.automated, "ignore": workload.ignore, "locked": workload.locked}
    return ",".join(name for name, on in flags.items() if on)
