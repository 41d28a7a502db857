"""The methods that tell of images: ListImages and Explain.

Both first let the library find out what they need, as long as the caller is willing to wait, and then tell what is
known: a registry that is slow or away makes an answer poorer, never an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Protocol

from google.protobuf.duration_pb2 import Duration

from agent.api import convert, views, visibility
from agent.api.call import Call
from agent.api.errors import NotFoundError
from agent.api.image_views import Filter, explained, is_in_the_way, listing, needed_tags
from agent.api.visibility import Discretion
from agent.model.access import LIST_WORKLOADS, Visible
from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.images import Image, Reference, Repository
from agent.model.resources import Origin
from agent.model.status import Feature, Mark, Status
from agent.model.updates import Definition
from agent.model.workloads import Container, Workload, WorkloadSnapshot
from agent.registry.demand import reference_of, scope_of
from agent.registry.library import Library, Wish
from agent.registry.limits import RateState
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

MAX_WAIT = 25.0
NO_SCANNING = "registries are not scanned: --registry-disable-scanning"


class Reads(Protocol):
    """What is known of workloads and git."""

    def status(self) -> Status:
        """How the cluster stands to git."""

    def workloads(self) -> WorkloadSnapshot:
        """What the cluster runs."""


class Images:
    """Answers ListImages and Explain.

    Args:
        reads: What is known of workloads and git.
        library: What is known of images; None where registries are not scanned.
        automation: Whether images are released by themselves, and why not.
    """

    def __init__(self, reads: Reads, library: Library | None, automation: Callable[[], Feature]) -> None:
        self._reads = reads
        self._library = library
        self._automation = automation

    def list_images(self, request: pb.ListImagesRequest, call: Call) -> pb.ListImagesResponse:
        """The images that exist for the containers of workloads."""
        if request.limit < 0:
            raise UsageError(f"the limit is {request.limit}", hint="say 0 for all images")
        status, snapshot = self._reads.status(), self._reads.workloads()
        if request.workload:
            id_ = WorkloadId.parse(request.workload)
            visible = _required(call, id_.namespace)
            rows, token, restricted = [item for item in snapshot.workloads if item.id == id_], "", False
        else:
            visible = self._visible(request.namespace, call)
            rows, token, restricted = self._page(request, visible)
        self._find_out(rows, status, call, request)
        found = [self._workload(item, status.policies.get(item.id, {}), request.limit) for item in rows]
        _hush((container for each in found for container in each.containers), Discretion(visible))
        return pb.ListImagesResponse(workloads=found, next_page_token=token, restricted=restricted)

    def explain(self, request: pb.ExplainRequest, call: Call) -> pb.ExplainResponse:
        """Which image the policies of a workload pick, and why."""
        id_ = WorkloadId.parse(request.workload)
        discretion = Discretion(_required(call, id_.namespace))
        status = self._reads.status()
        workload = next((item for item in self._reads.workloads().workloads if item.id == id_), None)
        if workload is None:
            raise NotFoundError(f"the cluster has no workload {id_}", hint="see: kubectl flux list-workloads -a")
        wanted = [item for item in workload.containers if request.container in ("", item.name)]
        if not wanted:
            names = ", ".join(item.name for item in workload.containers)
            raise NotFoundError(f"{id_} has no container {request.container}", hint=f"it has {names}")
        self._find_out([replace(workload, containers=tuple(wanted))], status, call, request)
        row = views.row_of(workload, status)
        return pb.ExplainResponse(
            workload=str(id_),
            policies=row.policies,
            automation=convert.feature(self._automation(), discretion),
            read_only=row.read_only,
            containers=[
                _marked(
                    self._explained(item, row.policies, request.image, discretion),
                    self._in_the_way(status, Definition(id_, Origin(""), (item,), row.policies)),
                )
                for item in wanted
            ],
        )

    def _in_the_way(self, status: Status, definition: Definition) -> Mark | None:
        """The mark that keeps automation from a container's newest image; None where it goes on, or nowhere anyway."""
        mark = status.marks.get((definition.id, definition.containers[0].name))
        if mark is None or self._library is None or not is_in_the_way(mark, definition, self._library):
            return None
        return mark

    def _visible(self, namespace: str, call: Call) -> Visible:
        """What the caller sees; the one namespace that was asked for is insisted on."""
        if namespace:
            return _required(call, namespace)
        known = visibility.candidates(self._reads.status(), self._reads.workloads())
        return call.access.visible(LIST_WORKLOADS, known)

    def _page(self, request: pb.ListImagesRequest, visible: Visible) -> tuple[list[Workload], str, bool]:
        """A page of workloads, the token of the next, and whether some are hidden."""
        shown, restricted = visibility.workloads(self._reads.workloads(), visible)
        window = views.Window(request.namespace, request.page_size, request.page_token)
        page = views.list_workloads(shown, self._reads.status(), window)
        return [row.workload for row in page.rows], page.next_token, restricted and not request.namespace

    def _find_out(self, rows: Iterable[Workload], status: Status, call: Call, request: _Waits) -> None:
        """Let the library find out what the answer needs: first which tags there are, then when they were built."""
        if self._library is None:
            return
        wanted = [
            (image, scope_of(item), container, item.id)
            for item in rows
            for container in item.containers
            if (image := reference_of(container)) is not None
        ]
        seconds = request.wait.seconds + request.wait.nanos / 1e9
        deadline = time.monotonic() + call.patience(min(seconds, MAX_WAIT))
        with call.slots.hold() if seconds else nullcontext():
            lists = [Wish(image, scope) for image, scope, _, _ in wanted]
            self._library.fetch(lists, deadline - time.monotonic(), call.over)
            limit = request.limit if isinstance(request, pb.ListImagesRequest) else 1
            looks = [
                Wish(image, scope, self._needed(image, Filter.of(container.name, status.policies.get(id_, {})), limit))
                for image, scope, container, id_ in wanted
            ]
            self._library.fetch([wish for wish in looks if wish.tags], deadline - time.monotonic(), call.over)

    def _needed(self, image: Reference, filter_: Filter, limit: int) -> frozenset[str]:
        images = self._library.ordered(image, filter_.pattern.order) if self._library else ()
        return needed_tags(images, image, filter_.pattern, limit)

    def _workload(self, workload: Workload, policies: Mapping[str, str], limit: int) -> pb.WorkloadImages:
        containers = [self._container(item, policies, limit) for item in workload.containers]
        return pb.WorkloadImages(id=str(workload.id), containers=containers)

    def _container(self, container: Container, policies: Mapping[str, str], limit: int) -> pb.ContainerImages:
        image = reference_of(container)
        if image is None or self._library is None:
            why = NO_SCANNING if image else f"{container.image} is no image reference"
            return pb.ContainerImages(name=container.name, current=pb.Image(id=container.image), available_error=why)
        pattern, by_label = Filter.of(container.name, policies).pattern, self._library.by_label(image)
        images, places = self._library.fitting(image, pattern)
        found = listing(images, places, image, limit)
        total, newer, fitting, newer_fitting = found.counts
        return pb.ContainerImages(
            name=container.name,
            current=_image(image, found.current, by_label=by_label) if found.current else pb.Image(id=container.image),
            latest_filtered=_image(image, found.newest, by_label=by_label) if found.newest else None,
            available=[_image(image, each, by_label=by_label) for each in found.available],
            available_error=self._library.repository(image).error,
            available_count=total,
            new_available_count=newer,
            filtered_count=fitting,
            new_filtered_count=newer_fitting,
            current_place=found.place,
        )

    def _explained(
        self, container: Container, policies: Mapping[str, str], asked: str, discretion: Discretion
    ) -> pb.ContainerExplanation:
        image, filter_ = reference_of(container), Filter.of(container.name, policies)
        told = pb.ContainerExplanation(
            name=container.name,
            current=pb.Image(id=container.image),
            pattern=str(filter_.pattern),
            pattern_error=filter_.error,
            order=filter_.pattern.order,
        )
        if image is None or self._library is None:
            told.reason = NO_SCANNING if image else f"{container.image} is no image reference"
            return told
        by_label = self._library.by_label(image)
        images = self._library.ordered(image, filter_.pattern.order)
        found = explained(images, image, filter_.pattern, _tag_of(asked), by_label=by_label)
        told.by_label = by_label
        told.update = found.choice.update and not filter_.error
        told.reason = f"its filter cannot be used: {filter_.error}" if filter_.error else found.choice.reason
        running = next((each for each in images if each.tag == image.tag), None)
        if running:
            told.current.CopyFrom(_image(image, running, by_label=by_label))
            told.current.id = container.image
        if found.choice.picked:
            told.picked.CopyFrom(_image(image, found.choice.picked, by_label=by_label))
        told.rejected.extend(pb.RejectedImage(tag=tag, reason=reason) for tag, reason in found.rejected)
        told.rejected_count = found.rejected_count
        if found.asked:
            told.asked.CopyFrom(pb.RejectedImage(tag=found.asked[0], reason=found.asked[1]))
        told.scan.CopyFrom(_scan(self._library.repository(image), self._library.rate(image)))
        told.scan.credential = discretion.without_secrets(told.scan.credential)
        told.scan.error = discretion.without_secrets(told.scan.error)
        _hush_images((told.current, told.picked), discretion)
        return told


