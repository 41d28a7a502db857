"""Changes of git as a whole agent makes them: one release, and one automated commit for very many workloads."""

from __future__ import annotations

import datetime as dt
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import Row, median, seconds
from images import PLUGIN, Scanned
from journal import SEEN, SYNCED
from repository import BRANCH, Content, apps
from stage import LONG

RELEASES = 3
TOGETHER = 100
"""Workloads of the one release to many."""
PUSH_LIMIT = 1.0
TOGETHER_LIMIT = 2.0
APPLY_LIMIT = 2.0
AUTOMATION_LIMIT = 10.0
USER = "--user=Ann <ann@example.com>"
_AUTOMATED = 'fluxcd.io/automated: "true"'
_ASKED, _DONE, _AUTO = "a change was asked for", "a change is done", "automation changed git"
_LOOK = 0.1


@dataclass(frozen=True, slots=True)
class Releases:
    """What changes of git took, in seconds.

    Attributes:
        objects: Of the repository.
        commands: Of the whole command, each of some releases of one workload.
        pushed: From the request to the pushed commit.
        applied: From then until it was applied.
        together: From the request to the pushed commit, of a release to many workloads.
        together_changed: Lines that it added, and that it removed.
        workloads: How many automation updated.
        automated: From the revision that made them automated to the pushed commit.
        commits: How many commits that took.
        changed: Lines that they added, and that they removed.
    """

    objects: int
    commands: Sequence[float]
    pushed: Sequence[float]
    applied: Sequence[float]
    together: float
    together_changed: tuple[int, int]
    workloads: int
    automated: float
    commits: int
    changed: tuple[int, int]


def measure(number: int) -> Releases:
    """Releases to some workloads, then to many in one, then lets automation update so many others at once."""
    with Scanned() as scanned:
        content = apps(number + RELEASES + TOGETHER, registry=scanned.registry.host)
        names = [Path(path).stem for path in content.files if path.startswith("apps/")]
        scanned.registry.push([f"acme/{name}" for name in names], 2)
        scanned.start_agent("--automation-interval=2s")
        scanned.stage.remote.push(_with(content, 'fluxcd.io/automated: "false"'))
        scanned.stage.ask_for_sync()
        scanned.wait_for("tags", len(names))
        scanned.run(PLUGIN, "list-workloads", "-a", times=1)  # so that a token is there
        single, together = names[:RELEASES], names[RELEASES : RELEASES + TOGETHER]
        commands = [_release(scanned, content, name) for name in single]
        pushed, applied = _steps(scanned.stage.journal.lines())
        together_changed = _release_together(scanned, content, together)
        (*_, taken), _ = _steps(scanned.stage.journal.lines())
        head = scanned.stage.remote.update(_with(content, _AUTOMATED, but=names[: RELEASES + TOGETHER]))
        scanned.stage.ask_for_sync()
        auto = _wait_for_automation(scanned, number)
        began = next(line for line in auto if line["msg"] == SEEN and line["revision"] == head)
        done = [line for line in auto if line["msg"] == _AUTO]
        return Releases(
            objects=content.objects,
            commands=commands,
            pushed=pushed,
            applied=applied,
            together=taken,
            together_changed=together_changed,
            workloads=sum(int(line["workloads"]) for line in done),
            automated=_between(began, done[-1]),
            commits=len(done),
            changed=_changed_lines(scanned.stage.remote.bare, head),
        )


def _with(content: Content, automated: str, but: Sequence[str] = ()) -> dict[str, str]:
    """The files with another policy; but for those of some workloads."""
    kept = {path: text for path, text in content.files.items() if Path(path).stem not in but}
    return {path: text.replace(_AUTOMATED, automated) for path, text in kept.items()}


def _release(scanned: Scanned, content: Content, name: str) -> float:
    image = f"{scanned.registry.host}/acme/{name}:1.0.1"
    command = (PLUGIN, "release", f"--workload={workload_of(content, name)}", f"--update-image={image}", USER)
    (took,) = scanned.run(*command, times=1)["seconds"]
    return float(took)


