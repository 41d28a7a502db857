"""`version`: which version of the plugin this is, and of the agent."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from kubectl_flux import __version__
from kubectl_flux.errors import PluginError
from kubectl_flux.output import tell

LONGEST_WAIT = 10.0

EXAMPLES = """
# The plugin's version and the agent's
kubectl flux version

# The plugin's version, without asking the cluster
kubectl flux version --client
"""


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("version", epilog=EXAMPLES, add_help_option=False)(version)


def version(
    ctx: typer.Context,
    client: Annotated[bool, typer.Option("--client", help="Only the plugin's version; the agent is not asked")] = False,
) -> None:
    """Output the version of kubectl flux.

    The plugin's version is the only line on stdout; the agent's goes to stderr, or why it is not known, with a warning
    where the two differ by more than a patch.
    """
    sys.stdout.write(f"{__version__}\n")
    sys.stdout.flush()
    if client:
        return
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for the plugin's own version

    try:
        with connect(ctx.obj, timeout=min(ctx.obj.timeout, LONGEST_WAIT)) as agent:
            found = agent.version().version
    except PluginError as error:
        tell(f"Agent: unknown ({error.message})")
        return
    from kubectl_flux.skew import skew  # noqa: PLC0415 - not needed for the plugin's own version

    tell(f"Agent: {found}")
    if differs := skew(__version__, found):
        tell(f"Warning: {differs}")
