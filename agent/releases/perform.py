"""Performing a change of git: plan it on what was just fetched, edit, commit, push; again where somebody was faster.

What to change is decided by pure functions (`calculate`, `policies`, `edit`); here they are given the repository and
the images, and their result is made a commit. A commit is pushed once or not at all: where a push ends without an
answer, the next fetch tells whether it arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from agent.git.push import PushRaceError, PushRefusedError
from agent.git.trailers import finished_message
from agent.git.writer import EmptyChangeError
from agent.manifests.load import ManifestLoader
from agent.model.errors import GitError, NotReadyError, UsageError
from agent.model.ids import WorkloadId
from agent.model.status import Mark
from agent.model.updates import (
    AutomaticSpec,
    ContainerChange,
    ContainersSpec,
    Definition,
    Plan,
    PoliciesSpec,
    ReleaseSpec,
    Spec,
)
from agent.model.workloads import Workload
from agent.registry.demand import pattern_of, reference_of
from agent.registry.library import Library, Wish
from agent.registry.records import PullScope
from agent.releases import calculate, policies, quarantine
from agent.releases.contents import edited_files
from agent.releases.contract import Asked, Done, Surroundings
from agent.releases.definitions import definitions
from agent.releases.messages import commit_message
from agent.releases.notes import Note, write_note

ATTEMPTS = 6
"""Times that a change is planned anew because somebody pushed in between."""
PAUSE = 0.2
PATIENCE = 20.0
"""Seconds that a release waits for what has to be found out about images."""


Planner = Callable[[Sequence[Definition]], Plan]


class Performer:
    """Performs changes, one at a time; belongs to the one thread that writes to the repository."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._loader = ManifestLoader()
        self._marks: Mapping[quarantine.Key, Mark] = {}
        self._known: tuple[str, tuple[Definition, ...], Mapping[str, str]] = ("", (), {})

    def perform(self, asked: Asked) -> Done:
        """Do what somebody asked for.

        Raises:
            UsageError: It makes no sense, such as an image that does not exist.
            GitError: It was not done; nothing was changed.
            StoppedError: The agent is shutting down.
        """
        spec = asked.spec
        if isinstance(spec, PoliciesSpec):
            planner: Planner = lambda found: policies.update_policies(spec, found)  # noqa: E731 # one of three
        elif isinstance(spec, ContainersSpec):
            planner = lambda found: calculate.release_picked(spec, found, self._around.workloads())  # noqa: E731
        else:
            self._find_image(spec)
            planner = lambda found: self._informed(spec, found)  # noqa: E731
        return self._write(asked, planner)

    def automate(self, job_id: str, head: str) -> Done:
        """Release the newest image to every automated workload that does not run it; what is not known is asked for.

        The repository is fetched only where something is to be changed in the revision `head`.

        Raises:
            GitError: It was not done; nothing was changed.
            StoppedError: The agent is shutting down.
        """
        library = self._library()

        def planner(found: Sequence[Definition]) -> Plan:
            rejected = quarantine.rejected(self._marks, found, library)
            plan = calculate.automate(found, self._around.workloads(), library, rejected)
            library.ask(self._wishes(plan))
            return plan

        plan = planner(self.definitions(head))
        if not plan.changes_git:
            return Done(plan.outcomes)
        return self._write(Asked(job_id, ReleaseSpec()), planner, automatic=True)

    def definitions(self, revision: str) -> tuple[Definition, ...]:
        """The workloads of a revision.

        Raises:
            GitError: It cannot be read.
        """
        return self._load(revision)[0]

    def marks(self, revision: str) -> Mapping[quarantine.Key, Mark]:
        """What people took back, as of a revision.

        Raises:
            GitError: It cannot be read.
        """
        self._load(revision)
        return self._marks

    def _write(self, asked: Asked, planner: Planner, *, automatic: bool = False) -> Done:
        unanswered: tuple[Done, Spec] | None = None
        for attempt in range(ATTEMPTS):
            if attempt and self._around.stop.wait(PAUSE * attempt):
                break
            base = self._around.fetch()
            if unanswered and self._around.writer.is_on_branch(unanswered[0].commit):
                return self._noted(asked, *unanswered)
            plan, contents = self._edited(base, planner(self.definitions(base)))
            spec: Spec = calculate.automatic_spec(plan) if automatic else asked.spec
            done = Done(plan.outcomes)
            accepted = any(id_ in asked.accept for id_, _ in self._marks)
            if asked.dry_run or not (contents or accepted):
                return done
            try:
                commit = self._commit(base, asked, spec, (plan, contents))
            except EmptyChangeError:
                return done
            done, unanswered = replace(done, commit=commit), None
            try:
                self._around.writer.push(commit)
            except PushRaceError:
                continue
            except PushRefusedError:
                raise
            except GitError as error:
                if not error.temporary:
                    raise
                unanswered = (done, spec)
                continue
            return self._noted(asked, done, spec)
        raise GitError(
            f"the change was planned {ATTEMPTS} times, and each time the branch had moved or the server did not answer",
            hint="nothing was changed; try again",
            temporary=True,
        )

    def _commit(self, base: str, asked: Asked, spec: Spec, made: tuple[Plan, Mapping[str, bytes]]) -> str:
        plan, contents = made
        style, writer = self._around.style, self._around.writer
        author = writer.author(asked.cause.user, base) if style.set_author and asked.cause.user else None
        message = commit_message(spec, plan.outcomes, asked.cause.message)
        trailers = (*_trailers(asked, spec, plan), *self._taken_back(spec, plan))
        return writer.commit(
            base, contents, finished_message(message, trailers, style.ci_skip), author, allow_empty=not contents
        )

    def _taken_back(self, spec: Spec, plan: Plan) -> Iterable[tuple[str, str]]:
        """Marks for containers that somebody sets back to an older image which automation would replace again."""
        library = self._around.library
        if library is None or not isinstance(spec, ReleaseSpec | ContainersSpec) or not plan.changes:
            return
        after = [_changed(each, plan.changes[each.id]) for each in self._known[1] if each.id in plan.changes]
        again = calculate.automate(after, self._around.workloads(), library, {}).changes
        for id_, changes in again.items():
            before = {change.container: change for change in plan.changes[id_]}
            for change in changes:
                order = pattern_of(change.container, next(each.policies for each in after if each.id == id_)).order
                done = before.get(change.container)
                if done is not None and quarantine.is_rollback(done, library.ordered(change.target, order)):
                    yield quarantine.REJECTED, f"{id_} {change.container} {change.target}"

    def _noted(self, asked: Asked, done: Done, spec: Spec) -> Done:
        """Leave a note on the commit; that it cannot be sent is told and fails nothing."""
        notes = self._around.notes
        try:
            notes.write(done.commit, write_note(Note(asked.job_id, spec, asked.cause, done.outcomes)))
            trouble = notes.push()
        except GitError as error:
            trouble = error
        return replace(done, notices=(*done.notices, f"the note could not be sent: {trouble}")) if trouble else done

    def _load(self, revision: str) -> tuple[tuple[Definition, ...], Mapping[str, str]]:
        """The workloads of a revision, and the blobs of its files by path."""
        if self._known[0] != revision:
            around = self._around
            files = list(around.tree.files(revision, around.paths))
            loaded = self._loader.load(files, around.tree.read)
            found = definitions(loaded.manifests, around.default_namespace)
            records = [quarantine.Record(*each) for each in around.records.before(revision)]
            self._marks = quarantine.marks(records, found)
            self._known = (revision, found, {file.path: file.sha for file in files})
        return self._known[1], self._known[2]

    def _edited(self, base: str, plan: Plan) -> tuple[Plan, dict[str, bytes]]:
        """The new contents by path, and the plan without what cannot be edited safely."""
        blobs, around = self._load(base)[1], self._around

        def read(paths: Collection[str]) -> Mapping[str, bytes]:
            found = around.tree.read({blobs[path] for path in paths})
            return {path: found[blobs[path]] for path in paths}

        return edited_files(plan, read, around.default_namespace)

    # -- images -------------------------------------------------------------------------------------------------------

    def _informed(self, spec: ReleaseSpec, found: Sequence[Definition]) -> Plan:
        """The plan of a release, once what it has to know about images is found out, or time is over."""
        library, snapshot = self._library(), self._around.workloads()
        deadline, tried = time.monotonic() + PATIENCE, 0
        while True:
            plan = calculate.release(spec, found, snapshot, library)
            left = deadline - time.monotonic()
            if not plan.wanted or left <= 0 or tried > 3 or self._around.stop.is_set():
                return plan
            library.fetch(self._wishes(plan), left, self._around.stop.is_set)
            tried += 1

    def _find_image(self, spec: ReleaseSpec) -> None:
        """See to it that an image that somebody names is known, though it may have been pushed a moment ago."""
        if spec.image is None:
            return
        library = self._library()
        try:
            calculate.existing(spec.image, library)
        except UsageError:
            wish = Wish(spec.image, self._scope_of_image(spec.image.canonical_name))
            library.fetch([wish], PATIENCE, self._around.stop.is_set)
            library.rescan(spec.image.canonical_name)
            library.wait(spec.image, PATIENCE, self._around.stop.is_set)

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

    def _wishes(self, plan: Plan) -> list[Wish]:
        running = {item.id: item for item in self._around.workloads().workloads}
        return [Wish(each.image, _scope(running.get(each.workload), each.workload), each.tags) for each in plan.wanted]

    def _scope_of_image(self, name: str) -> PullScope:
        """The rights of the first workload that runs an image of this repository."""
        for item in self._around.workloads().workloads:
            for container in item.containers:
                image = reference_of(container)
                if image is not None and image.canonical_name == name:
                    return _scope(item, item.id)
        return PullScope(self._around.default_namespace)