def _release_together(scanned: Scanned, content: Content, names: Sequence[str]) -> tuple[int, int]:
    """The newest image for each of these workloads, in one release: the lines that it added and removed."""
    head = scanned.stage.remote.head()
    workloads = [f"--workload={workload_of(content, name)}" for name in names]
    scanned.run(PLUGIN, "release", *workloads, "--update-all-images", USER, times=1)
    return _changed_lines(scanned.stage.remote.bare, head)


def workload_of(content: Content, name: str) -> str:
    """An app's Deployment, as `namespace:kind/name`."""
    path = next(path for path in content.files if Path(path).stem == name)
    return f"{Path(path).parent.name}:deployment/{name}"


def _steps(lines: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """For each release: from its request to its commit, and from there to the end of its sync."""
    asked = {line["job"]: line for line in lines if line["msg"] == _ASKED and line.get("method") == "Release"}
    done = [line for line in lines if line["msg"] == _DONE and line["job"] in asked]
    synced = {line["revision"]: line for line in reversed(lines) if line["msg"] == SYNCED}
    pushed = [_between(asked[line["job"]], line) for line in done]
    return pushed, [_between(line, synced[line["commit"]]) for line in done]


def _wait_for_automation(scanned: Scanned, workloads: int) -> list[dict[str, Any]]:
    """The log, once automation has updated so many."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        lines = scanned.stage.journal.lines()
        if sum(int(line["workloads"]) for line in lines if line["msg"] == _AUTO) >= workloads:
            return lines
        time.sleep(_LOOK)
    raise SystemExit(f"waited in vain for automation to update {workloads} workloads")


def _changed_lines(bare: Path, since: str) -> tuple[int, int]:
    """Lines that were added and removed since a commit."""
    command = ["git", "-C", bare, "diff", "--numstat", f"{since}..{BRANCH}"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60.0).stdout
    numbers = [line.split()[:2] for line in listing.splitlines()]
    return sum(int(added) for added, _ in numbers), sum(int(removed) for _, removed in numbers)


def _between(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    moments = (dt.datetime.fromisoformat(line["ts"]) for line in (one, other))
    first, second = moments
    return (second - first).total_seconds()


def rows(found: Releases) -> list[Row]:
    """One release, one to many workloads, and automation."""
    pushed, applied = median(found.pushed), median(found.applied)
    (added, removed), (more, less) = found.changed, found.together_changed
    exact = found.commits == 1 and added == removed == found.workloads
    return [
        Row(
            f"release of one workload, {found.objects:,} objects in git",
            "kubectl-flux release",
            f"pushed {seconds(pushed)} after the request, applied {seconds(applied)} later; the whole command "
            f"{seconds(median(found.commands))}",
            target=f"≤ {seconds(PUSH_LIMIT)}, then ≤ {seconds(APPLY_LIMIT)}",
            reached=pushed <= PUSH_LIMIT and applied <= APPLY_LIMIT,
        ),
        Row(
            f"release of {TOGETHER} workloads",
            "kubectl-flux release --update-all-images",
            f"pushed {seconds(found.together)} after the request; lines added and removed: {more} and {less}",
            target=f"≤ {seconds(TOGETHER_LIMIT)}, one line each",
            reached=found.together <= TOGETHER_LIMIT and more == less == TOGETHER,
        ),
        Row(
            f"automated update of {found.workloads:,} workloads in as many files",
            "flux-agent",
            f"{seconds(found.automated)} from the new revision to the pushed commit; commits: {found.commits}; lines "
            f"added and removed: {added:,} and {removed:,}",
            target=f"≤ {seconds(AUTOMATION_LIMIT)}, one commit, one line each",
            reached=found.automated <= AUTOMATION_LIMIT and exact,
        ),
    ]
