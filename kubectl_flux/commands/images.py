"""`list-images`: the images that workloads run, and those they could run.

Everything is declared and checked here; `show` is where the agent is going to be asked.
"""

from __future__ import annotations

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
from kubectl_flux.errors import PluginError
from kubectl_flux.output import check_format

if TYPE_CHECKING:
    from kubectl_flux.options import Globals

USUAL_LIMIT = 10

EXAMPLES = """
# The images of one workload
kubectl flux list-images --namespace default --workload=deployment/foo

# All that the registry has of them
kubectl flux list-images --workload=default:deployment/foo --limit=0
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


def show(_settings: Globals, _wanted: ImagesWanted) -> None:
    """Ask the agent for the images, and write them to stdout.

    Raises:
        PluginError: Always: the agent of this version scans no registries.
    """
    raise PluginError(
        "this version of kubectl flux does not list the images of registries yet",
        hint="kubectl flux list-workloads shows the images in use.",
    )


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
    """Show deployed and available images."""
    check_format(output_format)
    chosen = of_old_name(workload, controller, clash="image")
    one = workload_ids(ctx.obj, namespace, [chosen])[0] if chosen else ""
    within = "" if one or all_namespaces else namespace or own_namespace(ctx.obj)
    show(ctx.obj, ImagesWanted(one, within, limit, output_format, headers=not no_headers))