def _scope(workload: Workload | None, id_: WorkloadId) -> PullScope:
    if workload is None:
        return PullScope(id_.namespace)
    return PullScope(id_.namespace, workload.pull_secrets, workload.service_account)


def _changed(definition: Definition, changes: Iterable[ContainerChange]) -> Definition:
    """The definition as it is after the changes."""
    targets = {change.container: str(change.target) for change in changes}
    containers = (replace(each, image=targets.get(each.name, each.image)) for each in definition.containers)
    return replace(definition, containers=tuple(containers))


def _trailers(asked: Asked, spec: Spec, plan: Plan) -> Iterable[tuple[str, str]]:
    """Who asked and what changed, for programs."""
    kinds = {AutomaticSpec: quarantine.AUTOMATION, PoliciesSpec: "policies"}
    yield "Flux-Job", asked.job_id
    yield quarantine.KIND, kinds.get(type(spec), "release")
    yield "Flux-Requested-By", asked.caller
    yield "Flux-Credential", asked.credential_id
    yield "Flux-User", asked.cause.user
    for id_, changes in plan.changes.items():
        for change in changes:
            yield quarantine.UPDATED, f"{id_} {change.container} {change.current} {change.target}"
    for id_ in sorted(asked.accept, key=str):
        yield quarantine.ACCEPTED, str(id_)
