"""The page that `why` prints: the workload, then for each container what becomes of it and what that rests on. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_flux.explanation import asked_about, feature, lock, obstacles, obstacles_of, unwritable, verdict
from kubectl_flux.image_list import built, tag_of
from kubectl_flux.output import coloured
from kubectl_flux.paragraphs import ago, part, span
from kubectl_flux.progress import one_line
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

Part = tuple[str, list[str]]

EVERYTHING = "glob:*"
VERDICT = "Verdict"


def page(told: pb.ExplainResponse, image: str, now: float, columns: int = 0, *, colours: bool = False) -> str:
    """The whole page.

    Args:
        told: What the agent explains.
        image: The image that was asked about, as it was given; empty for none.
        now: The time in Unix seconds, to tell ages.
        columns: The terminal's width; 0 for a pipe.
        colours: Whether verdicts are coloured.
    """
    lines = [line for title, body in _workload(told) for line in part(title, body, columns)]
    for container in told.containers:
        lines.append("")
        held = [*obstacles(told), *obstacles_of(container, told.policies)]
        for title, body in _container(container, held, image, now):
            shown = part(title, body, columns)
            colour = _colour(container, held) if colours and title == VERDICT else ""
            lines += [coloured(line, colour) for line in shown]
    return "".join(f"{line}\n" for line in lines)


def _workload(told: pb.ExplainResponse) -> Iterator[Part]:
    yield "Workload", [told.workload]
    yield "Policies", list(_policies(told)) or ["none"]
    yield "Automation", [feature(told.automation)]
    if told.read_only:
        yield "Git", [f"cannot be changed through git: {unwritable(told.read_only)}"]


def _policies(told: pb.ExplainResponse) -> Iterator[str]:
    policies = told.policies
    if policies.get("automated") == "true":
        yield "automated"
    if policies.get("locked") == "true":
        yield lock(policies)
    match policies.get("ignore"):
        case "true":
            yield "ignored: neither synced nor released to"
        case "sync_only":
            yield "synced, and kept when it leaves git (ignore: sync_only)"


def _container(container: pb.ContainerExplanation, held: list[str], image: str, now: float) -> Iterator[Part]:
    yield "Container", [container.name]
    yield VERDICT, list(verdict(container, held))
    yield "Runs", [_image(container.current, container.current.id)]
    yield "Filter", [_filter(container)]
    if container.HasField("picked"):
        yield "Picks", [_image(container.picked, tag_of(container.picked.id))]
    if container.rejected_count:
        yield "Kept out", list(_rejected(container))
    if container.HasField("asked"):
        yield "Asked", [_asked(container, image)]
    if container.scan.name:
        yield "Repository", list(_repository(container.scan, now))


def _image(image: pb.Image, name: str) -> str:
    when = f", built {built(image)}" if image.HasField("created_at") else ""
    return f"{name}{when}" + (f" ({one_line(image.error)})" if image.error else "")


def _filter(container: pb.ContainerExplanation) -> str:
    if container.pattern_error:
        return f"cannot be used: {one_line(container.pattern_error)}"
    order = f"newest by {container.order}" + (", read from labels" if container.by_label else "")
    if container.pattern == EVERYTHING:
        return f"none, so every tag but latest fits; {order}"
    return f"{container.pattern}; {order}"


def _rejected(container: pb.ContainerExplanation) -> Iterator[str]:
    """How many tags are kept out, and then the newest of them by their rules."""
    count = container.rejected_count
    yield _counted(count, "tag")
    rules: dict[str, list[str]] = {}
    for each in container.rejected:
        rules.setdefault(one_line(each.reason), []).append(each.tag)
    for rule, tags in rules.items():
        yield f"{', '.join(tags)}: {rule}"
    if count > len(container.rejected):
        yield f"and {count - len(container.rejected)} more"


def _asked(container: pb.ContainerExplanation, image: str) -> str:
    asked = asked_about(container, image)
    if asked is None:
        return f"{image}: this container runs another image"
    return f"{asked.tag}: {one_line(asked.reason) or 'it is the one that the filter picks'}"


def _repository(scan: pb.RepositoryScan, now: float) -> Iterator[str]:
    yield scan.name
    if scan.error:
        yield f"not scanned: {one_line(scan.error)}"
    if not scan.HasField("scanned_at") and not scan.HasField("next_scan_at"):
        return
    yield f"{_counted(scan.tags, 'tag')}, {scan.known} looked at; {_scanned(scan, now)}"
    yield f"asked with {scan.credential}" if scan.credential else "asked without a credential"
    paused = scan.paused_for.seconds + scan.paused_for.nanos / 1e9
    pause = f"; paused for {span(paused + 0.999)}, as the host asked" if paused else ""
    yield f"{scan.rate:g} requests a second at most{pause}"


def _scanned(scan: pb.RepositoryScan, now: float) -> str:
    last = f"tags listed {ago(now - scan.scanned_at.seconds)}" if scan.HasField("scanned_at") else "tags not listed yet"
    if not scan.HasField("next_scan_at"):
        return last
    left = scan.next_scan_at.seconds - now
    return f"{last}, again in {span(left)}" if left > 0 else f"{last}, again now"


def _colour(container: pb.ContainerExplanation, held: list[str]) -> str:
    if container.pattern_error or container.scan.error:
        return "red"
    return "yellow" if container.update and held else "green"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
