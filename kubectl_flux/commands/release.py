"""`release`: write newer images of workloads into git.

Everything is declared and checked here; `submit` is where the agent is going to be asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.commands.flags import (
    Cause,
    MessageFlag,
    UserFlag,
    VerboseFlag,
    WorkloadNamespaceFlag,
    tell_old_name,
    workload_ids,
)
from kubectl_flux.errors import PluginError, UsageError
from kubectl_flux.output import tell

if TYPE_CHECKING:
    from kubectl_flux.options import Globals

EXAMPLES = """
# One image of one workload
kubectl flux release -n default --workload=deployment/foo --update-image=library/hello:v2

# One image wherever it is used
kubectl flux release --all --update-image=library/hello:v2

# All images of one workload: what would be done?
kubectl flux release --workload=default:deployment/foo --update-all-images --dry-run
"""


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """What is to be released.

    Attributes:
        workloads: The ids, with namespaces; empty for all workloads.
        image: The image to release, with its tag or digest; empty for the newest of every image in use.
        excluded: The ids of workloads to leave alone.
        force: Whether locks and filters are disregarded.
        dry_run: Whether nothing is to be changed.
        interactive: Whether the person chooses among the plan's containers.
        watch: Whether the rollout is followed.
        cause: Who asks, and why.
        verbosity: How much of the result to show.
    """

    workloads: tuple[str, ...] = ()
    image: str = ""
    excluded: tuple[str, ...] = ()
    force: bool = False
    dry_run: bool = False
    interactive: bool = False
    watch: bool = False
    cause: Cause = field(default_factory=Cause)
    verbosity: int = 0


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("release", epilog=EXAMPLES, rich_help_panel="Releasing Commands", add_help_option=False)(release)


def submit(_settings: Globals, _request: ReleaseRequest) -> None:
    """Let the agent plan and commit the release, and show what became of it.

    Raises:
        PluginError: Always: the agent of this version neither scans registries nor writes to git.
    """
    raise PluginError(
        "this version of kubectl flux does not release images yet",
        hint="Change the image's tag in git; the agent applies it with the next sync.",
    )


def release(
    ctx: typer.Context,
    *,
    namespace: WorkloadNamespaceFlag = "",
    workload: Annotated[
        list[str] | None,
        typer.Option("--workload", metavar="strings", help="List of workloads to release, as [namespace:]kind/name"),
    ] = None,
    controller: Annotated[list[str] | None, typer.Option("--controller", "-c", metavar="strings", hidden=True)] = None,
    all_workloads: Annotated[bool, typer.Option("--all", help="Release all workloads")] = False,
    image: Annotated[str, typer.Option("--update-image", "-i", metavar="string", help="Update a specific image")] = "",
    all_images: Annotated[
        bool, typer.Option("--update-all-images", help="Update all images to latest versions")
    ] = False,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="strings", help="List of workloads to exclude")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do not release anything; just report back what would have been done")
    ] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Select interactively which containers to update")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            "-f",
            help="Disregard locks (but with --all) and container image filters (but with --update-all-images)",
        ),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Watch rollout progress during release")] = False,
    message: MessageFlag = "",
    user: UserFlag = None,
    verbose: VerboseFlag = 0,
) -> None:
    """Release a new version of a workload."""
    if bool(image) == all_images:
        raise UsageError("please supply exactly one of --update-image=<image> or --update-all-images")
    if controller:
        tell_old_name()
    given = [*(workload or ()), *(controller or ())]
    if not given and not all_workloads:
        raise UsageError("please supply either --all, or at least one --workload=<workload>")
    if watch and dry_run:
        raise UsageError("cannot use --watch with --dry-run")
    request = ReleaseRequest(
        workloads=() if all_workloads else workload_ids(ctx.obj, namespace, given),
        image=checked_image(image),
        excluded=workload_ids(ctx.obj, namespace, exclude or ()),
        force=force,
        dry_run=dry_run,
        interactive=interactive,
        watch=watch,
        cause=Cause(message, user),
        verbosity=verbose,
    )
    for line in warnings(request):
        tell(line)
    submit(ctx.obj, request)


def warnings(request: ReleaseRequest) -> Iterable[str]:
    """What --force is not going to do; pure.

    Raises:
        UsageError: It would do nothing at all.
    """
    if not request.force:
        return
    if not request.workloads and not request.image:
        raise UsageError("--force has no effect when used with --all and --update-all-images")
    if not request.workloads:
        yield "Warning: --force will not ignore locked workloads when used with --all"
    if not request.image:
        yield "Warning: --force will not ignore container image tags when used with --update-all-images"


def checked_image(image: str) -> str:
    """The image, which must say which of its versions is meant; pure.

    Raises:
        UsageError: It has neither tag nor digest.
    """
    if image and not {":", "@"} & set(image.rpartition("/")[2]):
        raise UsageError("blank tag (if you want latest, explicitly state the tag :latest): invalid image ID")
    return image
