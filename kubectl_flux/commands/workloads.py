"""`list-workloads`: what runs in the cluster, its images, rollout and policies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubectl_flux.output import check_format, colours_wanted, go_json, table, tell, yaml_text

if TYPE_CHECKING:
    from kubectl_flux.options import Globals
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

HEADERS = ("WORKLOAD", "CONTAINER", "IMAGE", "RELEASE", "POLICY")
WIDE_HEADERS = (*HEADERS, "READY", "READ-ONLY", "SYNC-ERROR")
COLOURS = {"error": "red", "unknown": "yellow", "started": "yellow", "updating": "yellow"}

EXAMPLES = """
# The workloads of the current namespace
kubectl flux list-workloads

# Those of all namespaces
kubectl flux list-workloads --all-namespaces

# Those with a container "web", for a script
kubectl flux list-workloads --namespace=demo --container=web -o json
"""

_NamespaceFlag = Annotated[
    str, typer.Option("--namespace", "-n", metavar="string", help="Namespace to query, else the context's")
]
_AllFlag = Annotated[bool, typer.Option("--all-namespaces", "-a", "-A", help="Query across all namespaces")]
_ContainerFlag = Annotated[
    str, typer.Option("--container", "-c", metavar="string", help="Only workloads that have a container of this name")
]
_FormatFlag = Annotated[
    str,
    typer.Option(
        "--output-format",
        "--output",
        "-o",
        metavar="string",
        show_default='"tab"',
        help="Output format: tab (or table), wide, json, yaml or name",
    ),
]
_NoHeadersFlag = Annotated[bool, typer.Option("--no-headers", help="Don't print headers")]


def register(app: typer.Typer) -> None:
    """Let the commands join the tree."""
    app.command("list-workloads", epilog=EXAMPLES, rich_help_panel="Viewing Commands", add_help_option=False)(
        list_workloads
    )
    app.command("list-controllers", hidden=True, add_help_option=False)(list_controllers)


def list_workloads(
    ctx: typer.Context,
    namespace: _NamespaceFlag = "",
    all_namespaces: _AllFlag = False,
    container: _ContainerFlag = "",
    output_format: _FormatFlag = "tab",
    no_headers: _NoHeadersFlag = False,
) -> None:
    """List workloads currently running in the cluster."""
    check_format(output_format)
    found = _fetch(ctx.obj, namespace, everywhere=all_namespaces)
    if container:
        found = [workload for workload in found if any(c.name == container for c in workload.containers)]
    colours = COLOURS if colours_wanted(sys.stdout, os.environ) else None
    sys.stdout.write(render(found, output_format, headers=not no_headers, colours=colours))


def list_controllers(
    ctx: typer.Context,
    namespace: _NamespaceFlag = "",
    all_namespaces: _AllFlag = False,
    container: _ContainerFlag = "",
    output_format: _FormatFlag = "tab",
    no_headers: _NoHeadersFlag = False,
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
    rows = [list(WIDE_HEADERS if wide else HEADERS)] if headers else []
    rows.extend(row for workload in workloads for row in _rows(workload, wide=wide))
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


def _fetch(settings: Globals, namespace: str, *, everywhere: bool) -> list[pb.Workload]:
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    with connect(settings) as client:
        return list(client.workloads("" if everywhere else namespace or _own_namespace(settings)))


def _own_namespace(settings: Globals) -> str:
    from kubectl_flux.kubeconfig import context_namespace  # noqa: PLC0415 - only where none was given

    return context_namespace(settings.cluster)


def _rows(workload: pb.Workload, *, wide: bool) -> Iterable[list[str]]:
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
