"""What `list-images` prints: Flux v1's table of the images that exist, and the same data with v1's keys. Pure.

The agent sends the newest images of each container and the place of the current one among all of them; what lies
between is told as omitted. Times are in UTC, as v1's were in its container.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from kubectl_flux.output import go_json, table, yaml_text
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

HEADERS = ("WORKLOAD", "CONTAINER", "IMAGE", "CREATED")
WIDE_HEADERS = (*HEADERS, "DIGEST", "ERROR")
NO_DATA = "image data not available"
NEWER, CURRENT, OLDER = "|  ", "'->", "   "
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def render(workloads: Sequence[pb.WorkloadImages], output_format: str, *, headers: bool) -> str:
    """The images in one of the formats.

    Args:
        workloads: In the order to show.
        output_format: A known format.
        headers: Whether a table begins with its headers.
    """
    match output_format:
        case "json":
            return go_json([as_v1(workload) for workload in workloads])
        case "yaml":
            return yaml_text([as_v1(workload) for workload in workloads])
        case "name":
            return "".join(f"{name}\n" for name in _names(workloads))
    wide = output_format == "wide"
    rows = [list(WIDE_HEADERS if wide else HEADERS)] if headers else []
    for workload in workloads:
        rows.extend(row if wide else row[: len(HEADERS)] for row in _rows(workload))
    return table(rows)


def as_v1(workload: pb.WorkloadImages) -> dict[str, Any]:
    """A workload with the keys of Flux v1's API, in their order; what is empty is left out as there."""
    return {"ID": workload.id, "Containers": [_container(container) for container in workload.containers]}


def name_of(reference: str) -> str:
    """An image's name as it is written, without tag and digest."""
    folder, slash, last = reference.partition("@")[0].rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def tag_of(reference: str) -> str:
    """An image's tag; empty where it has none."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[2]


def built(image: pb.Image) -> str:
    """When an image was built, as Go's RFC822 has it; empty where that is not known."""
    return _rfc822(image.created_at.seconds // 60) if image.HasField("created_at") else ""


@lru_cache(maxsize=4096)
def _rfc822(minutes: int) -> str:
    """A moment, to the minute, whatever the locale."""
    at = datetime.fromtimestamp(minutes * 60, tz=UTC)
    return f"{at.day:02} {_MONTHS[at.month - 1]} {at.year % 100:02} {at.hour:02}:{at.minute:02} UTC"


def _rows(workload: pb.WorkloadImages) -> Iterator[list[str]]:
    """A workload's rows, with the cells of the wide table."""
    if not workload.containers:
        yield [workload.id, "", "", "", "", ""]
    id_ = workload.id
    for container in workload.containers:
        name = name_of(container.current.id) if container.current_place else ""
        trouble = "" if container.available else container.available_error or NO_DATA
        yield [id_, container.name, name, trouble, "", ""]
        yield from _lines(container)
        id_ = ""


def _lines(container: pb.ContainerImages) -> Iterator[list[str]]:
    """The images of one container: the newest, then the current one where it is not among them."""
    place, shown = container.current_place, len(container.available)
    for number, image in enumerate(container.available, start=1):
        mark = CURRENT if number == place else OLDER if 0 < place < number else NEWER
        yield _line(mark, image)
    if place > shown + 1:
        yield ["", "", f": ({place - shown - 1} image(s) omitted)", "", "", ""]
    if place > shown:
        yield _line(CURRENT, container.current)
    if not place:
        yield ["", "", f"{CURRENT} (untagged)", "?", "", ""]


def _line(mark: str, image: pb.Image) -> list[str]:
    error = " ".join(image.error.split()) if image.error else ""
    return ["", "", f"{mark} {tag_of(image.id)}", built(image), image.digest, error]


def _names(workloads: Iterable[pb.WorkloadImages]) -> dict[str, None]:
    """The images, each once, in the order of the table."""
    return {
        image.id: None for workload in workloads for container in workload.containers for image in container.available
    }


def _container(container: pb.ContainerImages) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Name": container.name,
        "Current": _image(container.current),
        "LatestFiltered": _image(container.latest_filtered),
    }
    more = {
        "Available": [_image(image) for image in container.available],
        "AvailableError": container.available_error,
        "AvailableImagesCount": container.available_count,
        "NewAvailableImagesCount": container.new_available_count,
        "FilteredImagesCount": container.filtered_count,
        "NewFilteredImagesCount": container.new_filtered_count,
    }
    return made | {key: value for key, value in more.items() if value}


def _image(image: pb.Image) -> dict[str, Any]:
    """An image with v1's keys, and `Error`, which v1 did not have."""
    made: dict[str, Any] = {"ID": image.id}
    if image.digest:
        made["Digest"] = image.digest
    if image.image_id:
        made["ImageID"] = image.image_id
    made["Labels"] = dict(sorted(image.labels.items()))
    if image.HasField("created_at"):
        made["CreatedAt"] = rfc3339(image.created_at)
    if image.HasField("last_fetched"):
        made["LastFetched"] = rfc3339(image.last_fetched)
    if image.error:
        made["Error"] = image.error
    return made


def rfc3339(moment: Timestamp) -> str:
    """A moment as Go's RFC3339Nano has it in UTC: no zeros at the end of a fraction."""
    text = datetime.fromtimestamp(moment.seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{moment.nanos:09}".rstrip("0") if moment.nanos else ""
    return f"{text}{fraction}Z"
