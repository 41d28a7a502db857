"""The page that `status` prints: a verdict, then what it rests on, a title and its lines for each part. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_flux.commands.sync import failure_line
from kubectl_flux.health import SHORT, Findings, problems
from kubectl_flux.output import coloured
from kubectl_flux.paragraphs import TITLE, ago, narrow, part, wrapped
from kubectl_flux.progress import one_line, pending_line
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

MOST = 20
"""Lines of one part."""

Part = tuple[str, list[str]]


def page(found: Findings, now: float, columns: int = 0, *, colours: bool = False) -> str:
    """The whole page.

    Args:
        found: What to show.
        now: The time in Unix seconds, to tell ages.
        columns: The terminal's width; 0 for a pipe.
        colours: Whether the verdict is coloured.
    """
    wrong = problems(found)
    verdict = "Not healthy:" if wrong else f"Healthy: {_healthy(found)}"
    lines = [coloured(line, "red" if wrong else "green") if colours else line for line in wrapped(verdict, "", columns)]
    for problem in wrong:
        lines += wrapped(problem, "- ", columns)
    for title, body in _parts(found, now):
        lines += part(title, body[:MOST], columns)
        if len(body) > MOST:
            lines += wrapped(f"and {len(body) - MOST} more", " " * (TITLE if not narrow(columns) else 2), columns)
    return "".join(f"{line}\n" for line in lines)


def _healthy(found: Findings) -> str:
    status = found.status
    return f"the cluster is as {status.revision_applied[:SHORT]} of {status.repository.branch} says."


def _parts(found: Findings, now: float) -> Iterator[Part]:
    status = found.status
    yield "Repository", list(_repository(status.repository))
    if status.revision_seen:
        yield "Revisions", list(_revisions(status, now))
    if status.HasField("last_sync"):
        yield "Last sync", [_sync(status.last_sync, now)]
    if status.failures:
        yield "Failures", [failure_line(failure) for failure in status.failures]
    if status.pending_deletions:
        yield "Deletions", list(_deletions(status))
    yield "Workloads", list(_workloads(found))
    yield "Automation", [_feature(status.automation)]
    yield "Scanning", [_feature(status.scanning)]
    yield (
        "Versions",
        [f"plugin {found.plugin}, agent {found.agent}", *([f"Warning: {found.skew}"] if found.skew else [])],
    )
    notices = [one_line(notice) for notice in status.notices]
    if status.restricted:
        notices.append("what is in namespaces that you may not see is left out")
    if notices:
        yield "Notes", notices


def _repository(repository: pb.Repository) -> Iterator[str]:
    if not repository.url:
        yield "none"
        return
    paths = f", paths {', '.join(repository.paths)}" if repository.paths else ""
    yield repository.url
    yield f"branch {repository.branch}{paths}{', read-only' if repository.read_only else ''}"


def _revisions(status: pb.GetStatusResponse, now: float) -> Iterator[str]:
    age = f", fetched {ago(now - status.seen_at.seconds)}" if status.HasField("seen_at") else ""
    yield f"seen    {status.revision_seen[:SHORT]}{age}"
    for name, revision in (("applied", status.revision_applied), ("marked", status.revision_marked)):
        behind = "" if revision == status.revision_seen else ", behind"
        yield f"{name:<7} {revision[:SHORT] or 'none'}{behind}"


def _sync(sync: pb.SyncSummary, now: float) -> str:
    counts = (
        (sync.objects, "objects"),
        (sync.applied, "applied"),
        (sync.unchanged, "unchanged"),
        (sync.ignored, "left alone"),
        (sync.deleted, "deleted"),
        (sync.failed, "failed"),
        (sync.remaining, "not reached"),
    )
    numbers = ", ".join(f"{number} {word}" for number, word in counts if number or word == "objects")
    seconds = sync.duration.seconds + sync.duration.nanos / 1e9
    return f"{sync.revision[:SHORT]}, {ago(now - sync.started_at.seconds)}, took {seconds:.1f} s: {numbers}"


def _deletions(status: pb.GetStatusResponse) -> Iterator[str]:
    if status.deletions_hash:
        yield f"To let them go: kubectl flux sync --allow-deletions {status.deletions_hash}"
    yield from (f"{item.object}: {one_line(item.reason)}" for item in status.pending_deletions)


def _workloads(found: Findings) -> Iterator[str]:
    yield f"{found.ready} of {found.applied.workloads} in git are ready"
    yield from map(pending_line, found.pending)


def _feature(feature: pb.Feature) -> str:
    state = "on" if feature.enabled else "off"
    return f"{state}: {one_line(feature.reason)}" if feature.reason else state
