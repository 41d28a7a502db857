"""Figures of kubectl-flux on a real control plane: prints each with its command, and may write `docs/benchmarks.md`.

    bench/run.py [--apps N] [--rounds N] [--only NAME] [--write PATH] [--json PATH] [more sizes: --help]

A full run takes about half an hour. `--only` measures one thing and what that stands on; `--json` writes every raw
value. What `scan` measures needs no control plane.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import endurance
import first_sync
import front
import images
import memory
import one_change
import plugin
import releases
import scan
import stopwatch
import unchanged
from figures import Circumstances, Cost, Row, page, profile
from repository import Content, apps
from stage import Asked, Stage, kubernetes_version, missing

SIZES = {
    "apps": (1000, "apps to sync, and repositories to scan"),
    "configmaps": (10_000, "ConfigMaps to sync"),
    "rounds": (2, "raw limit and agent in turns"),
    "watchers": (200, "callers that wait, beside probes"),
    "scanned-tags": (200, "tags of each repository whose first scan is counted"),
    "tags": (10_000, "tags of the one repository with very many"),
    "endurance": (1000, "releases one after the other"),
    "steady": (300, "seconds of scanning with nothing new; every repository is listed once in 300"),
}
BUSY = 0.5  # load average per core from which figures are not to be trusted
IN_ROUNDS = ("first", "unchanged", "change", "memory", "restart")
IN_FRONT = ("plugin", "calls", "probes")
ON_REGISTRIES = ("scan", "images", "releases", "endurance", "tags")
NAMES = (*IN_ROUNDS, *IN_FRONT, *ON_REGISTRIES, "configmaps", "profile")


@dataclass(slots=True)
class Samples:
    """Everything that was measured, round by round."""

    raw: list[first_sync.Raw] = field(default_factory=list)
    first: list[Asked] = field(default_factory=list)
    unchanged: list[Asked] = field(default_factory=list)
    change: list[Asked] = field(default_factory=list)
    memories: list[Mapping[str, float]] = field(default_factory=list)
    restart: list[Asked] = field(default_factory=list)
    plugin: plugin.Plugin | None = None
    calls: front.Calls | None = None
    probes: front.Probes | None = None
    scan: scan.Scans | None = None
    images: images.Many | None = None
    tags: images.Deep | None = None
    releases: releases.Releases | None = None
    endurance: endurance.Endurance | None = None
    configmaps: memory.Large | None = None
    profile: list[Cost] = field(default_factory=list)


def measure(options: argparse.Namespace, names: frozenset[str]) -> Samples:
    """Measures what is named: raw limit and agent in turns, then what needs stages of its own."""
    samples, content = Samples(), apps(options.apps)
    if names.intersection(IN_ROUNDS):
        for number in range(1, options.rounds + 1):
            print(f"round {number} of {options.rounds}: the raw limit, then the agent", flush=True)
            if names & {"first", "unchanged"}:
                samples.raw.append(first_sync.raw(content))
            _round(samples, content, names)
    if names.intersection(IN_FRONT):
        print("the agent under its callers, and the plugin", flush=True)
        _front(samples, content, names, options.watchers)
    _registries(samples, names, options)
    if "configmaps" in names:
        print(f"{options.configmaps:,} ConfigMaps", flush=True)
        samples.configmaps = memory.measure_large(options.configmaps)
    if "profile" in names:
        print("the profile", flush=True)
        samples.profile = stopwatch.measure(content)
    return samples


def _round(samples: Samples, content: Content, names: frozenset[str]) -> None:
    """Everything that goes on from a first sync, on one stage; memory before the restart that empties it."""
    with Stage() as stage:
        stage.start_agent()
        samples.first.append(first_sync.measure(stage, content))
        if names & {"unchanged", "memory"}:
            samples.unchanged.append(unchanged.measure(stage))
            samples.memories.append(stage.memory())
        if "change" in names:
            samples.change += one_change.measure(stage, content)
        if "restart" in names:
            samples.restart.append(unchanged.measure_restart(stage))


def _front(samples: Samples, content: Content, names: frozenset[str], watchers: int) -> None:
    """What callers see of an agent with its default `--auth=token`."""
    with Stage(auth="token") as stage:
        stage.start_agent()
        revision = stage.remote.push(content.files)
        if "calls" in names:
            samples.calls = front.measure_calls(stage)
        else:
            stage.ask_for_sync()
        if "probes" in names:
            samples.probes = front.measure_probes(stage, watchers)
        if "plugin" in names:
            samples.plugin = plugin.measure(stage, content, revision)


def _registries(samples: Samples, names: frozenset[str], options: argparse.Namespace) -> None:
    """What scanning costs."""
    if "scan" in names:
        print(f"scans of {scan.REPOSITORIES} repositories", flush=True)
        samples.scan = scan.measure(options.scanned_tags)
    if "images" in names:
        print(f"{options.apps:,} repositories", flush=True)
        samples.images = images.measure_many(options.apps, options.steady)
    if "releases" in names:
        print(f"releases to {options.apps:,} workloads", flush=True)
        samples.releases = releases.measure(options.apps)
    if "endurance" in names:
        print(f"{options.endurance:,} releases one after the other", flush=True)
        samples.endurance = endurance.measure(options.endurance, options.apps)
    if "tags" in names:
        print(f"a repository with {options.tags:,} tags", flush=True)
        samples.tags = images.measure_deep(options.tags)


def rows(samples: Samples, content: Content, names: frozenset[str]) -> list[Row]:
    """The table's rows, in order."""
    return [*_sync_rows(samples, content, names), *_front_rows(samples, content), *_image_rows(samples)]


