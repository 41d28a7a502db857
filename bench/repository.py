"""The repositories that are measured: what is in them, and a git remote that holds them.

`apps` is what a user's configuration looks like: a Deployment, a Service and a ConfigMap (for every tenth app a
Secret) in one commented file. It is full of what the API server stores differently from how it was written: quantities
such as `1000m`, empty values, empty maps, a Secret's `stringData`. An agent that compares values would send such
objects for ever. Texts are made by pure functions; `Remote` is the one that runs git.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TEAMS = 20
SECRET_EVERY = 10
BRANCH = "master"
REGISTRY = "registry.example.com"
_GIT_TIMEOUT = 120.0

_DEPLOYMENT = """\
# {name} of {team}: nothing runs, so that the figures are the agent's and not the scheduler's.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {team}
  annotations:
    fluxcd.io/automated: "true"
    fluxcd.io/tag.main: semver:~1.0 # patches only
spec:
  replicas: 0
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {{}}
    spec:
      nodeSelector: {{}}
      containers:
        - name: main
          image: {registry}/acme/{name}:1.0.0 # moved by automation
          env:
            - {{name: MODE, value: production}}
            - name: EMPTY
              value: ""
          ports: [{{containerPort: 8080}}]
          resources:
            requests: {{cpu: 100m, memory: 1024Mi}}
            limits: {{cpu: 1000m, memory: 2048Mi}}
          volumeMounts:
            - {{name: scratch, mountPath: /scratch}}
      volumes:
        - name: scratch
          emptyDir: {{}}
"""

_SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {team}
  labels: {{}}
spec:
  selector: {{app: {name}}}
  ports:
    - port: 80
      targetPort: 8080
"""

_CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  namespace: {team}
data:
  empty: ""
  application.yaml: |
    # a file inside a file
    listen: ":8080"
    number: {number}
"""

_SECRET = """\
apiVersion: v1
kind: Secret
metadata:
  name: {name}
  namespace: {team}
stringData:
  password: not-so-secret-{number}
"""

_NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: {team}
  labels: {{}}
"""


@dataclass(frozen=True, slots=True)
class Content:
    """The files of a repository, and how many objects of each resource they hold."""

    files: Mapping[str, str]
    counts: Mapping[str, int]

    @property
    def objects(self) -> int:
        """All objects."""
        return sum(self.counts.values())

    def pages(self, size: int = 500) -> dict[str, int]:
        """LIST pages that reading all of it takes, by resource."""
        return {resource: -(-count // size) for resource, count in sorted(self.counts.items())}


def apps(number: int, prefix: str = "team", registry: str = REGISTRY) -> Content:
    """So many apps in at most 20 namespaces: three objects each, and the namespaces."""
    teams = _teams(number, prefix)
    files = {"namespaces.yaml": _namespaces(teams)}
    for index in range(number):
        team, name = teams[index % len(teams)], f"app-{index:04}"
        config = _CONFIG_MAP if index % SECRET_EVERY else _SECRET
        words = {"name": name, "team": team, "number": index, "registry": registry}
        documents = (text.format(**words) for text in (_DEPLOYMENT, _SERVICE, config))
        files[f"apps/{team}/{name}.yaml"] = "---\n".join(documents)
    secrets = -(-number // SECRET_EVERY)
    counts = {"namespaces": len(teams), "deployments": number, "services": number, "secrets": secrets}
    return Content(files, counts | {"configmaps": number - secrets})


def config_maps(number: int) -> Content:
    """So many ConfigMaps, a file each, and the namespaces they are in."""
    teams = _teams(number, "team")
    files = {"namespaces.yaml": _namespaces(teams)}
    for index in range(number):
        team, name = teams[index % len(teams)], f"config-{index:05}"
        files[f"config/{team}/{name}.yaml"] = _CONFIG_MAP.format(name=name, team=team, number=index)
    return Content(files, {"namespaces": len(teams), "configmaps": number})


def with_new_image(content: Content, number: int) -> tuple[str, str]:
    """A file of `apps` with one line changed, another for each number: its path and its text."""
    path = next(path for path in content.files if path.startswith("apps/"))
    return path, content.files[path].replace(":1.0.0", f":1.0.{number}")


def _teams(number: int, prefix: str) -> list[str]:
    return [f"{prefix}-{index:02}" for index in range(min(TEAMS, number))]


def _namespaces(teams: list[str]) -> str:
    return "---\n".join(_NAMESPACE.format(team=team) for team in teams)


def write(content: Content, folder: Path) -> Path:
    """Writes the files below a folder, and returns it."""
    for name, text in content.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


class Remote:
    """A bare repository in a folder, and a work tree that pushes to it."""

    def __init__(self, folder: Path) -> None:
        """Makes both, with a first commit that holds no manifest."""
        self.bare = folder / "remote.git"
        self.work = folder / "work"
        folder.mkdir(parents=True, exist_ok=True)
        _git(folder, "init", "-q", "--bare", "--template=", f"--initial-branch={BRANCH}", str(self.bare))
        _git(folder, "init", "-q", "--template=", f"--initial-branch={BRANCH}", str(self.work))
        self.push({"README.md": "Nothing here yet.\n"})

    @property
    def url(self) -> str:
        """What `--git-url` is given."""
        return f"file://{self.bare}"

    def push(self, files: Mapping[str, str]) -> str:
        """Writes these files, commits and pushes; the commit's id.

        Raises:
            subprocess.CalledProcessError: git refused; its words went to stderr.
        """
        write(Content(files, {}), self.work)
        _git(self.work, "add", "-A")
        _git(self.work, "commit", "-q", "-m", "change")
        _git(self.work, "push", "-q", str(self.bare), f"HEAD:refs/heads/{BRANCH}")
        return _git(self.work, "rev-parse", "HEAD")

    def update(self, files: Mapping[str, str]) -> str:
        """As `push`, on top of what others have pushed meanwhile."""
        _git(self.work, "fetch", "-q", str(self.bare), BRANCH)
        _git(self.work, "reset", "-q", "--hard", "FETCH_HEAD")
        return self.push(files)

    def head(self) -> str:
        """The branch's commit, whoever pushed it."""
        return _git(self.bare, "rev-parse", BRANCH)


def _git(cwd: Path, *arguments: str) -> str:
    nobody = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _SOMEBODY.items()}
    done = subprocess.run(
        ["git", *arguments],
        cwd=cwd,
        env={**os.environ, **nobody, **who},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=_GIT_TIMEOUT,
    )
    return done.stdout.strip()


_SOMEBODY = {"NAME": "Bench", "EMAIL": "bench@example.com"}
