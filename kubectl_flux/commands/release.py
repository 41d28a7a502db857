"""`release`: write newer images of workloads into git.

Everything is declared and checked here; `submit` asks the agent, and `kubectl_flux.change` shows what becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.commands.flags import (
    Cause,
    ChangeFormatFlag,
    MessageFlag,
    UserFlag,
    VerboseFlag,
    WorkloadNamespaceFlag,
    tell_old_name,
    workload_ids,
)
from kubectl_flux.errors import UsageError
from kubectl_flux.output import tell

if TYPE_CHECKING:
    from kubectl_flux.choosing import Offer
    from kubectl_flux.options import Globals
    from kubectl_flux.outcomes import Shown
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

WATCH_SECONDS = 300.0
"""How long rollouts are watched where nobody says for how long."""

_WorkloadsFlag = Annotated[
    list[str] | None,
    typer.Option("--workload", metavar="strings", help="List of workloads to release, as [namespace:]kind/name"),
]
_ControllersFlag = Annotated[list[str] | None, typer.Option("--controller", "-c", metavar="strings", hidden=True)]
_AllFlag = Annotated[bool, typer.Option("--all", help="Release all workloads, with -n all of that namespace")]
_ImageFlag = Annotated[str, typer.Option("--update-image", "-i", metavar="string", help="Update a specific image")]
_AllImagesFlag = Annotated[bool, typer.Option("--update-all-images", help="Update all images to latest versions")]
_ExcludeFlag = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="strings", help="List of workloads to exclude")
]
_DryRunFlag = Annotated[
    bool, typer.Option("--dry-run", help="Do not release anything; just report back what would have been done")
]
_InteractiveFlag = Annotated[
    bool, typer.Option("--interactive", help="Select interactively which containers to update")
]
_ForceFlag = Annotated[
    bool,
    typer.Option(
        "--force",
        "-f",
        help="Disregard locks (but with --all) and container image filters (but with --update-all-images)",
    ),
]
_WatchFlag = Annotated[bool, typer.Option("--watch", "-w", help="Watch rollout progress during release")]

EXAMPLES = """
# One image of one workload
kubectl flux release -n default --workload=deployment/foo --update-image=library/hello:v2

# One image wherever it is used
kubectl flux release --all --update-image=library/hello:v2

# All images of one workload: what would be done?
kubectl flux release --workload=default:deployment/foo --update-all-images --dry-run

# The newest image of everything in one namespace, but for one workload
kubectl flux release -n default --all --exclude=deployment/foo --update-all-images

