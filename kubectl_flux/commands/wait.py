"""`wait`: wait until a commit is applied and its workloads are rolled out."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from kubectl_flux.errors import UsageError
from kubectl_flux.output import columns_of, go_json

DEFAULT_SECONDS = 300.0
GOALS = ("ready", "synced")

EXAMPLES = """
# In a checkout: wait until the commit that was just pushed is rolled out
kubectl flux wait --commit "$(git rev-parse HEAD)"

# Only until it is applied
kubectl flux wait --commit "$(git rev-parse HEAD)" --for=synced

# The newest commit that the agent has seen, with more time, for a script
kubectl flux wait --timeout=15m -o json
"""

_CommitFlag = Annotated[
    str,
    typer.Option(
        "--commit",
        metavar="ref",
        help="The commit to wait for: its id, whole or abbreviated, the branch or the sync tag; "
        "else the newest that the agent has seen",
    ),
]
_ForFlag = Annotated[
    str,
    typer.Option(
        "--for",
        metavar="string",
        show_default='"ready"',
        help="ready: applied, and every workload is rolled out; synced: applied",
    ),
]
_NamespaceFlag = Annotated[
    str, typer.Option("--namespace", "-n", metavar="string", help="Only what is in this namespace counts")
]
_FormatFlag = Annotated[
    str, typer.Option("--output", "-o", metavar="string", help="json: print how far the commit has come, at the end")
]


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("wait", epilog=EXAMPLES, rich_help_panel="Syncing Commands", add_help_option=False)(wait)


def wait(
    ctx: typer.Context,
    commit: _CommitFlag = "",
    goal: _ForFlag = "ready",
    namespace: _NamespaceFlag = "",
    output: _FormatFlag = "",
) -> None:
    """Wait until a commit is applied and its workloads are rolled out.

    A later commit stands for the earlier ones. Fails at once where files or objects of the commit failed, and where
    the cluster gives a rollout up. Waits for 5 minutes, or for --timeout.
    """
    _check(commit, goal, output)
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    seconds = ctx.obj.timeout if ctx.obj.timeout_given else DEFAULT_SECONDS
    with connect(ctx.obj, timeout=seconds) as client:
        from kubectl_flux.follow import Follower, Teller  # noqa: PLC0415 - loads protobuf, while kubectl starts
        from kubectl_flux.progress import Goal, as_data  # noqa: PLC0415 - as above

        follower = Follower(client, commit, Goal(goal == "synced", namespace), Teller(columns_of(sys.stderr)))
        try:
            follower.run()
        finally:
            if output and follower.last is not None:
                sys.stdout.write(go_json(as_data(follower.last)))


def _check(commit: str, goal: str, output: str) -> None:
    if goal not in GOALS:
        raise UsageError(f'invalid argument "{goal}" for "--for" flag: it is one of {", ".join(GOALS)}')
    if output not in ("", "json"):
        raise UsageError("invalid output format specified", hint="It is json, or nothing.")
    if commit.upper() == "HEAD":
        raise UsageError(
            "HEAD means something in your checkout only",
            hint='Give the commit\'s id: --commit "$(git rev-parse HEAD)"',
        )
