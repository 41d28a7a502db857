"""`why`: which image a workload's containers get, and why that one."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.commands.flags import WorkloadNamespaceFlag, workload_ids
from kubectl_flux.errors import UsageError
from kubectl_flux.output import colours_wanted, columns_of, go_json, yaml_text

if TYPE_CHECKING:
    from kubectl_flux.options import Globals
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

EXAMPLES = """
# Why does this workload run what it runs?
kubectl flux why deployment/foo -n default

# Why is it not at 1.5.0?
kubectl flux why default:deployment/foo --image=1.5.0

# One container, for a script
kubectl flux why default:deployment/foo --container=web -o json
"""

_ContainerFlag = Annotated[str, typer.Option("--container", "-c", metavar="string", help="Only this container")]
_ImageFlag = Annotated[
    str,
    typer.Option(
        "--image", "-i", metavar="string", help="Say of this image, too, why it is or is not picked: a reference or tag"
    ),
]
_FormatFlag = Annotated[str, typer.Option("--output", "-o", metavar="string", help="Output format: json or yaml")]


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("why", epilog=EXAMPLES, rich_help_panel="Viewing Commands", add_help_option=False)(why)


def why(
    ctx: typer.Context,
    workload: Annotated[
        list[str] | None, typer.Argument(metavar="WORKLOAD", help="The workload, as [namespace:]kind/name.")
    ] = None,
    *,
    namespace: WorkloadNamespaceFlag = "",
    container: _ContainerFlag = "",
    image: _ImageFlag = "",
    output: _FormatFlag = "",
) -> None:
    """Tell which image a workload's containers get, and why.

    For each container: what its filter picks, whether that is released to it, which tags are kept out by which rule,
    and what is known of its repository. What is not known yet is found out first, until --timeout. Nothing is changed.
    """
    if output not in ("", "json", "yaml"):
        raise UsageError("invalid output format specified", hint="It is json or yaml, or nothing for people.")
    _check_image(image)
    if not workload or len(workload) > 1:
        raise UsageError("please name one workload", hint="Such as: kubectl flux why deployment/NAME -n NAMESPACE")
    id_ = workload_ids(ctx.obj, namespace, workload)[0]
    told = _explained(ctx.obj, id_, container, image)
    from kubectl_flux.explanation import as_data  # noqa: PLC0415 - loaded with protobuf

    match output:
        case "json":
            sys.stdout.write(go_json(as_data(told, image)))
        case "yaml":
            sys.stdout.write(yaml_text(as_data(told, image)))
        case _:
            from kubectl_flux.why_page import page  # noqa: PLC0415 - for people only

            colours = colours_wanted(sys.stdout, os.environ)
            sys.stdout.write(page(told, image, time.time(), columns_of(sys.stdout), colours=colours))


def _check_image(image: str) -> None:
    """Refuse a reference that names no tag: only a tag can be judged.

    Raises:
        UsageError: It has none.
    """
    if ("/" in image or "@" in image) and ":" not in image.partition("@")[0].rpartition("/")[2]:
        raise UsageError(f"{image} names no tag", hint="Give a tag, alone or behind the image's name: --image=1.5.0")


def _explained(settings: Globals, workload: str, container: str, image: str) -> pb.ExplainResponse:
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage
    from kubectl_flux.wait import settled  # noqa: PLC0415 - as above

    with connect(settings) as client:
        return settled(lambda wait: client.explain(workload, container, image, wait), client.deadline)
