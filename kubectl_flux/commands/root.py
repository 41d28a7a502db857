"""The command tree: the global flags, and the commands that join it, one module per verb family.

A verb family is a module with `register(app)`. What the commands share is in `ctx.obj`, a frozen `Globals`.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import click
import typer

from kubectl_flux.commands import (
    completion,
    diff,
    identity,
    images,
    install,
    policies,
    release,
    save,
    status,
    sync,
    version,
    wait,
    why,
    workloads,
)
from kubectl_flux.errors import UsageError
from kubectl_flux.options import DEFAULT_LABELS, DEFAULT_TIMEOUT, GlobalFlags, resolve

ABOUT = """Drive GitOps for Kubernetes: see and change what flux-agent does in your cluster.

Connecting: the agent is found in namespace "flux", then "default", and reached through the cluster's API server
as kubectl reaches it, with your own rights. --url goes to an address directly.
"""
EXAMPLES = """
# Which workloads run in the current namespace?
kubectl flux list-workloads

# The same for all namespaces, with the agent in namespace "weave"
kubectl flux --k8s-fwd-ns=weave list-workloads --all-namespaces

# Bring the cluster to what git says, now
kubectl flux sync
"""

_ContextFlag = Annotated[str | None, typer.Option("--context", metavar="string", help="The kubeconfig context to use")]
_KubeconfigFlag = Annotated[
    str | None, typer.Option("--kubeconfig", metavar="string", help="Path to the kubeconfig file to use")
]
_ClusterFlag = Annotated[str | None, typer.Option("--cluster", metavar="string", help="The kubeconfig cluster to use")]
_UserFlag = Annotated[str | None, typer.Option("--user", metavar="string", help="The kubeconfig user to use")]
_AsUidFlag = Annotated[
    str | None, typer.Option("--as-uid", metavar="string", help="UID to impersonate towards the API server")
]
_AuthorityFlag = Annotated[
    str | None,
    typer.Option(
        "--certificate-authority",
        metavar="string",
        help="Path to a file of certificates by which the one of --url is checked; without --url, the API server's",
    ),
]
_InsecureFlag = Annotated[
    bool,
    typer.Option(
        "--insecure-skip-tls-verify",
        help="Don't check the certificate of --url, or without --url the API server's. This makes the connection "
        "insecure",
    ),
]
_ServiceAccountFlag = Annotated[
    str | None,
    typer.Option(
        "--service-account",
        metavar="string",
        help="ServiceAccount as which the agent is called, [NAMESPACE/]NAME; flux-operator, then flux-viewer of the "
        "agent's namespace are tried where none is given. You can also set the environment variable "
        "FLUX_SERVICE_ACCOUNT",
    ),
]
_AsFlag = Annotated[
    str | None, typer.Option("--as", metavar="string", help="Username to impersonate towards the API server")
]
_AsGroupFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--as-group",
        metavar="stringArray",
        help="Group to impersonate towards the API server; this flag can be repeated",
    ),
]
_ForwardNamespaceFlag = Annotated[
    str | None,
    typer.Option(
        "--k8s-fwd-ns",
        metavar="string",
        help='Namespace in which the agent is running; "flux", then "default" are tried where none is given. '
        "You can also set the environment variable FLUX_FORWARD_NAMESPACE",
    ),
]
_ForwardLabelsFlag = Annotated[
    str | None,
    typer.Option(
        "--k8s-fwd-labels",
        metavar="stringToString",
        show_default=f"[{DEFAULT_LABELS}]",
        help="Labels used to select the agent's Service. You can also set the environment variable FLUX_FORWARD_LABELS",
    ),
]
_UrlFlag = Annotated[
    str | None,
    typer.Option(
        "--url",
        "-u",
        metavar="string",
        help="Base URL of the agent's API, to go there directly instead of through the cluster's API server; "
        "you can also set the environment variable FLUX_URL",
    ),
]
_TimeoutFlag = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="duration",
        show_default=DEFAULT_TIMEOUT,
        help="Global command timeout; you can also set the environment variable FLUX_TIMEOUT",
    ),
]
_TokenFlag = Annotated[
    str | None,
    typer.Option(
        "--token",
        "-t",
        metavar="string",
        help="Token for the agent at --url; you can also set the environment variable FLUX_TOKEN",
    ),
]


def command_tree() -> click.Group:
    """The plugin's commands as click runs them."""
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, add_help_option=False
    )
    app.callback(help=ABOUT, epilog=EXAMPLES)(_root)
    workloads.register(app)
    diff.register(app)
    identity.register(app)
    save.register(app)
    images.register(app)
    why.register(app)
    status.register(app)
    sync.register(app)
    wait.register(app)
    release.register(app)
    policies.register(app)
    completion.register(app)
    install.register(app)
    version.register(app)
    app.command("help", add_help_option=False)(_help)
    tree = typer.main.get_command(app)
    if not isinstance(tree, click.Group):
        raise TypeError("the root of the commands is no group")
    return tree


def _root(
    ctx: typer.Context,
    *,
    context: _ContextFlag = None,
    kubeconfig: _KubeconfigFlag = None,
    cluster: _ClusterFlag = None,
    user: _UserFlag = None,
    as_user: _AsFlag = None,
    as_uid: _AsUidFlag = None,
    as_groups: _AsGroupFlag = None,
    certificate_authority: _AuthorityFlag = None,
    insecure: _InsecureFlag = False,
    service_account: _ServiceAccountFlag = None,
    forward_namespace: _ForwardNamespaceFlag = None,
    forward_labels: _ForwardLabelsFlag = None,
    url: _UrlFlag = None,
    timeout: _TimeoutFlag = None,
    token: _TokenFlag = None,
) -> None:
    """Settle the global flags for the command that follows."""
    given = GlobalFlags(
        context=context,
        kubeconfig=kubeconfig,
        cluster=cluster,
        user=user,
        as_user=as_user,
        as_uid=as_uid,
        as_groups=tuple(as_groups or ()),
        certificate_authority=certificate_authority,
        insecure=insecure,
        service_account=service_account,
        forward_namespace=forward_namespace,
        forward_labels=forward_labels,
        url=url,
        timeout=timeout,
        token=token,
    )
    ctx.obj = resolve(given, os.environ)


def _help(
    ctx: typer.Context, command: Annotated[list[str] | None, typer.Argument(help="The command to explain.")] = None
) -> None:
    """Help about any command."""
    from kubectl_flux.usage import command_help, root_help  # noqa: PLC0415 - for help only

    root = ctx.find_root().command
    if not isinstance(root, click.Group):
        raise TypeError("the root of the commands is no group")
    name = command[0] if command else ""
    found = root.commands.get(name)
    if name and found is None:
        raise UsageError(f'unknown command "{name}" for "kubectl flux"')
    sys.stdout.write(command_help(root, found) if found else root_help(root))
