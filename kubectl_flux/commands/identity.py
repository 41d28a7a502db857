"""`identity`: the public half of the agent's deploy key."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.errors import PluginError

if TYPE_CHECKING:
    from kubectl_flux.options import Globals
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

EXAMPLES = """
# The key to register with the git server, as a deploy key that may write
kubectl flux identity

# Its fingerprint, to compare with what the git server shows
kubectl flux identity --fingerprint
"""

REPLACING = """Make one and put it into the Secret; the agent takes it up within two minutes, or at a restart:
  ssh-keygen -q -t ed25519 -N "" -C flux -f identity
  kubectl create secret generic flux-git-deploy --from-file=identity --dry-run=client -o yaml |
    kubectl patch secret flux-git-deploy -n {namespace} --patch-file=/dev/stdin"""

_RegenerateFlag = Annotated[
    bool, typer.Option("--regenerate", "-r", help="Generate a new identity; agents of this version cannot")
]
_FingerprintFlag = Annotated[bool, typer.Option("--fingerprint", "-l", help="Show fingerprint of public key")]
_VisualFlag = Annotated[
    bool, typer.Option("--visual", "-v", help="Show ASCII art representation with fingerprint (implies -l)")
]


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("identity", epilog=EXAMPLES, rich_help_panel="Viewing Commands", add_help_option=False)(identity)


def identity(
    ctx: typer.Context,
    regenerate: _RegenerateFlag = False,
    fingerprint: _FingerprintFlag = False,
    visual: _VisualFlag = False,
) -> None:
    """Display SSH public key.

    It is the public half of the key in the Secret flux-git-deploy. Fails where the agent has no key.
    """
    if regenerate:
        raise PluginError("agents of this version do not generate keys", hint=_replacing(ctx.obj))
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    with connect(ctx.obj) as client:
        found = client.public_key()
        if not found.key:
            raise _missing(client.repository().url, ctx.obj)
    sys.stdout.write(render(found, fingerprint=fingerprint, visual=visual))


def render(found: pb.GetPublicKeyResponse, *, fingerprint: bool, visual: bool) -> str:
    """The key, or its fingerprint, or that and its picture below; pure."""
    if visual:
        return f"{found.fingerprint}\n{found.randomart.rstrip()}\n"
    return f"{found.fingerprint if fingerprint else found.key}\n"


def _missing(url: str, settings: Globals) -> PluginError:
    if url.startswith(("http://", "https://", "file://", "/")):
        return PluginError(
            f"the agent has no deploy key, and needs none: {url} is not reached over ssh",
            hint="Over https, user and token stand in the Secret flux-git-auth.",
        )
    return PluginError("the agent has no deploy key", hint=_replacing(settings))


def _replacing(settings: Globals) -> str:
    """How to replace the key, in the agent's namespace as far as somebody named it."""
    return REPLACING.format(namespace=settings.agent_namespace or "flux")
