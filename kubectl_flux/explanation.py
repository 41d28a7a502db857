"""What `why` makes of the agent's explanation: who and what holds an update back, and the data for scripts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubectl_flux.health import time_text
from kubectl_flux.image_list import name_of, tag_of
from kubectl_flux.progress import SHORT, one_line
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

_UNWRITABLE: Mapping[str, str] = {
    "NotInRepo": "it is not in git",
    "NoRepo": "no git repository is configured",
    "NotReady": "the git repository cannot be used at present",
    "ReadOnlyMode": "the agent may not write to git",
    "System": "it belongs to the cluster itself",
}
"""Why a workload cannot be changed through git, by the agent's word for it."""
_HUB = ("index.docker.io/", "docker.io/", "library/")


def obstacles(told: pb.ExplainResponse) -> list[str]:
    """Why no image is released to the workload by itself; none where one would be."""
    policies = told.policies
    found = [unwritable(told.read_only)] if told.read_only else []
    if policies.get("ignore") == "true":
        found.append("it is ignored")
    if policies.get("locked") == "true":
        found.append(f"it is {lock(policies)}")
    if policies.get("automated") != "true":
        found.append("it is not automated")
    if not told.automation.enabled:
        found.append(f"automation is {feature(told.automation)}")
    return found


def unwritable(reason: str) -> str:
    """Why a workload cannot be changed through git, in words; a reason that is not known stands for itself."""
    return _UNWRITABLE.get(reason, reason)


def lock(policies: Mapping[str, str]) -> str:
    """By whom a workload is locked and why, as far as that was noted."""
    who, why = policies.get("locked_user", ""), policies.get("locked_msg", "")
    return "locked" + (f" by {one_line(who)}" if who else "") + (f": {one_line(why)}" if why else "")


def feature(value: pb.Feature) -> str:
    """Whether a part of the agent is at work, and what is in its way."""
    state = "on" if value.enabled else "off"
    return f"{state}: {one_line(value.reason)}" if value.reason else state


def obstacles_of(container: pb.ContainerExplanation, policies: Mapping[str, str]) -> list[str]:
    """Why automation does not release what a container's filter picks, beside what holds its workload."""
    found = []
    if container.taken_back and container.HasField("picked"):
        tag, digest = tag_of(container.taken_back), container.taken_back.partition("@")[2]
        commit = f" (commit {container.taken_back_by[:SHORT]})" if container.taken_back_by else ""
        found.append(f"{tag or digest} was taken back{commit}, which kubectl flux automate --accept lifts")
    if not tag_of(container.current.id) and f"tag.{container.name}" not in policies:
        found.append("it names no tag, and no filter says which to follow")
    return found


def verdict(container: pb.ContainerExplanation, held: list[str]) -> Iterator[str]:
    """What becomes of the container, the answer first.

    Args:
        container: What is known of it.
        held: Why nothing is released to it by itself.
    """
    scan, reason = container.scan, one_line(container.reason)
    if not container.update:
        unknown = scan.name and not scan.tags and not container.pattern_error
        yield f"stays as it is: {_unread(scan) if unknown else reason}"
        return
    if not held:
        yield f"will be updated by itself: {reason}"
        return
    yield f"could be updated: {reason}"
    yield f"not done by itself: {'; '.join(held)}"


def _unread(scan: pb.RepositoryScan) -> str:
    """Why no tags of a repository are known."""
    if scan.error:
        return f"nothing is known of its tags: {one_line(scan.error)}"
    return "its registry has no tags of it" if scan.HasField("scanned_at") else "its registry has not been asked yet"


def asked_about(container: pb.ContainerExplanation, image: str) -> pb.RejectedImage | None:
    """What is said of the image that was asked about; None where none was, or it is not this container's.

    Args:
        container: What is known of the container.
        image: A reference or a tag, as it was given.
    """
    if not container.HasField("asked"):
        return None
    named = "/" in image or ":" in image
    return container.asked if not named or _plain(image) == _plain(container.current.id) else None


def _plain(reference: str) -> str:
    """An image's name without what Docker Hub's names may have in front."""
    name = name_of(reference)
    for prefix in _HUB:
        name = name.removeprefix(prefix)
    return name


def as_data(told: pb.ExplainResponse, image: str = "") -> dict[str, Any]:
    """The same as JSON and YAML have it; the keys are documented."""
    return {
        "workload": told.workload,
        "policies": dict(sorted(told.policies.items())),
        "automation": {"enabled": told.automation.enabled, "reason": told.automation.reason},
        "readOnly": told.read_only,
        "heldBy": obstacles(told),
        "containers": [_container(container, image) for container in told.containers],
    }


def _container(container: pb.ContainerExplanation, image: str) -> dict[str, Any]:
    asked = asked_about(container, image)
    return {
        "name": container.name,
        "current": _image(container.current),
        "pattern": container.pattern,
        "patternError": container.pattern_error,
        "order": container.order,
        "byLabel": container.by_label,
        "picked": _image(container.picked) if container.HasField("picked") else None,
        "update": container.update,
        "reason": container.reason,
        "takenBack": container.taken_back,
        "takenBackBy": container.taken_back_by,
        "rejected": [{"tag": each.tag, "reason": each.reason} for each in container.rejected],
        "rejectedCount": container.rejected_count,
        "asked": {"tag": asked.tag, "reason": asked.reason} if asked else None,
        "scan": _scan(container.scan),
    }


def _image(image: pb.Image) -> dict[str, Any]:
    return {
        "id": image.id,
        "digest": image.digest,
        "imageId": image.image_id,
        "createdAt": time_text(image, "created_at"),
        "lastFetched": time_text(image, "last_fetched"),
        "error": image.error,
    }


def _scan(scan: pb.RepositoryScan) -> dict[str, Any]:
    return {
        "name": scan.name,
        "tags": scan.tags,
        "known": scan.known,
        "scannedAt": time_text(scan, "scanned_at"),
        "nextScanAt": time_text(scan, "next_scan_at"),
        "error": scan.error,
        "credential": scan.credential,
        "rate": scan.rate,
        "pausedSeconds": scan.paused_for.seconds + scan.paused_for.nanos / 1e9,
    }