# Choose among what could be updated, and watch it roll out
kubectl flux release -n default --all --update-all-images --interactive --watch
"""


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """What is to be released.

    Attributes:
        workloads: The ids, with namespaces; empty for all workloads.
        namespace: Where all workloads are meant: only those of this namespace; empty for all namespaces.
        image: The image to release, with its tag or digest; empty for the newest of every image in use.
        excluded: The ids of workloads to leave alone.
        force: Whether locks and filters are disregarded.
        dry_run: Whether nothing is to be changed.
        interactive: Whether the person chooses among the plan's containers.
        watch: Whether the rollout is followed.
        cause: Who asks, and why.
        verbosity: How much of the result to show.
        output: `json` or `yaml`; empty for a table.
    """

    workloads: tuple[str, ...] = ()
    namespace: str = ""
    image: str = ""
    excluded: tuple[str, ...] = ()
    force: bool = False
    dry_run: bool = False
    interactive: bool = False
    watch: bool = False
    cause: Cause = field(default_factory=Cause)
    verbosity: int = 0
    output: str = ""


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("release", epilog=EXAMPLES, rich_help_panel="Releasing Commands", add_help_option=False)(release)


def submit(settings: Globals, request: ReleaseRequest) -> None:
    """Let the agent plan and commit the release, and show what becomes of it.

    Raises:
        PluginError: It failed, wholly or in part, nothing had to be changed, or the time is over.
    """
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    chosen = _chosen(settings, request) if request.interactive else None
    if chosen is not None and not chosen:
        tell("Nothing was chosen, and nothing was changed.")
        return
    usual = WATCH_SECONDS if request.watch else settings.timeout
    with connect(settings, timeout=settings.timeout if settings.timeout_given else usual) as client:
        from kubectl_flux.change import Change  # noqa: PLC0415 - loads protobuf, while kubectl starts

        message = as_message(replace(request, cause=request.cause.named()), chosen)
        kind = "dry-run " if request.dry_run else "selected " if chosen else ""
        tell(f"Submitting {kind}release ...")
        change = Change(client, _shown(request))
        change.follow(client.release(message), applied=not request.dry_run, watch=request.watch)


def as_message(request: ReleaseRequest, chosen: Iterable[Offer] | None = None) -> pb.ReleaseRequest:
    """The request as the agent reads it; pure.

    Args:
        request: With a user that is settled.
        chosen: The changes that somebody chose; None for whatever the request selects.
    """
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb  # noqa: PLC0415 - where the agent is asked

    message = pb.ReleaseRequest(
        workloads=request.workloads,
        all=not request.workloads,
        namespace=request.namespace,
        excludes=request.excluded,
        image=request.image,
        force=request.force,
        dry_run=request.dry_run,
        cause=pb.Cause(user=request.cause.user or "", message=request.cause.message),
    )
    for offer in chosen or ():
        message.chosen.add(workload=offer.workload, change=offer.change)
    return message


def _chosen(settings: Globals, request: ReleaseRequest) -> tuple[Offer, ...]:
    """What the person chooses from a dry run, over a connection of its own: choosing may take long.

    Raises:
        PluginError: There is no terminal, or nothing to choose.
    """
    from kubectl_flux.choosing import choose, not_offered, offers_of, require_person  # noqa: PLC0415 - loads protobuf
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    require_person()
    with connect(settings) as client:
        from kubectl_flux.change import Change  # noqa: PLC0415 - loads protobuf, while kubectl starts

        tell("Submitting dry-run release ...")
        change = Change(client, _shown(replace(request, output="")))
        offers = offers_of(change.finish(client.release(as_message(replace(request, dry_run=True)))))
    if not offers:
        change.explain()
    for line in not_offered(change.job):
        tell(line)
    return choose(offers)


def _shown(request: ReleaseRequest) -> Shown:
    from kubectl_flux.outcomes import Shown  # noqa: PLC0415 - loads protobuf

    return Shown(request.verbosity, frozenset(request.workloads), request.output, must_change=True)


def release(
    ctx: typer.Context,
    *,
    namespace: WorkloadNamespaceFlag = "",
    workload: _WorkloadsFlag = None,
    controller: _ControllersFlag = None,
    all_workloads: _AllFlag = False,
    image: _ImageFlag = "",
    all_images: _AllImagesFlag = False,
    exclude: _ExcludeFlag = None,
    dry_run: _DryRunFlag = False,
    interactive: _InteractiveFlag = False,
    force: _ForceFlag = False,
    watch: _WatchFlag = False,
    message: MessageFlag = "",
    user: UserFlag = None,
    verbose: VerboseFlag = 0,
    output: ChangeFormatFlag = "",
) -> None:
    """Release a new version of a workload.

    The agent commits the change to git and applies it; the command ends when it is applied, or failed. Ending it
    earlier does not end the release.

    Exit codes: 0 released, or for --dry-run told; 1 failed, or there was nothing to change. The table tells why.
    """
    if bool(image) == all_images:
        raise UsageError("please supply exactly one of --update-image=<image> or --update-all-images")
    if controller:
        tell_old_name()
    named = [*(workload or ()), *(controller or ())]
    request = selected(ctx.obj, namespace, named, exclude or (), everything=all_workloads)
    image = checked_image(image)
    request = replace(request, image=image, force=force, dry_run=dry_run, interactive=interactive, watch=watch)
    for line in warnings(request):
        tell(line)
    submit(ctx.obj, replace(request, cause=Cause(message, user), verbosity=verbose, output=output))


def selected(
    settings: Globals, namespace: str, named: Iterable[str], excluded: Iterable[str], *, everything: bool
) -> ReleaseRequest:
    """The request with its workloads alone.

    Raises:
        UsageError: None are meant, or one of them is no workload id.
    """
    given = tuple(named)
    if not given and not everything:
        raise UsageError("please supply either --all, or at least one --workload=<workload>")
    return ReleaseRequest(
        () if everything else workload_ids(settings, namespace, given),
        namespace if everything else "",
        excluded=workload_ids(settings, namespace, excluded),
    )


def warnings(request: ReleaseRequest) -> Iterable[str]:
    """What --force is not going to do; pure.

    Raises:
        UsageError: It would do nothing at all, or there is nothing to watch.
    """
    if request.watch and request.dry_run:
        raise UsageError("cannot use --watch with --dry-run")
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
