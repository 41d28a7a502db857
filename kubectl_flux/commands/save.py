"""`save`: the Namespaces and workloads that run, as manifests to begin a repository with."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.commands.sync import notes
from kubectl_flux.errors import PluginError, RefusedError
from kubectl_flux.output import tell

if TYPE_CHECKING:
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

STDOUT = "-"
SHORT_KINDS = {"Deployment": "dep"}

EXAMPLES = """
# Look at what would be saved
kubectl flux save

# Save everything into a working copy of the repository
kubectl flux save --out=config/

# Save one namespace
kubectl flux save --namespace=demo --out=config/
"""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")

_OutFlag = Annotated[
    str,
    typer.Option(
        "--out",
        "-o",
        metavar="string",
        show_default='"-"',
        help="Folder to save into, a file for each object; '-' writes everything to stdout",
    ),
]
_NamespaceFlag = Annotated[
    str, typer.Option("--namespace", "-n", metavar="string", help="Only this namespace and what is in it")
]
_AllFlag = Annotated[
    bool, typer.Option("--all-namespaces", "-a", "-A", help="All namespaces, which is what happens without -n")
]


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("save", epilog=EXAMPLES, rich_help_panel="Viewing Commands", add_help_option=False)(save)


def save(
    ctx: typer.Context,
    out: _OutFlag = STDOUT,
    namespace: _NamespaceFlag = "",
    all_namespaces: _AllFlag = False,
) -> None:
    """Save workload definitions to local files in cluster-native format.

    Namespaces, Deployments, DaemonSets, StatefulSets, CronJobs and HelmReleases are saved, without what the cluster
    adds. The folder must exist; files in it are overwritten. Nothing is written before everything has arrived.
    """
    folder = None if out == STDOUT else _folder(out)
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    with connect(ctx.obj) as client:
        pages = list(client.export("" if all_namespaces else namespace))
    found = [entry for page in pages for entry in page.objects]
    if folder is None:
        sys.stdout.write("".join(map(document, found)))
    else:
        _write(folder, found)
    if any(page.restricted for page in pages):
        tell("Note: there are namespaces that you may not see; what is in them is not saved")
    for line in notes(list(dict.fromkeys(notice for page in pages for notice in page.notices))):
        tell(line)
    if not found:
        tell("There is nothing to save")


def document(entry: pb.ExportedObject) -> str:
    """An object as it is written, behind a separator, so that files can be joined; pure."""
    return f"---\n{entry.yaml.rstrip()}\n"


def path_of(entry: pb.ExportedObject) -> str:
    """Where an object is saved, below the folder; pure.

    Raises:
        RefusedError: It has a name that cannot be a file's: an agent must not choose where files are written.
    """
    for part in (entry.name, entry.kind, *filter(None, [entry.namespace])):
        if not _NAME.fullmatch(part):
            raise RefusedError(f"the agent sent an object that cannot be saved: {part[:64]!r} is no name")
    if entry.kind == "Namespace":
        return f"{entry.name}-ns.yaml"
    return f"{entry.namespace}/{entry.name}-{SHORT_KINDS.get(entry.kind, entry.kind)}.yaml"


def _folder(out: str) -> str:
    """The folder, refused before anything is asked of the agent.

    Raises:
        PluginError: It is none.
    """
    if not Path(out).exists():
        raise PluginError(f"the folder {out} does not exist", hint=f"Make it first: mkdir -p {out}")
    if not Path(out).is_dir():
        raise PluginError(f"{out} is not a folder", hint="Name the folder to save into, or - for stdout.")
    return out


def _write(folder: str, found: Sequence[pb.ExportedObject]) -> None:
    """Write every object to its file, telling each.

    Raises:
        PluginError: A file cannot be written.
    """
    for path, entry in [(Path(folder, path_of(entry)), entry) for entry in found]:
        sys.stdout.write(f"Saving {entry.kind} '{entry.name}' to {path}\n")
        try:
            _replace(path, document(entry))
        except OSError as error:
            raise PluginError(f"{path} cannot be written: {error.strerror}") from error


def _replace(path: Path, text: str) -> None:
    """Write a file as a whole or not at all; one that is there already is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8", newline="\n")
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
