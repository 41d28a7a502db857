"""`install`: the manifests that install the agent, for kubectl to apply. The cluster is not asked anything.

The command's parameters have the names of the options that they become, and are taken from the context by these.
"""

# ruff: noqa: ARG001 - see above

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.errors import PluginError
from kubectl_flux.output import tell

if TYPE_CHECKING:
    from kubectl_flux.install.options import InstallOptions

EXAMPLES = """
# Install the agent in namespace "flux" and let it follow a repository
kubectl flux install --git-url=git@github.com:YOU/flux-get-started --git-email=YOU@example.com \\
  --image=registry.example.com/flux-agent:1 | kubectl apply -f -

# Write the manifests to a folder, one file each, to keep them in git
kubectl flux install --git-url=git@github.com:YOU/flux-get-started --git-email=YOU@example.com -o manifests

# An agent that has rights in two namespaces only
kubectl flux install --git-url=git@github.com:YOU/flux-get-started --git-email=YOU@example.com \\
  --namespace=team-flux --namespaced --k8s-allow-namespace=team-a,team-b | kubectl apply -f -
"""

_GitUrlFlag = Annotated[
    str,
    typer.Option(
        "--git-url",
        metavar="string",
        help="URL of the git repository to follow, such as git@github.com:YOU/flux-get-started",
    ),
]
_GitEmailFlag = Annotated[str, typer.Option("--git-email", metavar="string", help="Email to use as git committer")]
_GitBranchFlag = Annotated[
    str, typer.Option("--git-branch", metavar="string", show_default='"master"', help="Git branch to follow")
]
_GitPathFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--git-path",
        "--git-paths",
        metavar="strings",
        help="Paths within the git repository to look for manifests in; all of it where none is given",
    ),
]
_GitLabelFlag = Annotated[
    str,
    typer.Option(
        "--git-label",
        metavar="string",
        show_default='"flux"',
        help="Names the tag that marks what is synced, and the notes on commits; "
        "overrides both --git-sync-tag and --git-notes-ref",
    ),
]
_GitUserFlag = Annotated[
    str, typer.Option("--git-user", metavar="string", show_default='"Flux"', help="Username to use as git committer")
]
_GitReadonlyFlag = Annotated[
    bool, typer.Option("--git-readonly", help="Never write to the git repository; the sync state goes to a Secret")
]
_ManifestGenerationFlag = Annotated[
    bool, typer.Option("--manifest-generation", help="Whether to generate manifests as .flux.yaml files say")
]
_DisableScanningFlag = Annotated[
    bool, typer.Option("--registry-disable-scanning", help="Do not scan container image registries")
]
_NamespaceFlag = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        metavar="string",
        show_default='"flux"',
        help="Namespace to install the agent in; --k8s-fwd-ns and FLUX_FORWARD_NAMESPACE name it as well",
    ),
]
_CreateNamespaceFlag = Annotated[
    bool,
    typer.Option(
        "--create-namespace/--no-create-namespace",
        show_default="true",
        help="Include the namespace, under the Pod Security Standard restricted; "
        'never done for "default" and those of the system',
    ),
]
_ImageFlag = Annotated[
    str, typer.Option("--image", metavar="string", help="The agent's image; without, a name that must be replaced")
]
_SecurityContextFlag = Annotated[
    bool,
    typer.Option(
        "--add-security-context/--no-add-security-context",
        show_default="true",
        help="Ensure security context information is added to the pod specs",
    ),
]
_NamespacedFlag = Annotated[
    bool,
    typer.Option(
        "--namespaced",
        help="Give the agent rights in the allowed namespaces only; "
        "the one it keeps elsewhere is to ask whose token a caller brings",
    ),
]
_AllowNamespaceFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--k8s-allow-namespace",
        metavar="strings",
        help="Namespaces the agent may look at and change; all where none is given, with --namespaced its own",
    ),
]
_NetworkPolicyFlag = Annotated[
    bool, typer.Option("--network-policy", help="Include a NetworkPolicy that closes all ports but the agent's own")
]
_OutputDirFlag = Annotated[
    str,
    typer.Option(
        "--output-dir",
        "-o",
        metavar="string",
        help="A directory in which to write individual manifests, rather than printing to stdout",
    ),
]


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("install", epilog=EXAMPLES, add_help_option=False)(install)


def install(
    ctx: typer.Context,
    *,
    git_url: _GitUrlFlag = "",
    git_email: _GitEmailFlag = "",
    git_branch: _GitBranchFlag = "master",
    git_paths: _GitPathFlag = None,
    git_label: _GitLabelFlag = "flux",
    git_user: _GitUserFlag = "Flux",
    git_readonly: _GitReadonlyFlag = False,
    manifest_generation: _ManifestGenerationFlag = False,
    registry_disable_scanning: _DisableScanningFlag = False,
    namespace: _NamespaceFlag = "",
    create_namespace: _CreateNamespaceFlag = True,
    image: _ImageFlag = "",
    add_security_context: _SecurityContextFlag = True,
    namespaced: _NamespacedFlag = False,
    allowed_namespaces: _AllowNamespaceFlag = None,
    network_policy: _NetworkPolicyFlag = False,
    output_dir: _OutputDirFlag = "",
) -> None:
    """Print and tweak Kubernetes manifests needed to install the agent in a cluster.

    Nothing is sent anywhere: kubectl apply -f - takes what is printed. The deploy key is not part of it, and applying
    the manifests again leaves the key that is in the cluster alone.
    """
    from kubectl_flux.install.options import PLACEHOLDER_IMAGE, check  # noqa: PLC0415 - not needed for help
    from kubectl_flux.install.render import render, stream  # noqa: PLC0415 - not needed for help and wrong usage

    options = _options(ctx)
    check(options)
    if options.image == PLACEHOLDER_IMAGE:
        tell(f"Note: no image is published, {PLACEHOLDER_IMAGE} stands for your own; name it with --image")
    if output_dir:
        _write(render(options), output_dir)
    else:
        sys.stdout.write(stream(render(options)))


def _options(ctx: typer.Context) -> InstallOptions:
    """What was asked for; the agent's namespace may be named as for every command."""
    from kubectl_flux.install.options import DEFAULT_NAMESPACE, PLACEHOLDER_IMAGE, InstallOptions  # noqa: PLC0415

    given = {name: value for name, value in ctx.params.items() if name != "output_dir"}
    settled = {
        "namespace": given["namespace"] or ctx.obj.agent_namespace or DEFAULT_NAMESPACE,
        "image": given["image"] or PLACEHOLDER_IMAGE,
        "git_paths": tuple(given["git_paths"] or ()),
        "allowed_namespaces": tuple(given["allowed_namespaces"] or ()),
    }
    return InstallOptions(**given | settled)


def _write(manifests: Mapping[str, str], folder: str) -> None:
    """Write each manifest to its file and say so.

    Raises:
        PluginError: The folder is not there, or cannot be written to.
    """
    from pathlib import Path  # noqa: PLC0415 - only where a folder was named

    if not Path(folder).is_dir():
        raise PluginError(f"{folder} is not a directory", hint="Make it first, or leave out --output-dir.")
    for name, text in manifests.items():
        path = Path(folder, name)
        tell(f"writing {path}")
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise PluginError(f"cannot output manifest file {path}: {error.strerror}") from error
