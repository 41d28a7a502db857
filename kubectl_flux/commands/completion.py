"""`completion`: the scripts that let a shell complete the plugin's command lines."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from kubectl_flux.errors import UsageError

EXAMPLES = """
# kubectl's own completion: the helper is found on the PATH beside the plugin
kubectl flux <TAB>

# Without the helper: a file kubectl_complete-flux on the PATH, executable, with these two lines does the same
#!/bin/sh
exec kubectl-flux __complete "$@"

# The plugin under its own name, in bash
source <(kubectl flux completion bash)

# In zsh, for every session
kubectl flux completion zsh > "${fpath[1]}/_kubectl-flux"

# In fish
kubectl flux completion fish > ~/.config/fish/completions/kubectl-flux.fish

# In PowerShell
kubectl flux completion powershell | Out-String | Invoke-Expression
"""


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("completion", epilog=EXAMPLES, add_help_option=False)(completion)


def completion(
    shell: Annotated[list[str] | None, typer.Argument(metavar="SHELL", help="The shell to write for.")] = None,
) -> None:
    """Output shell completion code for the specified shell (bash, zsh, fish or powershell).

    `kubectl flux` itself needs none of it: kubectl's own completion, from kubectl 1.26 on, calls the program
    kubectl_complete-flux that is installed with the plugin. The scripts complete the plugin when it is called by its
    own name, kubectl-flux.
    """
    from kubectl_flux.shells import SCRIPTS  # noqa: PLC0415 - long texts, for this command only

    if not shell:
        raise UsageError("please specify a shell", hint=f"It is one of: {', '.join(SCRIPTS)}.")
    if len(shell) > 1:
        raise UsageError(f"please specify one of the following shells: {' '.join(SCRIPTS)}")
    if shell[0] not in SCRIPTS:
        raise UsageError(f'unsupported shell type "{shell[0]}"', hint=f"It is one of: {', '.join(SCRIPTS)}.")
    sys.stdout.write(SCRIPTS[shell[0]])
