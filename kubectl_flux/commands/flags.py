"""The flags that several commands have in common, declared once, and what each of them means together with another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.errors import UsageError
from kubectl_flux.output import tell
from kubectl_flux.workload_ids import qualified

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubectl_flux.options import Globals

NamespaceFlag = Annotated[
    str, typer.Option("--namespace", "-n", metavar="string", help="Namespace to query, else the context's")
]
WorkloadNamespaceFlag = Annotated[
    str, typer.Option("--namespace", "-n", metavar="string", help="Workload namespace, else the context's")
]
AllNamespacesFlag = Annotated[bool, typer.Option("--all-namespaces", "-a", "-A", help="Query across all namespaces")]
FormatFlag = Annotated[
    str,
    typer.Option(
        "--output-format",
        "--output",
        "-o",
        metavar="string",
        show_default='"tab"',
        help="Output format: tab (or table), wide, json, yaml or name",
    ),
]
NoHeadersFlag = Annotated[bool, typer.Option("--no-headers", help="Don't print headers")]
ControllerFlag = Annotated[str, typer.Option("--controller", "-c", metavar="string", hidden=True)]
MessageFlag = Annotated[str, typer.Option("--message", "-m", metavar="string", help="Attach a message to the update")]
UserFlag = Annotated[
    str | None,
    typer.Option(
        "--user",
        metavar="string",
        show_default="the user.name and user.email of git config",
        help="Override the user reported as initiating the update",
    ),
]
VerboseFlag = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="Include skipped (-v) and ignored (-vv) workloads in the result",
    ),
]


def _check_change_format(output: str) -> str:
    """Refuse a format in which no change is told.

    Raises:
        UsageError: It is none.
    """
    if output not in ("", "json", "yaml"):
        raise UsageError("invalid output format specified", hint="It is json or yaml, or nothing for a table.")
    return output


ChangeFormatFlag = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="string",
        callback=_check_change_format,
        help="Output format: json or yaml, at the end",
    ),
]


@dataclass(frozen=True, slots=True)
class Cause:
    """Who asks for a change and why; `user` is None where git's configuration names the person."""

    message: str = ""
    user: str | None = None

    def named(self) -> Cause:
        """The same with its user settled: asks git where none was given."""
        if self.user is not None:
            return self
        from kubectl_flux.gituser import configured_user  # noqa: PLC0415 - runs git; only where somebody is needed

        return Cause(self.message, configured_user())


def of_old_name(workload: str, controller: str, *, clash: str = "workload") -> str:
    """The workload given by `--workload`, or by its old name `--controller`, which is told to be old.

    Raises:
        UsageError: Both were given.
    """
    if not controller:
        return workload
    tell_old_name()
    if workload:
        raise UsageError(f"can't specify both the controller and {clash}")
    return controller


def tell_old_name() -> None:
    """Say that `--controller` is an old name."""
    tell("Flag --controller has been deprecated, changed to --workload, use that instead")


def workload_ids(settings: Globals, namespace: str, given: Iterable[str]) -> tuple[str, ...]:
    """The ids with their namespaces: the one in the id, else this, else the context's, else `default`.

    Raises:
        UsageError: One of them is no workload id.
    """
    return tuple(qualified(text, lambda: namespace or own_namespace(settings)) for text in given)


def own_namespace(settings: Globals) -> str:
    """The namespace of the kubeconfig's context."""
    from kubectl_flux.kubeconfig import context_namespace  # noqa: PLC0415 - reads YAML; only where none was given

    return context_namespace(settings.cluster)
