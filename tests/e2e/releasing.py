"""What the tests of releases share: made-up images, manifests as people write them, and what git tells of a commit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pytest
from agent_status import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config_repository import ConfigRepository
    from controlplane.deployed import DeployedAgent

    from agent.sandbox.registry import SandboxRegistry

DAY = 86_400.0
FIRST_BUILD = 1_709_287_200.0
"""1 March 2024, 10:00 UTC."""

BY_NEWS = ("--git-poll-interval=1h", "--sync-interval=1h", "--automation-interval=1h")
"""Flags of an agent that checks who calls and acts on news alone."""


@pytest.fixture(scope="module")
def agent_with_images(start_agent, repository, registry):
    """An agent that finds its images in the module's registry."""
    return start_agent(f"--git-url={repository.url}", *BY_NEWS, f"--registry-insecure-host={registry.host}")


APP = """\
# {name}: as its team wrote it
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {namespace}
{annotations}spec:
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      containers:
{containers}"""


class Images:
    """The images of one test, in repositories of its own: each is built a day after the one before."""

    def __init__(self, registry: SandboxRegistry, folder: str) -> None:
        self._registry = registry
        self._folder = folder
        self._pushed = 0

    def push(self, name: str, *tags: str) -> None:
        """New images appear, the newest last."""
        for tag in tags:
            self._registry.push(f"{self._folder}/{name}", tag, FIRST_BUILD + self._pushed * DAY)
            self._pushed += 1

    def image(self, name: str, tag: str = "") -> str:
        """The reference, as manifests have it."""
        return f"{self._registry.host}/{self._folder}/{name}{tag and f':{tag}'}"


def app(namespace: str, name: str, policies: Mapping[str, str] | None = None, **images: str) -> str:
    """A Deployment with comments, quotes and a flow style of its own; `images` by container."""
    notes = "".join(f"    fluxcd.io/{key}: {json.dumps(value)}\n" for key, value in (policies or {}).items())
    listed = "".join(
        f'      - name: {key}   # says {name}\n        image: "{image}"\n' for key, image in images.items()
    )
    annotations = f"  annotations:\n{notes}" if notes else ""
    return APP.format(namespace=namespace, name=name, annotations=annotations, containers=listed)


class Commit(NamedTuple):
    """One commit of the branch as git tells it."""

    sha: str
    author: str
    committer: str
    message: str
    """Without its trailers."""
    trailers: list[tuple[str, str]]
    lines: list[str]
    """The lines that it took out and put in, with `-` and `+`."""

    def values(self, key: str) -> list[str]:
        """The trailers of this name."""
        return [value for name, value in self.trailers if name == key]


def head(repository: ConfigRepository) -> str:
    """Where the branch is."""
    return repository.git("rev-parse", repository.branch, cwd=repository.bare)


def commit_of(repository: ConfigRepository, ref: str = "") -> Commit:
    """A commit of the branch, the newest unless `ref` says otherwise."""

    def tell(*arguments: str) -> str:
        return repository.git(*arguments, ref or repository.branch, cwd=repository.bare)

    shown = tell("show", "--no-patch", "--format=%H%x00%an <%ae>%x00%cn <%ce>%x00%B%x00%(trailers:only,unfold)")
    sha, author, committer, body, trailers = shown.split("\0")
    pairs = [tuple(line.split(": ", 1)) for line in trailers.splitlines() if line]
    message = body.strip().removesuffix(trailers.strip()).strip()
    patch = tell("show", "--unified=0", "--format=").splitlines()
    lines = [line for line in patch if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return Commit(sha, author, committer, message, pairs, lines)


def note_of(repository: ConfigRepository, commit: str) -> dict[str, Any]:
    """What the note on a commit says."""
    note: dict[str, Any] = json.loads(repository.git("notes", "--ref=flux", "show", commit, cwd=repository.bare))
    return note


def image_is_new(agent: DeployedAgent, image: str) -> None:
    """What flux-recv tells the agent when a registry calls it."""
    told = {"Kind": "image", "Source": {"Name": image}}
    agent.plane.raw(agent.proxy_path("/api/flux/v11/notify"), method="POST", body=json.dumps(told))


def moved(repository: ConfigRepository, before: str) -> Commit:
    """The newest commit, once the branch has moved past `before`."""
    until(lambda: head(repository) != before, "a commit of the agent")
    return commit_of(repository)


def runs(agent: DeployedAgent, namespace: str, name: str) -> list[str]:
    """The images of a Deployment as the cluster has them."""
    found = agent.plane.api("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
    return [container["image"] for container in found["spec"]["template"]["spec"]["containers"]]


def pods_run(agent: DeployedAgent, namespace: str) -> set[str]:
    """The images that the running pods of a namespace have."""
    pods = agent.plane.api("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
    alive = [
        pod for pod in pods if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    return {container["image"] for pod in alive for container in pod["spec"]["containers"]}


def answer(agent: DeployedAgent, method: str, **message: Any) -> dict[str, Any]:
    """What a read answers, or its error, from an agent with `--auth=none`; fields with empty values are left out."""
    _, body = agent.http(f"/flux.v1.Flux/{method}?connect=v1&encoding=json&message={quote(json.dumps(message))}")
    told: dict[str, Any] = json.loads(body)
    return told
