"""The plugin as people feel it: whole processes, and one request alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from figures import Row, median, seconds
from stage import Stage, program

TIMES = 10
CALLS = 50
VERSION_LIMIT = 0.120
LIST_LIMIT = 0.300
LIST_PATH = "flux.v1.Flux/ListWorkloads?connect=v1&encoding=proto&base64=1&message="


@dataclass(frozen=True, slots=True)
class Plugin:
    """Seconds of every run, and how much `list-workloads` printed."""

    python: Sequence[float]
    version: Sequence[float]
    workloads: Sequence[float]
    request: Sequence[float]
    lines: int


def measure(stage: Stage) -> Plugin:
    """Runs each a few times after a warm-up, so that compiled modules are there."""
    stage.settle()
    plugin = str(program("kubectl-flux"))
    python = _run(stage, str(program("python")), "-I", "-c", "pass")
    version = _run(stage, plugin, "version", "--client")
    workloads = _run(stage, plugin, "list-workloads", "-a")
    request = stage.inside("get", stage.agent.proxy_path(LIST_PATH), str(CALLS))
    return Plugin(python["seconds"], version["seconds"], workloads["seconds"], request["seconds"], workloads["lines"])


def _run(stage: Stage, *command: str) -> dict[str, list[float]]:
    return stage.inside("run", str(TIMES), *command, person=True)


def rows(plugin: Plugin) -> list[Row]:
    """Medians."""
    version, workloads, request = map(median, (plugin.version, plugin.workloads, plugin.request))
    count = plugin.lines - 1
    return [
        Row(
            "plugin start",
            "kubectl-flux version --client",
            seconds(version),
            f"{seconds(median(plugin.python))} (bare Python)",
            f"≤ {seconds(VERSION_LIMIT)}",
            version <= VERSION_LIMIT,
        ),
        Row(
            f"list of {count:,} workloads, whole process",
            "kubectl-flux list-workloads -a",
            seconds(workloads),
            f"{seconds(request)} (the request alone)",
            f"≤ {seconds(LIST_LIMIT)} for 1,000",
            workloads <= LIST_LIMIT,
        ),
    ]
