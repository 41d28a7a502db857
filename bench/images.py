"""Scanning as a whole agent does it: many repositories, one with very many tags, and the list of all images."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded import LONG, Embedded
from figures import Row, median, seconds
from processes import cpu_of, memory_of, wait_until_idle
from repository import Content, apps
from standins import Asks

TIMES = 5
LIST = ("kubectl-flux", "list-images", "-a")
CPU_LIMIT = 0.10
LIST_LIMIT = 0.500
TAGS = 200
"""Of each of many repositories."""
_PATIENCE = 60.0
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


def measure_many(number: int, steady: float) -> Many:
    """Lets an agent that starts on a synced cluster scan so many repositories, then looks on for some seconds."""
    with Embedded() as stage:
        content = apps(number, registry=stage.standins.registry)
        stage.standins.push(_repositories(content), TAGS)
        stage.remote.push(_current(content, TAGS))
        stage.start("--registry-disable-scanning")
        stage.journal.wait_for_marker(LONG)
        stage.stop()
        stage.standins.forget()
        stage.start()
        stage.wait_for(lambda: stage.standins.asks().of("tags") >= number, "the first pass over all repositories")
        wait_until_idle(stage.pid, LONG)
        first, cpu = stage.standins.asks(), cpu_of(stage.pid)
        unseen, looks = _listed_first(stage)
        lists = stage.run(*LIST, times=TIMES)
        watched = _watched(stage, steady)
        return Many(
            repositories=number,
            tags=TAGS,
            first=first,
            cpu=cpu,
            unseen=unseen,
            looks=looks,
            lists=lists["seconds"],
            lines=lists["lines"],
            steady=watched,
            memory=memory_of(stage.pid),
            cache=_cache_of(stage),
        )


def _listed_first(stage: Embedded) -> tuple[float, Asks]:
    """Lists all images while no tag was looked at: the seconds that took, and what the agent went on to ask for it."""
    stage.run("kubectl-flux", "list-workloads", "-a")  # so that a token is there
    stage.standins.forget()
    (unseen,) = stage.run(*LIST)["seconds"]
    wait_until_idle(stage.pid, LONG)
    return unseen, stage.standins.asks()


def _watched(stage: Embedded, seconds: float) -> Steady:
    stage.standins.forget()
    started, cpu = time.monotonic(), cpu_of(stage.pid)
    time.sleep(seconds)
    used = cpu_of(stage.pid) - cpu
    return Steady(time.monotonic() - started, used, stage.standins.asks())


def measure_deep(tags: int) -> Deep:
    """Lets an agent scan one repository with so many tags, of which a policy wants the newest by build time."""
    with Embedded() as stage:
        content = apps(1, registry=stage.standins.registry)
        files = {path: text.replace(_SEMVER, _NEWEST) for path, text in _current(content, tags).items()}
        stage.standins.push(_repositories(content), tags)
        stage.start()
        wait_until_idle(stage.pid, _PATIENCE)
        before, cpu = memory_of(stage.pid), cpu_of(stage.pid)
        stage.remote.push(files)
        stage.run("kubectl", "flux", "sync")
        stage.wait_for(lambda: stage.standins.asks().of("blob") >= tags, "a look at every tag")
        wait_until_idle(stage.pid, _PATIENCE)
        scanned, cpu = memory_of(stage.pid), cpu_of(stage.pid) - cpu
        workload = "--workload=team-00:deployment/app-0000"
        lists = stage.run("kubectl-flux", "list-images", workload, times=TIMES)["seconds"]
        asks, listed = stage.standins.asks(), memory_of(stage.pid)
        return Deep(tags, asks, cpu, before, scanned, listed, lists, _cache_of(stage))


def _current(content: Content, tags: int) -> dict[str, str]:
    """The files with every image the newest of so many tags, so that no policy wants another one."""
    return {path: text.replace(":1.0.0 #", f":1.0.{tags - 1} #") for path, text in content.files.items()}


def _repositories(content: Content) -> list[str]:
    return [f"acme/{Path(path).stem}" for path in content.files if path.startswith("apps/")]


def _cache_of(stage: Embedded) -> int:
    """The size of the cache on disk, once the agent has ended and put it in order."""
    stage.stop()
    return sum(path.stat().st_size for path in stage.cache.glob("images.db*"))


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
            target=f"≤ {seconds(LIST_LIMIT)} for 1,000",
            reached=listed <= LIST_LIMIT,
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
