"""What the tests of changes of git share: a real repository, a mirror of it, a library filled by hand, a performer."""

from __future__ import annotations

import re
import threading

from git_remote import Remote, git
from release_standins import Shelf

from agent.git.mirror import Mirror
from agent.git.notes import Notes
from agent.git.records import Records
from agent.git.trailers import trailers_of
from agent.git.writer import Writer
from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.updates import PoliciesSpec, PolicyUpdate, ReleaseSpec
from agent.model.workloads import Workload, WorkloadSnapshot
from agent.releases.contract import Asked, Style, Surroundings
from agent.releases.perform import Performer
from agent.settings import GitSettings

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}  # {name}'s own
  namespace: {namespace}
  annotations: {annotations}
spec:
  template:
    spec:
      containers:
      - name: web
        image: "{image}"  # bumped by flux
"""
_APPS = re.compile(r"name: (\S+)  #.*\n  namespace: (\S+)")


def app(name, image="acme/shop:1.0.0", namespace="demo", **policies):
    """A Deployment as people write it; `__` in a policy is a dot."""
    notes = ", ".join(f'fluxcd.io/{key.replace("__", ".")}: "{value}"' for key, value in policies.items())
    return APP.format(name=name, namespace=namespace, image=image, annotations=f"{{{notes}}}")


def automated(name, image="acme/shop:1.0.0", pattern="semver:~1", **policies):
    return app(name, image, automated="true", tag__web=pattern, **policies)


class Library(Shelf):
    """A library that remembers what it was asked to find out; `push` is an image that is found by listing again."""

    def __init__(self, images, broken=None):
        super().__init__(images, broken)
        self.asked, self.fetched, self.listed, self.unseen = [], [], [], {}

    def push(self, name, **tags):
        self.unseen[Reference.parse(name).canonical_name] = Shelf({name: tags}).images.popitem()[1]

    def ask(self, wishes):
        self.asked += [wish.image.canonical_name for wish in wishes]

    def fetch(self, wishes, patience, over):
        for wish in wishes:
            self.fetched.append(wish.image.canonical_name)
            self.rescan(wish.image.canonical_name)

    def rescan(self, name):
        self.listed.append(name)
        self.images.setdefault(name, {}).update(self.unseen.pop(name, {}))

    def wait(self, image, patience, over):
        pass


class Bench:
    """A git server, the agent's mirror of it, and what performs changes; everything that git defines also runs."""

    def __init__(self, folder, images=None, **settings):
        self.folder, self.remote, self.stop = folder, Remote(folder / "server"), threading.Event()
        self.settings = GitSettings(url=self.remote.url, **settings)
        self.library, self.style, self.fetches = Library(images or {}), Style(), 0
        self.before_push, self.defined, self.absent, self.not_ready = [], set(), set(), ""
        self.restart()

    def restart(self, cache="mirror"):
        """A fresh agent over the same history."""
        self.mirror = Mirror(self.settings, self.folder / cache, self.stop)
        self.writer, self.notes = Writer(self.mirror, self.settings), Notes(self.mirror, self.settings)
        self.records = Records(self.mirror.repository)
        self.performer = Performer(self.surroundings())

    def surroundings(self, **changed):
        around = {
            "tree": self.mirror,
            "writer": self,
            "notes": self.notes,
            "records": self.records,
            "fetch": self.fetch,
            "workloads": self.snapshot,
            "library": self.library,
            "style": self.style,
            "stop": self.stop,
        }
        return Surroundings(**(around | changed))

    def use(self, **changed):
        """A performer in other surroundings."""
        self.performer = Performer(self.surroundings(**changed))

    # The writer, which lets a test do something right before a push.

    def author(self, text, base):
        return self.writer.author(text, base)

    def commit(self, *args, **options):
        return self.writer.commit(*args, **options)

    def is_on_branch(self, commit):
        return self.writer.is_on_branch(commit)

    def push(self, commit):
        if self.before_push:
            self.before_push.pop(0)()
        self.writer.push(commit)

    def fetch(self):
        self.fetches += 1
        return self.mirror.fetch().sha

    def snapshot(self):
        runs = sorted(self.defined - self.absent, key=str)
        return WorkloadSnapshot(tuple(Workload(id_, ()) for id_ in runs), not_ready=self.not_ready)

    # What people do.

    def write(self, files, message="change"):
        """A person's commit on top of what there is; the server's head after it."""
        if "refs/heads/master" in self.remote.refs():
            git(self.remote.work, "fetch", "-q", "origin", "master")
            git(self.remote.work, "reset", "-q", "--hard", "FETCH_HEAD")
        texts = [text for text in files.values() if isinstance(text, str)]
        self.defined |= {WorkloadId(place, "deployment", name) for text in texts for name, place in _APPS.findall(text)}
        return self.remote.commit(files, message)

    def revert(self, commit):
        """What a person does who takes a commit back."""
        self.write({})
        git(self.remote.work, "fetch", "-q", "origin", "master")
        git(self.remote.work, "revert", "--no-edit", commit)
        return self.remote.push()

    def head(self):
        return git(self.remote.bare, "rev-parse", "master")

    def log(self):
        """The subjects of the branch, the newest first."""
        return git(self.remote.bare, "log", "--format=%s", "master").splitlines()

    def body(self, commit="master"):
        return git(self.remote.bare, "log", "-1", "--format=%B", commit)

    def trailers(self, commit="master"):
        return [(key, value) for key, value in trailers_of(self.body(commit)) if key != "Flux-Job"]

    def read(self, path, commit="master"):
        return git(self.remote.bare, "show", f"{commit}:{path}") + "\n"

    def diff(self):
        """The lines that the newest commit took out and put in."""
        lines = git(self.remote.bare, "show", "--unified=0", "--format=", "master").splitlines()
        return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]

    # What they ask for.

    def release(self, *names, image="", **more):
        """Ask for a release; `force` and `dry_run` and the rest go where they belong."""
        spec = ReleaseSpec(
            tuple(ids(*names)), image=Reference.parse(image) if image else None, force=more.pop("force", False)
        )
        return self.performer.perform(Asked(more.pop("job", "j1"), spec, **more))

    def policies(self, name, accept=False, remove=(), job="j2", **add):
        id_ = next(ids(name))
        spec = PoliciesSpec(
            {id_: PolicyUpdate({key.replace("__", "."): each for key, each in add.items()}, frozenset(remove))}
        )
        return self.performer.perform(Asked(job, spec, accept=frozenset({id_} if accept else ())))

    def automate(self):
        """Automation looks at the head of the branch, as the lane lets it."""
        return self.performer.automate("a1", self.fetch())

    def follow(self, most=20):
        """Let automation look until it wants nothing any more; the commits that came of it."""
        commits = []
        for _ in range(most):
            if not (commit := self.automate().commit):
                return commits
            commits.append(commit)
        raise AssertionError("automation does not come to an end")


def ids(*names):
    return (WorkloadId.parse(name if ":" in name else f"demo:deployment/{name}") for name in names)


def statuses(done):
    return {id_.name: (outcome.status, outcome.reason) for id_, outcome in done.outcomes.items()}