def _marked(told: pb.ContainerExplanation, mark: Mark | None) -> pb.ContainerExplanation:
    if mark is not None:
        told.taken_back, told.taken_back_by = mark.image, mark.commit
    return told


class _Waits(Protocol):
    """A request that says how long to wait."""

    @property
    def wait(self) -> Duration:
        """How long."""


def _image(written: Reference, image: Image, *, by_label: bool) -> pb.Image:
    """An image under the name that the container uses."""
    return pb.Image(
        id=str(written.with_tag(image.tag)),
        digest=image.digest,
        image_id=image.image_id,
        labels=image.labels,
        created_at=convert.timestamp(image.built(by_label=by_label) or 0.0),
        last_fetched=convert.timestamp(image.fetched_at),
        error=image.error,
    )


def _scan(repository: Repository, rate: RateState) -> pb.RepositoryScan:
    return pb.RepositoryScan(
        name=repository.name,
        tags=len(repository.images),
        known=sum(bool(image.fetched_at) for image in repository.images.values()),
        scanned_at=convert.timestamp(repository.scanned_at),
        next_scan_at=convert.timestamp(repository.next_scan_at),
        error=repository.error,
        credential=repository.credential,
        rate=rate.rate,
        paused_for=convert.duration(rate.paused_for),
    )


def _required(call: Call, namespace: str) -> Visible:
    """What the caller sees, who must see this namespace.

    Raises:
        ForbiddenError: They do not.
    """
    call.access.require(LIST_WORKLOADS, [namespace])
    return call.access.visible(LIST_WORKLOADS, [namespace])


def _hush(containers: Iterable[pb.ContainerImages], discretion: Discretion) -> None:
    """Take the names of others' Secrets out of all that failed."""
    for each in containers:
        each.available_error = discretion.without_secrets(each.available_error)
        _hush_images((each.current, each.latest_filtered, *each.available), discretion)


def _hush_images(images: Iterable[pb.Image], discretion: Discretion) -> None:
    for image in images:
        if image.error:  # what is absent must stay so
            image.error = discretion.without_secrets(image.error)


def _tag_of(asked: str) -> str:
    """The tag that was asked about: of a reference, or alone."""
    if not asked or ("/" not in asked and ":" not in asked):
        return asked
    return Reference.parse(asked).tag
