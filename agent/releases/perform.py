"""Performing a change of git: plan it on what was just fetched, edit, commit, push; again where somebody was faster.

What to change is decided by pure functions (`calculate`, `policies`, `edit`); here they are given the repository and
the images, and their result is made a commit. A commit is pushed once or not at all: where a push ends without an
answer, the next fetch tells whether it arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.git.push import PushRaceError, PushRefusedError
from agent.git.trailers import finished_message
from agent.git.writer import EmptyChangeError, UneditableError
from agent.manifests.load import ManifestLoader
from agent.model.errors import GitError, NotReadyError, StoppedError
from agent.model.ids import WorkloadId
from agent.model.status import Mark
from agent.model.updates import (
    NO_CHANGES,
    ContainersSpec,
    Definition,
    Outcome,
    Plan,
    PoliciesSpec,
    ReleaseSpec,
    Spec,
)
from agent.model.workloads import WorkloadSnapshot
from agent.registry.library import Library
from agent.releases import accounts, calculate, policies, quarantine
from agent.releases.contents import PlannedEdit, edited_files
from agent.releases.contract import Asked, Done, Surroundings
from agent.releases.definitions import definitions
from agent.releases.inform import PATIENCE, Informant
from agent.releases.messages import accepting_message, commit_message
from agent.releases.notes import Note, write_note

ATTEMPTS = 6
"""Times that a change is planned anew because somebody pushed in between."""
PAUSE = 0.2
"""Seconds before the second attempt; twice as many before the third, and so on."""
LIFTED = "what was taken back may be released again"

Planner = Callable[[Sequence[Definition]], Plan]


@dataclass(frozen=True, slots=True)
class _Revision:
    """What is known of the revision that was looked at last, by its full id."""

    sha: str = ""
    definitions: tuple[Definition, ...] = ()
    blobs: Mapping[str, str] = field(default_factory=dict)
    """Of every file, by path."""
    memory: quarantine.Memory = field(default_factory=quarantine.Memory)
    marks: Mapping[quarantine.Key, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A change that is ready to be committed on a revision."""

    base: str
    plan: Plan
    contents: Mapping[str, bytes]
    accepted: frozenset[WorkloadId] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.contents or self.accepted)

    def without(self, path: str, reason: str) -> _Draft:
        """The same change without a file, and without the workloads in it."""
        plan = self.plan
        edits: tuple[PlannedEdit, ...] = (*plan.images, *plan.annotations)
        for edit in edits:
            if edit.path == path:
                plan = plan.without(edit.workload, reason)
        return replace(self, plan=plan, contents={key: self.contents[key] for key in self.contents if key != path})


@dataclass(slots=True)
class _Tries:
    """What became of the attempts so far."""

    sent: list[tuple[Done, Spec]] = field(default_factory=list)
    """Commits whose push had no answer."""
    trouble: GitError | None = None
    is_open: bool = False
    """Whether it is not known if the last one of them arrived."""

    def error(self) -> GitError:
        """Why the change is given up."""
        why = self.trouble.message if self.trouble else "nobody knows why"
        if self.is_open:
            commit = self.sent[-1][0].commit[:7]
            return GitError(
                f"it is not known whether commit {commit} has reached the git server: {why}",
                hint="look at the branch before you ask again",
                temporary=True,
            )
        late = "the branch does not have it now, but it may arrive late: look there before you ask again"
        return GitError(
            f"the change was given up after {ATTEMPTS} attempts: {why}",
            hint=late if self.sent else "nothing was changed; try again",
            temporary=True,
        )


