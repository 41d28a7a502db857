"""`automate`, `deautomate`, `lock`, `unlock` and `policy`: change the policies of one workload in git.

Everything is declared and checked here; `submit` is where the agent is going to be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.commands.flags import (
    Cause,
    ControllerFlag,
    MessageFlag,
    UserFlag,
    VerboseFlag,
    WorkloadNamespaceFlag,
    of_old_name,
    workload_ids,
)
from kubectl_flux.errors import PluginError, UsageError

if TYPE_CHECKING:
    from kubectl_flux.options import Globals

PANEL = "Policy Commands"
NO_CHANGE = "Name a change: --automate, --deautomate, --lock, --unlock, --tag-all or --tag."

EXAMPLES = """
# Automate, and follow the minor releases of version 1
kubectl flux policy --workload=default:deployment/foo --automate --tag-all='semver:~1'

# A filter for each container
kubectl flux policy --workload=default:deployment/foo --tag='bar=1.*' --tag='baz=2.*'

# One filter for all containers but one
kubectl flux policy --workload=default:deployment/foo --tag-all='master-*' --tag='bar=1.*'
"""

_WorkloadFlag = Annotated[
    str, typer.Option("--workload", "-w", metavar="string", help="Workload to modify, as [namespace:]kind/name")
]


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What becomes of one workload's policies.

    Attributes:
        workload: Its id, with namespace.
        automated: Whether it is automated from now on; None to leave that as it is.
        locked: Whether it is locked from now on; None to leave that as it is.
        tag_all: The filter of the containers without one in `tags`; `*` removes theirs, empty leaves it.
        tags: A filter by container; `*` removes the container's.
        cause: Who asks, and why.
        verbosity: How much of the result to show.
    """

    workload: str
    automated: bool | None = None
    locked: bool | None = None
    tag_all: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    cause: Cause = field(default_factory=Cause)
    verbosity: int = 0

    @property
    def changes_nothing(self) -> bool:
        """Whether no change was named."""
        return self.automated is None and self.locked is None and not self.tag_all and not self.tags


def register(app: typer.Typer) -> None:
    """Let the commands join the tree."""
    simple: Mapping[str, Callable[..., None]] = {
        "automate": automate,
        "deautomate": deautomate,
        "lock": lock,
        "unlock": unlock,
    }
    for name, command in simple.items():
        example = f"\n# By its full id\nkubectl flux {name} --workload=default:deployment/foo\n"
        app.command(name, epilog=example, rich_help_panel=PANEL, add_help_option=False)(command)
    app.command("policy", epilog=EXAMPLES, rich_help_panel=PANEL, add_help_option=False)(policy)


def submit(_settings: Globals, _change: PolicyChange) -> None:
    """Let the agent commit the change, and show what became of it.

    Raises:
        PluginError: Always: the agent of this version writes nothing to git.
    """
    raise PluginError(
        "this version of kubectl flux does not change policies yet",
        hint="Change the workload's annotations fluxcd.io/automated, locked or tag.<container> in git.",
    )


def automate(
    ctx: typer.Context,
    *,
    namespace: WorkloadNamespaceFlag = "",
    workload: _WorkloadFlag = "",
    controller: ControllerFlag = "",
    message: MessageFlag = "",
    user: UserFlag = None,
    verbose: VerboseFlag = 0,
) -> None:
    """Turn on automatic deployment for a workload."""
    found = _workload(ctx, namespace, workload, controller)
    submit(ctx.obj, PolicyChange(found, automated=True, cause=Cause(message, user), verbosity=verbose))


def deautomate(
    ctx: typer.Context,
    *,
    namespace: WorkloadNamespaceFlag = "",
    workload: _WorkloadFlag = "",
    controller: ControllerFlag = "",
    message: MessageFlag = "",
    user: UserFlag = None,
    verbose: VerboseFlag = 0,
) -> None:
    """Turn off automatic deployment for a workload."""
    found = _workload(ctx, namespace, workload, controller)
    submit(ctx.obj, PolicyChange(found, automated=False, cause=Cause(message, user), verbosity=verbose))


