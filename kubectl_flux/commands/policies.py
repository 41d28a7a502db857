"""`automate`, `deautomate`, `lock`, `unlock` and `policy`: change the policies of one workload in git.

Everything is declared and checked here; `submit` asks the agent, and `kubectl_flux.change` shows what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.commands.flags import (
    Cause,
    ChangeFormatFlag,
    ControllerFlag,
    MessageFlag,
    UserFlag,
    VerboseFlag,
    WorkloadNamespaceFlag,
    of_old_name,
    workload_ids,
)
from kubectl_flux.errors import UsageError

if TYPE_CHECKING:
    from kubectl_flux.options import Globals
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

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
_TagAllFlag = Annotated[
    str, typer.Option("--tag-all", metavar="string", help="Tag filter pattern to apply to all containers")
]
_TagFlag = Annotated[
    list[str] | None, typer.Option("--tag", metavar="strings", help="Tag filter container=pattern pairs")
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
        accept: Whether images that were rolled back may be released again.
        cause: Who asks, and why.
        verbosity: How much of the result to show.
        output: `json` or `yaml`; empty for a table.
    """

    workload: str
    automated: bool | None = None
    locked: bool | None = None
    tag_all: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    accept: bool = False
    cause: Cause = field(default_factory=Cause)
    verbosity: int = 0
    output: str = ""

    @property
    def changes_nothing(self) -> bool:
        """Whether no change was named."""
        return self.automated is None and self.locked is None and not self.tag_all and not self.tags


def register(app: typer.Typer) -> None:
    """Let the commands join the tree."""

    def add(name: str, about: str, command: Callable[..., None]) -> None:
        example = f"\n# By its full id\nkubectl flux {name} --workload=default:deployment/foo\n"
        app.command(name, help=about, epilog=example, rich_help_panel=PANEL, add_help_option=False)(command)

    add("automate", "Turn on automatic deployment for a workload.", automate)
    add("deautomate", "Turn off automatic deployment for a workload.", _simple(PolicyChange("", automated=False)))
    add("lock", "Lock a workload, so it cannot be deployed.", _simple(PolicyChange("", locked=True)))
    add("unlock", "Unlock a workload, so it can be deployed.", _simple(PolicyChange("", locked=False)))
    app.command("policy", epilog=EXAMPLES, rich_help_panel=PANEL, add_help_option=False)(policy)


def submit(settings: Globals, change: PolicyChange) -> None:
    """Let the agent commit the change, and show what becomes of it.

    Raises:
        PluginError: It failed, or the time is over.
    """
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    with connect(settings) as client:
        from kubectl_flux.change import Change  # noqa: PLC0415 - loads protobuf, while kubectl starts
        from kubectl_flux.outcomes import Shown  # noqa: PLC0415 - as above

        shown = Shown(change.verbosity, (change.workload,), change.output)
        Change(client, shown).follow(client.update_policies(as_message(replace(change, cause=change.cause.named()))))


def as_message(change: PolicyChange) -> pb.UpdatePoliciesRequest:
    """The change as the agent reads it; pure.

    As in Flux v1 a lock notes who locked and why, and unlocking forgets both.

    Args:
        change: With a user that is settled.
    """
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb  # noqa: PLC0415 - where the agent is asked

    user, message = change.cause.user or "", change.cause.message
    wanted: dict[str, str | None] = {}
    if change.automated is not None:
        wanted["automated"] = "true" if change.automated else None
    if change.locked is not None:
        wanted["locked"] = "true" if change.locked else None
        if change.locked and (user or message):
            wanted |= {"locked_user": user, "locked_msg": message} if user else {"locked_msg": message}
        elif not change.locked:
            wanted |= dict.fromkeys(("locked_user", "locked_msg"))
    wanted |= {f"tag.{name}": None if text == "*" else text for name, text in change.tags.items()}
    changed = pb.PolicyChange(
        workload=change.workload,
        set={name: value for name, value in wanted.items() if value is not None},
        remove=[name for name, value in wanted.items() if value is None],
        tag_all=change.tag_all,
        accept=change.accept,
    )
    return pb.UpdatePoliciesRequest(changes=[changed], cause=pb.Cause(user=user, message=message))


def automate(
    ctx: typer.Context,
    *,
    namespace: WorkloadNamespaceFlag = "",
    workload: _WorkloadFlag = "",
    controller: ControllerFlag = "",
    message: MessageFlag = "",
    user: UserFlag = None,
    verbose: VerboseFlag = 0,
    accept: Annotated[
        bool, typer.Option("--accept", help="Let images through again that somebody has rolled back")
    ] = False,
    output: ChangeFormatFlag = "",
) -> None:
    """Turn on automatic deployment for a workload."""
    found, cause = _workload(ctx, namespace, workload, controller), Cause(message, user)
    submit(ctx.obj, PolicyChange(found, automated=True, accept=accept, cause=cause, verbosity=verbose, output=output))


def _simple(what: PolicyChange) -> Callable[..., None]:
    """The command that makes this change of whichever workload it is given."""

    def command(
        ctx: typer.Context,
        *,
        namespace: WorkloadNamespaceFlag = "",
        workload: _WorkloadFlag = "",
        controller: ControllerFlag = "",
        message: MessageFlag = "",
        user: UserFlag = None,
        verbose: VerboseFlag = 0,
        output: ChangeFormatFlag = "",
    ) -> None:
        found, cause = _workload(ctx, namespace, workload, controller), Cause(message, user)
        submit(ctx.obj, replace(what, workload=found, cause=cause, verbosity=verbose, output=output))

    return command


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
    tag_all: _TagAllFlag = "",
    tag: _TagFlag = None,
    message: MessageFlag = "",
    user: UserFlag = None,
    verbose: VerboseFlag = 0,
    output: ChangeFormatFlag = "",
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
        output=output,
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
