"""`list-images`: the images that workloads run, and those they could run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.commands.flags import (
    AllNamespacesFlag,
    ControllerFlag,
    FormatFlag,
    NamespaceFlag,
    NoHeadersFlag,
    of_old_name,
    own_namespace,
    workload_ids,
)
from kubectl_flux.output import check_format, tell

if TYPE_CHECKING:
    from kubectl_flux.client import FluxClient
    from kubectl_flux.options import Globals
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

USUAL_LIMIT = 10
PATIENCE = 10.0
"""Seconds that a list of a namespace waits for what registries are asked about it."""

EXAMPLES = """
# The images of one workload
kubectl flux list-images --namespace default --workload=deployment/foo

# All that the registry has of them
kubectl flux list-images --workload=default:deployment/foo --limit=0

# With digests, and what is wrong with single images
kubectl flux list-images --workload=default:deployment/foo -o wide
"""


@dataclass(frozen=True, slots=True)
class ImagesWanted:
    """What to list, and how.

    Attributes:
        workload: The one workload's id, with namespace; empty for those of `namespace`.
        namespace: Empty for all.
        limit: The most images to show of each container; 0 for all.
        output_format: A known format.
        headers: Whether a table begins with its headers.
    """

    workload: str = ""
    namespace: str = ""
    limit: int = USUAL_LIMIT
    output_format: str = "tab"
    headers: bool = True


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("list-images", epilog=EXAMPLES, rich_help_panel="Viewing Commands", add_help_option=False)(list_images)


def show(settings: Globals, wanted: ImagesWanted) -> None:
    """Ask the agent for the images, and write them to stdout."""
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    with connect(settings) as client:
        from kubectl_flux.image_list import render  # noqa: PLC0415 - loads protobuf, while kubectl starts

        pages = _pages(client, wanted)
    found = [workload for page in pages for workload in page.workloads]
    sys.stdout.write(render(found, wanted.output_format, headers=wanted.headers))
    if any(page.restricted for page in pages):
        tell("Note: images of namespaces that you may not see are left out")


def _pages(client: FluxClient, wanted: ImagesWanted) -> list[pb.ListImagesResponse]:
    """The agent's answer: at once for all namespaces, after a while for one, when all is known for one workload."""
    from kubectl_flux.wait import settled  # noqa: PLC0415 - needed where the agent is asked

    def ask(wait: float) -> list[pb.ListImagesResponse]:
        return list(client.images(wanted.namespace, wanted.workload, max(wanted.limit, 0), wait))

    if not wanted.workload and not wanted.namespace:
        return ask(0.0)
    return settled(ask, client.deadline, within=None if wanted.workload else PATIENCE)


def list_images(
    ctx: typer.Context,
    *,
    namespace: NamespaceFlag = "",
    all_namespaces: AllNamespacesFlag = False,
    workload: Annotated[
        str, typer.Option("--workload", "-w", metavar="string", help="Show images for this workload")
    ] = "",
    controller: ControllerFlag = "",
    limit: Annotated[
        int,
        typer.Option(
            "--limit", "-l", metavar="int", show_default=str(USUAL_LIMIT), help="Number of images to show (0 for all)"
        ),
    ] = USUAL_LIMIT,
    output_format: FormatFlag = "tab",
    no_headers: NoHeadersFlag = False,
) -> None:
    """Show deployed and available images.

    The images of a container's repository stand in the order of its filter, the newest first, and '-> marks the one
    that runs. Asked for one workload, the agent finds out what it does not know yet, and the list waits for that until
    --timeout; a list of a namespace waits for 10 seconds, one of all namespaces not at all.
    """
    check_format(output_format)
    chosen = of_old_name(workload, controller, clash="image")
    one = workload_ids(ctx.obj, namespace, [chosen])[0] if chosen else ""
    within = "" if one or all_namespaces else namespace or own_namespace(ctx.obj)
    show(ctx.obj, ImagesWanted(one, within, limit, output_format, headers=not no_headers))