def lock(
    ctx: typer.Context,
    *,
    namespace: WorkloadNamespaceFlag = "",
    workload: _WorkloadFlag = "",
    controller: ControllerFlag = "",
    message: MessageFlag = "",
    user: UserFlag = None,
    verbose: VerboseFlag = 0,
) -> None:
    """Lock a workload, so it cannot be deployed."""
    found = _workload(ctx, namespace, workload, controller)
    submit(ctx.obj, PolicyChange(found, locked=True, cause=Cause(message, user), verbosity=verbose))


def unlock(
    ctx: typer.Context,
    *,
    namespace: WorkloadNamespaceFlag = "",
    workload: _WorkloadFlag = "",
    controller: ControllerFlag = "",
    message: MessageFlag = "",
    user: UserFlag = None,
    verbose: VerboseFlag = 0,
) -> None:
    """Unlock a workload, so it can be deployed."""
    found = _workload(ctx, namespace, workload, controller)
    submit(ctx.obj, PolicyChange(found, locked=False, cause=Cause(message, user), verbosity=verbose))


def policy(
    ctx: typer.Context,
    *,
    namespace: WorkloadNamespaceFlag = "",
    workload: _WorkloadFlag = "",
    controller: ControllerFlag = "",
    automate: Annotated[bool, typer.Option("--automate", help="Automate the workload")] = False,
    deautomate: Annotated[bool, typer.Option("--deautomate", help="Deautomate the workload")] = False,
    lock: Annotated[bool, typer.Option("--lock", help="Lock the workload")] = False,
    unlock: Annotated[bool, typer.Option("--unlock", help="Unlock the workload")] = False,
    tag_all: Annotated[
        str, typer.Option("--tag-all", metavar="string", help="Tag filter pattern to apply to all containers")
    ] = "",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="strings", help="Tag filter container=pattern pairs")
    ] = None,
    message: MessageFlag = "",
    user: UserFlag = None,
    verbose: VerboseFlag = 0,
) -> None:
    """Manage policies for a workload.

    Tag filter patterns must be specified as 'container=pattern', such as 'foo=1.*' where an asterisk means 'match
    anything'. Surrounding these with single-quotes is recommended to avoid shell expansion. '*' alone removes a filter.

    If both --tag-all and --tag are specified, --tag-all will apply to all containers which aren't explicitly named.
    """
    change = PolicyChange(
        _workload(ctx, namespace, workload, controller),
        automated=_either("automate", automate, "deautomate", deautomate),
        locked=_either("lock", lock, "unlock", unlock),
        tag_all=tag_all,
        tags=tag_filters(tag or ()),
        cause=Cause(message, user),
        verbosity=verbose,
    )
    if change.changes_nothing:
        raise UsageError("please supply at least one change of a policy", hint=NO_CHANGE)
    submit(ctx.obj, change)


def tag_filters(pairs: Iterable[str]) -> dict[str, str]:
    """The filters by container; pure.

    Raises:
        UsageError: One is no `container=filter`.
    """
    filters: dict[str, str] = {}
    for pair in pairs:
        container, equals, pattern = pair.partition("=")
        if not (container and equals and pattern):
            raise UsageError(f"invalid container/tag pair: \"{pair}\". Expected format is 'container=filter'")
        filters[container] = pattern
    return filters


def _either(name: str, on: bool, opposite: str, off: bool) -> bool | None:
    """What one of two flags asks for; None where neither was given."""
    if on and off:
        raise UsageError(f"{name} and {opposite} both specified")
    return True if on else False if off else None


def _workload(ctx: typer.Context, namespace: str, workload: str, controller: str) -> str:
    chosen = of_old_name(workload, controller)
    if not chosen:
        raise UsageError("-w, --workload is required")
    return workload_ids(ctx.obj, namespace, [chosen])[0]
