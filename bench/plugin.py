"""The plugin as people feel it: whole processes through the API server, signed in as `deploy/` lets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import frozen
from figures import Row, median, seconds
from repository import Content, with_new_image
from stage import ACCOUNT, Stage, program

TIMES = 10
LONG_TIMES = 3
CROWD = 50
CALLS = 50
VERSION_LIMIT = 0.120
LIST_LIMIT = 0.300
LIST_PATH = "flux.v1.Flux/ListWorkloads?connect=v1&encoding=proto&base64=1&message="


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many commands at once: seconds of each, seconds until the last was done, and what those that failed said."""

    seconds: Sequence[float]
    total: float
    failures: Sequence[str]


@dataclass(frozen=True, slots=True)
class Plugin:
    """Seconds of every run, and how much `list-workloads` printed.

    Attributes:
        packed: Of the program that needs no Python; empty where it cannot be built.
        unpacked: Why it cannot; else empty.
        first_time: Of `list-workloads` with an empty cache: without a token.
        diff_nothing: Of a diff in which nothing differs.
        diff_line: Of one in which one line of one object differs.
    """

    python: Sequence[float]
    version: Sequence[float]
    packed: Sequence[float]
    unpacked: str
    workloads: Sequence[float]
    first_time: Sequence[float]
    request: Sequence[float]
    lines: int
    crowd: Crowd
    status: Sequence[float]
    wait: Sequence[float]
    diff_nothing: Sequence[float]
    diff_line: Sequence[float]


def measure(stage: Stage, content: Content, revision: str) -> Plugin:
    """Runs each a few times after a warm-up, so that compiled modules and, but for one, a token are there.

    Args:
        stage: With an agent that has applied the content.
        content: All of it.
        revision: The commit that brought it.
    """
    stage.settle()
    plugin = str(program("kubectl-flux"))
    with frozen.program() as (path, lacking):
        packed = _run(stage, str(path), "version", "--client") if path else []
    listing = [plugin, "list-workloads", "-a"]
    workloads = stage.inside("run", str(TIMES), *listing, person=True)
    diffs = _diffs(stage, content, revision)
    return Plugin(
        python=_run(stage, str(program("python")), "-I", "-c", "pass"),
        version=_run(stage, plugin, "version", "--client"),
        packed=packed,
        unpacked=lacking,
        workloads=workloads["seconds"],
        first_time=stage.inside("fresh", str(TIMES), *listing, person=True)["seconds"],
        request=stage.inside("get", stage.agent.proxy_path(LIST_PATH), str(CALLS))["seconds"],
        lines=workloads["lines"],
        crowd=Crowd(**stage.inside("crowd", str(CROWD), *listing, person=True)),
        status=_run(stage, "kubectl", "flux", "status"),
        wait=_run(stage, "kubectl", "flux", "wait", f"--commit={revision}"),
        diff_nothing=diffs[0],
        diff_line=diffs[1],
    )


def _diffs(stage: Stage, content: Content, revision: str) -> tuple[Sequence[float], Sequence[float]]:
    """A diff with what was just applied, and one with the commit before, which has one line that is another."""
    path, text = with_new_image(content, 1)
    stage.remote.push({path: text})
    stage.ask_for_sync()
    stage.settle()
    nothing = _run(stage, "kubectl", "flux", "diff", times=LONG_TIMES)
    differs = f"kubectl flux diff --revision={revision}; test $? = 1"
    return nothing, _run(stage, "sh", "-c", differs, times=LONG_TIMES)


def _run(stage: Stage, *command: str, times: int = TIMES) -> Sequence[float]:
    found: Sequence[float] = stage.inside("run", str(times), *command, person=True)["seconds"]
    return found


def rows(plugin: Plugin) -> list[Row]:
    """Medians."""
    return [*_start_rows(plugin), *_list_rows(plugin), _crowd_row(plugin.crowd), *_other_rows(plugin)]


def _start_rows(plugin: Plugin) -> list[Row]:
    version, target = median(plugin.version), f"≤ {seconds(VERSION_LIMIT)}"
    command = "kubectl-flux version --client"
    packed = Row("plugin start, program without Python (`make dist`)", command, f"not measured: {plugin.unpacked}")
    if plugin.packed:
        value = median(plugin.packed)
        packed = Row(packed.work, command, seconds(value), target=target, reached=value <= VERSION_LIMIT)
    bare = f"{seconds(median(plugin.python))} (bare Python)"
    return [Row("plugin start", command, seconds(version), bare, target, version <= VERSION_LIMIT), packed]


def _list_rows(plugin: Plugin) -> list[Row]:
    workloads, request, count = median(plugin.workloads), median(plugin.request), plugin.lines - 1
    return [
        Row(
            f"list of {count:,} workloads, whole process, token kept",
            "kubectl-flux list-workloads -a",
            seconds(workloads),
            f"{seconds(request)} (the request alone)",
            f"≤ {seconds(LIST_LIMIT)} for 1,000",
            workloads <= LIST_LIMIT,
        ),
        Row(
            f"the same for the first time: a token of `{ACCOUNT}` is made",
            "kubectl-flux list-workloads -a",
            seconds(median(plugin.first_time)),
        ),
    ]


def _crowd_row(crowd: Crowd) -> Row:
    number, failed = len(crowd.seconds), len(crowd.failures)
    slowest = f"the slowest {seconds(max(crowd.seconds))}, the median {seconds(median(crowd.seconds))}"
    return Row(
        f"{number} of them at once",
        f"kubectl-flux list-workloads -a, {number} x",
        f"all done after {seconds(crowd.total)}; {slowest}; {failed or 'none'} failed",
        target="none fails",
        reached=not failed,
    )


def _other_rows(plugin: Plugin) -> list[Row]:
    told = (
        ("status, whole process", "kubectl flux status", plugin.status),
        ("wait for a commit that is rolled out", "kubectl flux wait --commit=ID", plugin.wait),
        ("diff, nothing differs", "kubectl flux diff", plugin.diff_nothing),
        ("diff, one line differs", "kubectl flux diff --revision=ID", plugin.diff_line),
    )
    return [Row(work, command, seconds(median(values))) for work, command, values in told]
