"""`status`: is everything as git says, and if not, why?"""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated

import typer

from kubectl_flux import __version__
from kubectl_flux.errors import PluginError, UsageError
from kubectl_flux.output import colours_wanted, columns_of, go_json, yaml_text

EXAMPLES = """
# Is everything as git says?
kubectl flux status

# The same for a script: the exit code tells, 0 or 1
kubectl flux status -o json
"""

_FormatFlag = Annotated[str, typer.Option("--output", "-o", metavar="string", help="Output format: json or yaml")]


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("status", epilog=EXAMPLES, rich_help_panel="Viewing Commands", add_help_option=False)(status)


def status(ctx: typer.Context, output: _FormatFlag = "") -> None:
    """Tell whether the cluster is as git says, and if not, why.

    Exits with 0 where all is well and 1 where something should be looked at. Nothing is changed or fetched.
    """
    if output not in ("", "json", "yaml"):
        raise UsageError("invalid output format specified", hint="It is json or yaml, or nothing for people.")
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    with connect(ctx.obj) as client:
        from kubectl_flux.health import Findings, as_data, problems  # noqa: PLC0415 - loads protobuf
        from kubectl_flux.page import page  # noqa: PLC0415 - as above
        from kubectl_flux.skew import skew  # noqa: PLC0415 - as above

        told = client.status()
        applied = client.revision(told.revision_applied)
        agent = client.version().version
    found = Findings(told, applied, __version__, agent, skew(__version__, agent))
    match output:
        case "json":
            sys.stdout.write(go_json(as_data(found)))
        case "yaml":
            sys.stdout.write(yaml_text(as_data(found)))
        case _:
            sys.stdout.write(page(found, time.time(), columns_of(sys.stdout), colours=_colours()))
    if wrong := problems(found):
        more = f", and {len(wrong) - 1} more" if wrong[1:] else ""
        raise PluginError(f"not healthy: {wrong[0]}{more}")


def _colours() -> bool:
    return colours_wanted(sys.stdout, os.environ)
