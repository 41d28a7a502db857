"""Follows one change of git through the agent: its job, its commit, and what the cluster makes of that.

What became of the workloads goes to stdout, as Flux v1 printed it, everything else to stderr. Ending the plugin ends
nothing in the agent: a change that was asked for is done.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn, Protocol

from kubectl_flux.errors import NotFoundError, PluginError, TimedOutError, without_hint
from kubectl_flux.follow import Follower, Revisions, Teller, Tells
from kubectl_flux.outcomes import Shown, as_data, changed, error_of, notes, rows, short_commit, table_of
from kubectl_flux.output import columns_of, go_json, tell, yaml_text
from kubectl_flux.progress import Entry, Goal
from kubectl_flux.rollout import Lists, RolloutTable
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.wait import Jobs, states_of

if TYPE_CHECKING:
    from collections.abc import Iterable

GOES_ON = (
    "The agent goes on with it: kubectl flux status tells what it makes of git, and git's log whether it was done."
)
IN_GIT = "The commit is in git, and the agent goes on with it."
OTHERS_FAILED = "What was changed here is applied; mend what is named above in git."
RESTARTED = "The agent was restarted and does not know the job yet; waiting until it has read git ..."


class Changes(Jobs, Revisions, Lists, Protocol):
    """Who can be asked all of it."""


class Change:
    """One change that the agent was asked for.

    Args:
        client: Is asked.
        shown: What to show of it, and how.
    """

    def __init__(self, client: Changes, shown: Shown) -> None:
        self._client = client
        self._shown = shown
        self._progress: pb.RevisionProgress | None = None
        self._ready = False
        self.job = pb.Job()
        """The job as it stood last."""

    def follow(self, job_id: str, *, applied: bool = False, watch: bool = False) -> None:
        """See the change through and show what becomes of it.

        Args:
            job_id: Its job.
            applied: Whether to wait until its commit is applied.
            watch: Whether to wait until the workloads that it changes are rolled out.

        Raises:
            PluginError: It failed, wholly or in part, or the time is over.
        """
        self.job.id = job_id
        try:
            self.finish(job_id)
            self._tell_outcome()
            error = error_of(self.job, self._shown)
            if applied and self.job.change.commit:
                self._wait_until_applied()
                if watch:
                    self._watch()
            if error is not None:
                raise error
        finally:
            self._print_data()

    def finish(self, job_id: str) -> pb.Job:
        """Wait for the job's end and show nothing; returns how it ended.

        Raises:
            TimedOutError: The time was over first.
            NotFoundError: The agent was restarted meanwhile, and git has nothing of the job.
        """
        try:
            for job in states_of(_Restarts(self._client), job_id, self._client.deadline, recalled=True):
                self.job = job
        except TimedOutError as error:
            raise TimedOutError(error.message, hint=GOES_ON) from error
        except NotFoundError as error:
            raise NotFoundError(
                f"{without_hint(error.message)}, and its branch in git has no commit of it",
                hint="The agent was restarted meanwhile. Unless git's log says otherwise nothing was done: try again.",
            ) from error
        return self.job

    def explain(self) -> NoReturn:
        """Show why nothing can be changed.

        Raises:
            PluginError: Always.
        """
        self._tell_outcome()
        raise error_of(self.job, self._shown) or PluginError("there is nothing to choose", hint="The table tells why.")

    def _tell_outcome(self) -> None:
        told = rows(self.job, self._shown)
        if not self._shown.output and (told or self.job.state == pb.JOB_STATE_SUCCEEDED):
            sys.stdout.write(table_of(told))
            sys.stdout.flush()
        for note in notes(self.job, told, self._shown):
            tell(note)
        if self.job.change.commit:
            tell(f"Commit pushed:\t{short_commit(self.job)}")

    def _wait_until_applied(self) -> None:
        """Wait for the commit; nothing of it may fail.

        Raises:
            PluginError: Something failed, or the time is over.
        """
        commit = short_commit(self.job)
        command = f"kubectl flux wait --for=synced --commit {commit}"
        try:
            self._run(Goal(synced=True), _Hindrances(columns_of(sys.stderr)), command)
        except PluginError as error:
            failed = {failure.object for failure in self._progress.failures} if self._progress else set()
            if failed and "" not in failed and not failed & changed(self.job):
                error.hint = OTHERS_FAILED
            raise
        tell(f"Commit applied:\t{commit}")

    def _watch(self) -> None:
        """Wait for the rollouts of what was changed.

        Raises:
            PluginError: One failed, or the time is over.
        """
        workloads = changed(self.job)
        tell("Monitoring rollout ...")
        if workloads:
            stream = sys.stderr if self._shown.output else sys.stdout
            table = RolloutTable(self._client, workloads, verbose=self._shown.verbosity > 0, stream=stream)
            self._run(Goal(workloads=workloads), table, f"kubectl flux wait --commit {short_commit(self.job)}")
        self._ready = True
        tell("All workloads ready.")

    def _run(self, goal: Goal, teller: Tells, command: str) -> None:
        follower = Follower(self._client, self.job.change.commit, goal, teller, announced=True)
        try:
            follower.run()
        except TimedOutError as error:
            raise TimedOutError(error.message, hint=f"{IN_GIT} To wait for more: {command}") from error
        finally:
            self._progress = follower.last or self._progress

    def _print_data(self) -> None:
        if not self._shown.output:
            return
        data = as_data(self.job, self._progress, ready=self._ready)
        sys.stdout.write(go_json(data) if self._shown.output == "json" else yaml_text(data))


class _Hindrances(Teller):
    """Shows what is in the way, on a terminal only: Flux v1 told nothing between a commit's push and its end."""

    def show(self, story: Iterable[Entry]) -> None:
        """Tell what is waited for."""
        if self.columns:
            super().show(entry for entry in story if not entry.stays)


class _Restarts:
    """Asks for a job, and says once that the agent does not know it any more."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._told = False

    def job(self, job_id: str, after_version: int, wait: float) -> pb.Job:
        """The job, once it has moved past this version or after `wait` seconds."""
        try:
            return self._jobs.job(job_id, after_version, wait)
        except NotFoundError:
            if not self._told:
                self._told = True
                tell(RESTARTED)
            raise