class Performer:
    """Performs changes, one at a time; belongs to the one thread that writes to the repository."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._loader = ManifestLoader()
        self._known = _Revision()

    def perform(self, asked: Asked) -> Done:
        """Do what somebody asked for.

        Raises:
            UsageError: It makes no sense, such as an image that does not exist.
            GitError: It was not done; nothing was changed, unless the error says that this is not known.
            StoppedError: The agent is shutting down.
        """
        if isinstance(asked.spec, PoliciesSpec):
            asked = replace(asked, spec=policies.checked(asked.spec))
        return self._write(asked, self._planner(asked.spec))

    def automate(self, job_id: str, head: str) -> Done:
        """Release the newest image to every automated workload that does not run it; what is not known is asked for.

        The repository is fetched only where something is to be changed in the revision `head`.

        Raises:
            NotReadyError: The workloads of the cluster are not known yet.
            GitError: It was not done; nothing was changed, unless the error says that this is not known.
            StoppedError: The agent is shutting down.
        """
        informant, library = self._informant(0.0), self._library()

        def planner(found: Sequence[Definition]) -> Plan:
            rejected = quarantine.rejected(self._known.marks, found, library)
            plan = calculate.automate(found, informant.snapshot, library, rejected)
            library.ask(informant.wishes(plan))
            return plan

        asked = Asked(job_id, ReleaseSpec())
        draft = self._drafted(head, asked, planner)
        return Done(draft.plan.outcomes) if draft.is_empty else self._write(asked, planner, draft, automatic=True)

    def marks(self, revision: str) -> Mapping[quarantine.Key, Mark]:
        """What people took back, as of a revision.

        Raises:
            GitError: It cannot be read.
        """
        return self._load(revision).marks

    # -- attempts -----------------------------------------------------------------------------------------------------

    def _write(self, asked: Asked, planner: Planner, draft: _Draft | None = None, *, automatic: bool = False) -> Done:
        tries = _Tries()
        for attempt in range(ATTEMPTS):
            if attempt and self._around.stop.wait(PAUSE * attempt):
                raise StoppedError("flux-agent is shutting down")
            if (base := self._fetched(tries)) is None:
                continue
            if arrived := self._arrived(tries, base):
                return self._noted(asked, *arrived)
            if draft is None or draft.base != base:
                draft = self._drafted(base, asked, planner)
            done, spec = self._committed(asked, draft, automatic=automatic)
            if not done.commit:
                return done
            if self._pushed(done, spec, tries):
                return self._noted(asked, done, spec)
        if tries.is_open and (base := self._fetched(tries)) and (arrived := self._arrived(tries, base)):
            return self._noted(asked, *arrived)
        raise tries.error()

    def _fetched(self, tries: _Tries) -> str | None:
        """The head of the branch; None where it is to be tried again, because a commit may be there already."""
        try:
            return self._around.fetch()
        except GitError as error:
            if tries.is_open:
                tries.trouble = error
                return None
            raise GitError(
                f"the change was not made, because git could not be fetched: {error.message}",
                hint="nothing was changed; try again when the git server answers" if error.temporary else error.hint,
                temporary=error.temporary,
            ) from error

    def _arrived(self, tries: _Tries, head: str) -> tuple[Done, Spec] | None:
        """The commit of ours that is on the branch after all.

        Raises:
            GitError: None is, and trying again will not help.
        """
        for done, spec in tries.sent:
            if self._around.writer.is_on_branch(done.commit):
                return replace(done, head=head), spec
        if tries.is_open and tries.trouble is not None and not tries.trouble.temporary:
            raise tries.trouble
        tries.is_open = False
        return None

    def _pushed(self, done: Done, spec: Spec, tries: _Tries) -> bool:
        """Whether the server has the commit; false where it is to be tried again.

        Raises:
            PushRefusedError: The server does not take it.
        """
        try:
            self._around.writer.push(done.commit)
        except PushRefusedError:
            raise
        except PushRaceError as error:
            tries.trouble = error
        except GitError as error:
            tries.trouble, tries.is_open = error, True
            tries.sent.append((done, spec))
        else:
            return True
        return False

    # -- one attempt --------------------------------------------------------------------------------------------------

    def _drafted(self, base: str, asked: Asked, planner: Planner) -> _Draft:
        """The change as it is to be made on a revision."""
        revision, around = self._load(base), self._around

        def read(paths: Collection[str]) -> Mapping[str, bytes]:
            found = around.tree.read({revision.blobs[path] for path in paths})
            return {path: found[revision.blobs[path]] for path in paths}

        plan, contents = edited_files(planner(revision.definitions), read, around.default_namespace)
        marked = {id_ for id_, _ in revision.marks} & asked.accept
        accepted = frozenset(id_ for id_ in marked if id_ in plan.outcomes and plan.outcomes[id_].status != "failed")
        return _Draft(base, plan, contents, accepted)

    def _committed(self, asked: Asked, draft: _Draft, *, automatic: bool) -> tuple[Done, Spec]:
        """The commit, which nobody has seen yet; none where nothing is to be committed."""
        while True:
            spec: Spec = calculate.automatic_spec(draft.plan) if automatic else asked.spec
            done = Done(_with_lifted(draft.plan, draft.accepted).outcomes)
            if asked.dry_run or draft.is_empty:
                return done, spec
            try:
                commit = self._commit(asked, spec, draft)
            except EmptyChangeError:
                return done, spec
            except UneditableError as error:
                draft = draft.without(error.path, str(error))
            else:
                return replace(done, commit=commit, head=commit), spec

    def _commit(self, asked: Asked, spec: Spec, draft: _Draft) -> str:
        style, writer, plan = self._around.style, self._around.writer, draft.plan
        author = writer.author(asked.cause.user, draft.base) if style.set_author and asked.cause.user else None
        message = commit_message(spec, plan.outcomes, asked.cause.message) or accepting_message(draft.accepted)
        found, snapshot = self._load(draft.base).definitions, self._around.workloads()
        told = (
            *accounts.trailers(asked, spec, plan, draft.accepted),
            *accounts.taken_back(spec, plan, found, snapshot, self._around.library),
        )
        text = finished_message(message, told, style.ci_skip)
        return writer.commit(draft.base, draft.contents, text, author, allow_empty=not draft.contents)

    def _noted(self, asked: Asked, done: Done, spec: Spec) -> Done:
        """Leave a note on the commit; that it cannot be sent is told and fails nothing, for the commit is there."""
        notes = self._around.notes
        trouble: Exception | None
        try:
            notes.write(done.commit, write_note(Note(asked.job_id, spec, asked.cause, done.outcomes)))
            trouble = notes.push()
        except (GitError, StoppedError, OSError) as error:
            trouble = error
        return replace(done, notices=(*done.notices, f"the note could not be sent: {trouble}")) if trouble else done

    # -- what is known ------------------------------------------------------------------------------------------------

    def _load(self, sha: str) -> _Revision:
        if self._known.sha != sha:
            around, known = self._around, self._known
            files = list(around.tree.files(sha, around.paths))
            loaded = self._loader.load(files, around.tree.read)
            found = definitions(loaded.manifests, around.default_namespace)
            goes_on, records = around.records.since(known.sha, sha)
            memory = quarantine.remembered(known.memory if goes_on else quarantine.Memory(), records)
            if not goes_on:
                memory = quarantine.kept(memory, known.marks)
            blobs = {file.path: file.sha for file in files}
            self._known = _Revision(sha, found, blobs, memory, quarantine.marks(memory, found))
        return self._known

    def _planner(self, spec: ReleaseSpec | ContainersSpec | PoliciesSpec) -> Planner:
        """What plans a change; an image that it names is looked for first."""
        if isinstance(spec, PoliciesSpec):
            return lambda found: policies.update_policies(spec, found)
        if isinstance(spec, ContainersSpec):
            return lambda found: calculate.release_picked(spec, found, self._workloads())
        informant = self._informant(time.monotonic() + PATIENCE)
        if spec.image is not None:
            informant.find(spec.image)
        library, snapshot = informant.library, informant.snapshot
        return lambda found: informant.settled(lambda: calculate.release(spec, found, snapshot, library))

    def _informant(self, deadline: float) -> Informant:
        around = self._around
        return Informant(self._library(), self._workloads(), around.default_namespace, around.stop, deadline)

    def _library(self) -> Library:
        """What is known of images.

        Raises:
            NotReadyError: Registries are not scanned.
        """
        if self._around.library is None:
            raise NotReadyError(
                "registries are not scanned, so no image can be found", hint="start without --registry-disable-scanning"
            )
        return self._around.library

    def _workloads(self) -> WorkloadSnapshot:
        """What the cluster runs.

        Raises:
            NotReadyError: It is not known yet.
        """
        snapshot = self._around.workloads()
        if snapshot.not_ready:
            raise NotReadyError(snapshot.not_ready, hint="nothing was changed; try again in a moment", temporary=True)
        return snapshot


def _with_lifted(plan: Plan, accepted: Collection[WorkloadId]) -> Plan:
    """The plan as it is told: to lift a mark is a change, also where nothing else changes."""
    lifted = {id_: plan.outcomes[id_] for id_ in accepted}
    told = {
        id_: Outcome("success", detail=(LIFTED,)) if outcome.reason == NO_CHANGES else outcome
        for id_, outcome in lifted.items()
    }
    return replace(plan, outcomes={**plan.outcomes, **told})