def _sync_rows(samples: Samples, content: Content, names: frozenset[str]) -> list[Row]:
    found: list[Row] = []
    if "first" in names:
        found.append(first_sync.row(content, samples.raw, samples.first))
    if "unchanged" in names:
        found.append(unchanged.row(content, samples.raw, samples.unchanged))
    if samples.restart:
        found.append(unchanged.restart_row(samples.restart))
    if samples.change:
        found.append(one_change.row(samples.change))
    if "memory" in names:
        found.append(memory.row(content, samples.memories))
    if samples.configmaps:
        found += memory.large_rows(samples.configmaps)
    return found


def _front_rows(samples: Samples, content: Content) -> list[Row]:
    found: list[Row] = []
    if samples.plugin:
        found += plugin.rows(samples.plugin)
    if samples.calls:
        found.append(front.calls_row(content.counts["deployments"], samples.calls))
    if samples.probes:
        found.append(front.probes_row(samples.probes))
    return found


def _image_rows(samples: Samples) -> list[Row]:
    found: list[Row] = []
    if samples.scan:
        found += scan.rows(samples.scan)
    if samples.images:
        found += images.many_rows(samples.images)
    if samples.releases:
        found += releases.rows(samples.releases)
    if samples.endurance:
        found.append(endurance.row(samples.endurance))
    if samples.tags:
        found += images.deep_rows(samples.tags)
    return found


def circumstances(options: argparse.Namespace) -> Circumstances:
    """This machine and these programs."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Circumstances(
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(memory_bytes / 2**30),
        versions=f"Python {platform.python_version()}, Kubernetes {kubernetes_version()}",
        load=os.getloadavg()[0],
        command=" ".join(["bench/run.py", *_sizes(options)]),
    )


def _sizes(options: argparse.Namespace) -> list[str]:
    """The flags that shaped the run; where it was written to is nobody's business."""
    given = {name: getattr(options, name.replace("-", "_")) for name in SIZES}
    sizes = [f"--{name}={given[name]}" for name, (usual, _) in SIZES.items() if given[name] != usual]
    return [*sizes, *(f"--only={name}" for name in options.only or ())]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description="Figures of kubectl-flux on a real control plane."
    )
    for name, (usual, meaning) in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=usual, metavar="N", help=f"{meaning} ({usual:,})")
    parser.add_argument("--only", choices=NAMES, action="append", help="measure only this; may be repeated")
    parser.add_argument("--write", type=Path, metavar="PATH", help="write the page, such as docs/benchmarks.md")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every value")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measures, prints and writes; a missed target is told, and is no failure."""
    options = parse(arguments)
    names = frozenset(options.only or NAMES)
    if names - {"scan"} and (lacking := missing()):
        print(f"a real control plane needs {', '.join(lacking)}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended and removed
    where = circumstances(options)
    print(f"{where.machine}; {where.versions}; load average {where.load:.1f}", flush=True)
    if where.load > where.cores * BUSY:
        print("The machine is busy with something else: seconds will come out too high, and unlike one another.")
    samples = measure(options, names)
    found = rows(samples, apps(options.apps), names)
    print("", *found, sep="\n")
    if samples.profile:
        print(f"\n{profile(samples.profile)}")
    if options.write:
        options.write.write_text(page(found, samples.profile, where), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(dataclasses.asdict(samples), indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
