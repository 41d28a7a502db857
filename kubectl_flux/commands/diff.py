"""`diff`: what a sync would change, as `kubectl diff` tells it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from kubectl_flux.commands.sync import SHORT_REVISION, failure_line
from kubectl_flux.errors import PluginError, UsageError
from kubectl_flux.output import colours_wanted, go_json, tell

if TYPE_CHECKING:
    from kubectl_flux.options import Globals
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

FORMATS = ("diff", "name", "json")
EXTERNAL = "KUBECTL_EXTERNAL_DIFF"
CLUSTER_SCOPE = "<cluster>"

EXAMPLES = """
# What would the next sync change?
kubectl flux diff

# In one namespace only
kubectl flux diff --namespace=demo

# What would going back to an earlier commit change?
kubectl flux diff --revision=2ca3d3e

# Only which objects, and what would happen to each
kubectl flux diff -o name
"""

_RevisionFlag = Annotated[
    str,
    typer.Option(
        "--revision",
        metavar="string",
        help="Commit id, whole or abbreviated, branch or tag to compare with, else the newest that the agent has seen",
    ),
]
_NamespaceFlag = Annotated[
    str, typer.Option("--namespace", "-n", metavar="string", help="Only objects of this namespace, else all objects")
]
_FormatFlag = Annotated[
    str,
    typer.Option("--output", "-o", metavar="string", show_default='"diff"', help="Output format: diff, name or json"),
]


class DiffError(PluginError):
    """What went wrong, with a code that cannot be taken for differences."""

    exit_code: ClassVar[int] = 2


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("diff", epilog=EXAMPLES, rich_help_panel="Viewing Commands", add_help_option=False)(diff)


def diff(
    ctx: typer.Context, revision: _RevisionFlag = "", namespace: _NamespaceFlag = "", output: _FormatFlag = "diff"
) -> None:
    """Show what a sync would change in the cluster, without changing anything.

    The API server answers for every object as in kubectl diff --server-side; values of Secrets are masked. Deletions
    are shown where the agent collects garbage. KUBECTL_EXTERNAL_DIFF names another program to compare with, as for
    kubectl diff.

    Exit codes: 0 no differences, 1 differences, 2 an error, or something that would fail; 3 the agent cannot be
    reached. A deletion that would be held is a difference.
    """
    if output not in FORMATS:
        raise UsageError("invalid output format specified", hint=f"It is one of: {', '.join(FORMATS)}.")
    try:
        code = _compare(ctx.obj, revision, namespace, output)
    except PluginError as error:
        if error.exit_code != PluginError.exit_code:
            raise
        raise DiffError(error.message, hint=error.hint) from error
    raise typer.Exit(code)


def _compare(settings: Globals, revision: str, namespace: str, output: str) -> int:
    """Ask, show and tell; returns the exit code.

    Raises:
        PluginError: The agent refused or was not reached, or something would fail.
    """
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    with connect(settings) as client:
        told = _Told(namespace)
        code = _shown(told, told.objects(client.diff(revision)), output)
    if told.restricted:
        tell("Note: objects of namespaces that you may not see are left out")
    for failure in told.failures:
        tell(failure_line(failure))
    count = len(told.failures)
    if count:
        what = "one file or object" if count == 1 else f"{count} files or objects"
        raise PluginError(
            f"{what} of {told.revision[:SHORT_REVISION]} would fail", hint="Mend what is named above in git."
        )
    return code


class _Told:
    """What comes in over the pages beside the objects."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.revision = ""
        self.restricted = False
        self.failures: list[pb.Failure] = []

    def objects(self, pages: Iterable[pb.DiffResponse]) -> Iterator[pb.ObjectDiff]:
        """The objects to show, as they come."""
        for page in pages:
            self.revision = page.revision
            self.restricted |= page.restricted
            self.failures += (failure for failure in page.failures if self._concerns(failure.object))
            yield from (found for found in page.objects if self._namespace in ("", found.namespace))

    def _concerns(self, object_id: str) -> bool:
        """Whether a failure is to be told: what a file that failed as a whole holds nobody knows."""
        return not self._namespace or not object_id or object_id.partition(":")[0] == self._namespace


def _shown(told: _Told, found: Iterable[pb.ObjectDiff], output: str) -> int:
    """Show the objects in the format; returns 1 where there are any, or what the program for it says."""
    from kubectl_flux.unified import compare_with, unified  # noqa: PLC0415 - difflib and subprocess, for this alone

    if output == "json":
        objects = list(found)
        sys.stdout.write(go_json(as_data(told.revision, objects, told.failures)))
        return int(bool(objects))
    external = os.environ.get(EXTERNAL, "").strip()
    coloured = colours_wanted(sys.stdout, os.environ)
    code, changed = 0, []
    for item in found:
        if output == "name":
            code = 1
            sys.stdout.write(f"{item.object} {action_name(item)}\n")
            continue
        if note := remark(item):
            tell(note)
        if external and not is_held(item):
            changed.append(item)
            continue
        code = 1
        if not is_held(item):
            sys.stdout.write(unified(item, coloured=coloured))
    return max(code, compare_with(external, changed)) if changed else code


def remark(found: pb.ObjectDiff) -> str:
    """What a diff alone does not say of an object; empty where it says all; pure."""
    match action_name(found):
        case "delete":
            return f"{found.object} left git and would be deleted"
        case "hold":
            return f"{found.object} left git and would stay: {' '.join(found.reason.split())}"
    return ""


def is_held(found: pb.ObjectDiff) -> bool:
    """Whether its deletion would be held: the object itself would not change."""
    return action_name(found) == "hold"


def action_name(found: pb.ObjectDiff) -> str:
    """`create`, `update`, `delete` or `hold`."""
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb  # noqa: PLC0415 - loaded by now: the object is made of it

    return pb.DiffAction.Name(found.action).removeprefix("DIFF_ACTION_").lower()


def as_data(revision: str, objects: Sequence[pb.ObjectDiff], failures: Sequence[pb.Failure]) -> dict[str, Any]:
    """Everything, for programs; pure."""
    from kubectl_flux.progress import failure_data  # noqa: PLC0415 - loads protobuf, which the answer is made of

    return {
        "revision": revision,
        "objects": [
            {
                "object": found.object,
                "action": action_name(found),
                "apiVersion": found.api_version,
                "kind": found.kind,
                "namespace": found.namespace,
                "name": found.name,
                "path": found.path,
                "reason": found.reason,
                "live": found.live,
                "planned": found.planned,
            }
            for found in objects
        ],
        "failures": [failure_data(failure) for failure in failures],
    }
