"""Scanning as a whole agent does it: many repositories, one with very many tags, and the list of all images."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from figures import Row, median, seconds
from processes import cpu_of, memory_of, wait_until_idle
from registry import Asks, Registry
from repository import Content, apps
from stage import LONG, Stage, enter_command, program

TIMES = 5
PLUGIN = str(program("kubectl-flux"))
LIST = (PLUGIN, "list-images", "-a")
LIST_PATH = "flux.v1.Flux/ListImages?connect=v1&encoding=proto&base64=1&message=GAo"
"""With a limit of 10 images, the plugin's own."""
CPU_LIMIT = 0.10
LIST_LIMIT = 0.500
TAGS = 200
"""Of each of many repositories."""
_LOOK = 0.1
_NEWEST = 'fluxcd.io/tag.main: "glob:*"'
_SEMVER = "fluxcd.io/tag.main: semver:~1.0"


@dataclass(frozen=True, slots=True)
class Steady:
    """So many seconds in which nothing new happened: seconds of CPU of the agent, and what it asked the registry."""

    seconds: float
    cpu: float
    asks: Asks


@dataclass(frozen=True, slots=True)
class Many:
    """Many repositories.

    Attributes:
        repositories: How many; each has one workload.
        tags: Of each.
        first: What their registry was asked by the first pass, and the seconds that took.
        cpu: Seconds of CPU that the agent used from its start to the end of the first pass.
        unseen: Seconds of the first `list-images -a`, which shows tags that were never looked at.
        looks: What was asked because of it, and the seconds that took.
        lists: Seconds of each later one.
        request: Seconds of each of the requests alone, through the API server.
        lines: What it printed.
        steady: What came then.
        memory: Of the agent, in MB, after all this.
        cache: Bytes of the cache.
    """

    repositories: int
    tags: int
    first: Asks
    cpu: float
    unseen: float
    looks: Asks
    lists: Sequence[float]
    request: Sequence[float]
    lines: int
    steady: Steady
    memory: Mapping[str, float]
    cache: int


@dataclass(frozen=True, slots=True)
class Deep:
    """One repository with very many tags, ordered by build time.

    Attributes:
        tags: How many.
        asks: What its registry was asked, and the seconds that took.
        cpu: Seconds of CPU of the agent for it.
        before: The agent's memory before the workload was there, in MB.
        scanned: After the scan.
        listed: After its images were listed as well.
        lists: Seconds of each `list-images` of its workload.
        cache: Bytes of the cache.
    """

    tags: int
    asks: Asks
    cpu: float
    before: Mapping[str, float]
    scanned: Mapping[str, float]
    listed: Mapping[str, float]
    lists: Sequence[float]
    cache: int


class Scanned:
    """A stage with a registry in the control plane's network, and an agent that scans it; a context manager."""

    def __enter__(self) -> Self:
        """Starts all but the agent."""
        self._cleanup = contextlib.ExitStack()
        with contextlib.ExitStack() as starting:
            self.stage = starting.enter_context(Stage(auth="token"))
            self.registry = starting.enter_context(Registry(enter=enter_command(self.stage.plane.door.pid)))
            self._cleanup = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def pid(self) -> int:
        """The agent's process."""
        return self.stage.agent.process.pid

    def start_agent(self, *flags: str) -> None:
        """Starts the agent with scanning on, for this registry only: there is no way to any other."""
        host = self.registry.host
        images = [f"--registry-insecure-host={host}", f"--registry-include-image={host}/*"]
        self.stage.start_agent("--registry-disable-scanning=false", *images, *flags)

    def wait_for(self, kind: str, number: int) -> Asks:
        """Waits until the registry was asked so often for something, and the agent is idle again.

        Raises:
            SystemExit: The agent has ended, or it was not so in time.
        """
        deadline = time.monotonic() + LONG
        while (asks := self.registry.asks()).of(kind) < number:
            if time.monotonic() > deadline or self.stage.agent.process.poll() is not None:
                raise SystemExit(f"waited in vain for {number} requests, {kind}: there were {asks.counts}")
            time.sleep(_LOOK)
        wait_until_idle(self.pid, LONG)
        return self.registry.asks()

    def run(self, *command: str, times: int = TIMES) -> dict[str, Any]:
        """Runs a command of a person, as `Stage.inside` does."""
        return self.stage.inside("run", str(times), *command, person=True)

    def cache(self) -> int:
        """The size of the cache on disk, once the agent has ended and put it in order."""
        self.stage.agent.stop()
        return sum(path.stat().st_size for path in self.stage.agent.folder.glob("cache/images.db*"))


def measure_many(number: int, steady: float) -> Many:
    """Lets an agent that starts on a synced cluster scan so many repositories, then looks on for some seconds."""
    with Scanned() as scanned:
        content = apps(number, registry=scanned.registry.host)
        scanned.registry.push(_repositories(content), TAGS)
        scanned.stage.start_agent()
        scanned.stage.remote.push(_current(content, TAGS))
        scanned.stage.ask_for_sync()
        scanned.stage.agent.stop()
        scanned.start_agent()
        first, cpu = scanned.wait_for("tags", number), cpu_of(scanned.pid)
        unseen, looks = _listed_first(scanned)
        lists = scanned.run(*LIST)
        return Many(
            repositories=number,
            tags=TAGS,
            first=first,
            cpu=cpu,
            unseen=unseen,
            looks=looks,
            lists=lists["seconds"],
            request=scanned.stage.inside("get", scanned.stage.agent.proxy_path(LIST_PATH), str(TIMES))["seconds"],
            lines=lists["lines"],
            steady=_watched(scanned, steady),
            memory=memory_of(scanned.pid),
            cache=scanned.cache(),
        )


