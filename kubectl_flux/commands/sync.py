"""`sync`: bring the cluster to what git says, now, and tell what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_flux.errors import PluginError
from kubectl_flux.output import tell

if TYPE_CHECKING:
    from kubectl_flux.client import FluxClient
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

SHORT_REVISION = 7
MOST_NOTES = 10
NO_REPOSITORY = "no git repository is configured"

EXAMPLES = """
# Sync, and wait until every object was attempted
kubectl flux sync

# The same for a large repository
kubectl flux sync --timeout=10m

# Let deletions through that an earlier sync held
kubectl flux sync --allow-deletions=3f9a0c51b2d7
"""


def register(app: typer.Typer) -> None:
    """Let the command join the tree."""
    app.command("sync", epilog=EXAMPLES, rich_help_panel="Syncing Commands", add_help_option=False)(sync)


_AllowDeletionsFlag = Annotated[
    str,
    typer.Option(
        "--allow-deletions",
        metavar="hash",
        help="Let exactly the deletions through that an earlier sync held under this hash",
    ),
]


def sync(ctx: typer.Context, allow_deletions: _AllowDeletionsFlag = "") -> None:
    """Synchronize the cluster with the git repository, now.

    Fails where any file or object failed, and names each with its place in the repository and its commit. Deletions
    that wait for approval are told and are no failure.
    """
    from kubectl_flux.client import connect  # noqa: PLC0415 - not needed for help and wrong usage

    with connect(ctx.obj) as client:
        repository = client.repository()
        if not repository.url:
            raise _unconfigured(repository.error)
        tell(f"Synchronizing with {repository.url}")
        job = _followed(client, client.sync(allow_deletions), repository.branch)
    for line in aftermath(job, allow_deletions):
        tell(line)
    error = error_of(job)
    if error is not None:
        raise error
    tell("Done.")


def aftermath(job: pb.Job, allowed: str = "") -> Iterable[str]:
    """What there is to tell of a finished job, beside whether it succeeded; pure.

    Args:
        job: The job, ended.
        allowed: The hash whose deletions were let through; empty for none.
    """
    done = job.sync
    yield from map(failure_line, done.failures)
    if done.summary.failed > len(done.failures):
        yield "Note: what failed in namespaces that you may not see is left out"
    if done.pending_deletions:
        count = len(done.pending_deletions)
        yield f"{count} object{'s' * (count != 1)} left git and {'wait' if count != 1 else 'waits'} for deletion:"
        yield from (f"  {held.object}: {held.reason}" for held in done.pending_deletions)
    if allowed and fits_nothing(done, allowed):
        yield f"Warning: the hash {allowed} fits nothing that is held now"
    if done.deletions_hash:
        yield f"To let what is held go: kubectl flux sync --allow-deletions {done.deletions_hash}"
    if done.marker_error:
        yield f"Warning: the marker of what is synced could not be moved: {done.marker_error}"
    if done.summary.remaining:
        yield f"{done.summary.remaining} objects were not reached in time; the agent goes on with them"
    yield from notes(done.notices)


def notes(notices: Sequence[str]) -> Iterable[str]:
    """Each notice on one line, and how many more there are than are told."""
    yield from (f"Note: {' '.join(notice.split())}" for notice in notices[:MOST_NOTES])
    if len(notices) > MOST_NOTES:
        yield f"and {len(notices) - MOST_NOTES} more"


def fits_nothing(done: pb.SyncJob, allowed: str) -> bool:
    """Whether a sync that got as far as deletions let none through by this hash.

    Where other deletions are held under another hash that is certain; where nothing is held, nothing may have gone,
    failed or waited either.
    """
    if done.deletions_hash:
        return done.deletions_hash != allowed
    reached = done.HasField("summary") and not done.summary.error
    return reached and not (done.summary.deleted or done.pending_deletions or done.failures)


def failure_line(failure: pb.Failure) -> str:
    """One failed object or file: what, where it stands, why, and whose commit brought it."""
    place = f"{failure.path}:{failure.line}" if failure.line else failure.path
    what = f"{failure.object} ({place})" if failure.object and place else failure.object or place
    author = f" by {failure.author}" if failure.author else ""
    blame = f" (commit {failure.commit[:SHORT_REVISION]}{author})" if failure.commit else ""
    return f"{what}: {' '.join(failure.reason.split())}{blame}"


def error_of(job: pb.Job) -> PluginError | None:
    """Why the command fails; None where it does not."""
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb  # noqa: PLC0415 - loaded by now: the job is made of it

    count = len(job.sync.failures)
    if count:
        revision = job.sync.revision[:SHORT_REVISION]
        what = "one file or object" if count == 1 else f"{count} files or objects"
        hint = job.hint or "Mend what is named above in git; everything else was synced."
        return PluginError(f"{what} of {revision} failed", hint=hint)
    if job.state == pb.JOB_STATE_FAILED:
        return PluginError(job.error or job.sync.summary.error or "the sync failed", hint=job.hint)
    return None


def _unconfigured(error: str) -> PluginError:
    """The refusal where there is no repository; the agent's own words say what to do."""
    return PluginError(error) if error else PluginError(NO_REPOSITORY, hint="Start the agent with --git-url.")


def _followed(client: FluxClient, job_id: str, branch: str) -> pb.Job:
    """Follow a job to its end, telling which revision it applies as soon as that is known."""
    from kubectl_flux.wait import states_of  # noqa: PLC0415 - loaded by now, with the client

    told = False
    for job in states_of(client, job_id, client.deadline):
        revision = job.sync.revision[:SHORT_REVISION]
        if revision and not told:
            tell(f"Revision of {job.sync.branch or branch} to apply is {revision}")
            tell(f"Waiting for {revision} to be applied ...")
            told = True
    return job