def _listed_first(scanned: Scanned) -> tuple[float, Asks]:
    """Lists all images while no tag was looked at: the seconds that took, and what the agent went on to ask for it."""
    scanned.run(PLUGIN, "list-workloads", "-a", times=1)  # so that a token is there
    scanned.registry.forget()
    (unseen,) = scanned.run(*LIST, times=1)["seconds"]
    wait_until_idle(scanned.pid, LONG)
    return unseen, scanned.registry.asks()


def _watched(scanned: Scanned, seconds: float) -> Steady:
    scanned.registry.forget()
    started, cpu = time.monotonic(), cpu_of(scanned.pid)
    time.sleep(seconds)
    used = cpu_of(scanned.pid) - cpu
    return Steady(time.monotonic() - started, used, scanned.registry.asks())


def measure_deep(tags: int) -> Deep:
    """Lets an agent scan one repository with so many tags, of which a policy wants the newest by build time."""
    with Scanned() as scanned:
        content = apps(1, registry=scanned.registry.host)
        files = {path: text.replace(_SEMVER, _NEWEST) for path, text in _current(content, tags).items()}
        scanned.registry.push(_repositories(content), tags)
        scanned.start_agent()
        wait_until_idle(scanned.pid, LONG)
        before, cpu = memory_of(scanned.pid), cpu_of(scanned.pid)
        scanned.stage.remote.push(files)
        scanned.stage.ask_for_sync()
        asks = scanned.wait_for("blob", tags)
        after, cpu = memory_of(scanned.pid), cpu_of(scanned.pid) - cpu
        lists = scanned.run(PLUGIN, "list-images", "--workload=team-00:deployment/app-0000")["seconds"]
        return Deep(tags, asks, cpu, before, after, memory_of(scanned.pid), lists, scanned.cache())


def _current(content: Content, tags: int) -> dict[str, str]:
    """The files with every image the newest of so many tags, so that no policy wants another one."""
    return {path: text.replace(":1.0.0 #", f":1.0.{tags - 1} #") for path, text in content.files.items()}


def _repositories(content: Content) -> list[str]:
    return [f"acme/{Path(path).stem}" for path in content.files if path.startswith("apps/")]


def many_rows(many: Many) -> list[Row]:
    """The first pass, the steady state, the list."""
    size = f"{many.repositories:,} repositories of {many.tags} tags"
    share, listed = many.steady.cpu / many.steady.seconds, median(many.lists)
    return [
        Row(
            f"first pass over {size}, semver policies",
            "flux-agent",
            f"{many.first.of('tags'):,} requests in {seconds(many.first.seconds)}; {many.cpu:.1f} s of CPU, the start "
            "of the agent and a sync with nothing changed included",
        ),
        Row(
            f"steady state of {many.repositories:,} repositories, {many.steady.seconds:.0f} s long",
            "flux-agent",
            f"{share:.1%} of one core; {many.steady.asks.of('tags'):,} lists of tags, "
            f"{many.steady.asks.of('digest', 'manifest', 'blob')} other requests",
            target=f"≤ {CPU_LIMIT:.0%} of one core",
            reached=share <= CPU_LIMIT,
        ),
        Row(
            f"memory and cache, {size}",
            "flux-agent",
            f"{_megabytes(many.memory)}, all of its tags in memory; {many.cache / 1e6:.1f} MB on disk",
        ),
        Row(
            f"list of the images of {many.repositories:,} workloads, whole process",
            "kubectl-flux list-images -a",
            f"{seconds(listed)}, {many.lines:,} lines",
            f"{seconds(median(many.request))} (the request alone)",
            f"≤ {seconds(LIST_LIMIT)} for 1,000",
            listed <= LIST_LIMIT,
        ),
        Row(
            "the same for the first time: no tag was looked at",
            "kubectl-flux list-images -a",
            f"{seconds(many.unseen)}; the agent then looks at what was shown: {many.looks.of('digest'):,} HEADs and "
            f"{many.looks.of('manifest', 'blob'):,} requests for digests in {seconds(many.looks.seconds)}",
        ),
    ]


def deep_rows(deep: Deep) -> list[Row]:
    """What one repository takes, and the list of its images."""
    growth = deep.scanned["VmRSS"] - deep.before["VmRSS"]
    return [
        Row(
            f"one repository with {deep.tags:,} tags, newest by build time",
            "flux-agent",
            f"{sum(deep.asks.counts.values()):,} requests in {seconds(deep.asks.seconds)}, {deep.cpu:.1f} s of CPU; "
            f"memory {deep.before['VmRSS']:.0f} MB before, {_megabytes(deep.scanned)} (+ {growth:.0f} MB); "
            f"{deep.cache / 1e6:.1f} MB on disk",
        ),
        Row(
            "list of its images, whole process",
            "kubectl-flux list-images --workload=ID",
            f"{seconds(median(deep.lists))}; memory {_megabytes(deep.listed)}",
        ),
    ]


def _megabytes(memory: Mapping[str, float]) -> str:
    return f"{memory['VmHWM']:.0f} MB at most, {memory['VmRSS']:.0f} MB after"
