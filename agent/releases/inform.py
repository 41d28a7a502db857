"""Finding out what a release has to know about images, for as long as whoever asked may wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.updates import Plan
from agent.model.workloads import Workload, WorkloadSnapshot
from agent.registry.demand import reference_of, scope_of
from agent.registry.library import Library, Wish
from agent.registry.records import PullScope
from agent.releases import calculate

PATIENCE = 20.0
"""Seconds that a release waits for registries, all in all."""
MOST_ROUNDS = 4
"""Times that a release is planned anew because more has been found out."""


@dataclass(frozen=True, slots=True)
class Informant:
    """Asks for what is not known, on behalf of one job.

    Attributes:
        library: What is known of images.
        snapshot: What the cluster runs: the rights to pull are those of its workloads.
        default_namespace: Whose rights count for an image that no workload runs.
        stop: Set when the agent is shutting down.
        deadline: Until when there is time, on the monotonic clock.
    """

    library: Library
    snapshot: WorkloadSnapshot
    default_namespace: str
    stop: threading.Event
    deadline: float = 0.0

    def find(self, image: Reference) -> None:
        """See to it that an image that somebody names is known, though it may have been pushed a moment ago."""
        try:
            calculate.existing(image, self.library)
        except UsageError:
            known = self.library.repository(image)
            if known.scanned_at and not known.error:
                self.library.rescan(image.canonical_name)
                self.library.wait(image, self._left(), self.stop.is_set)
            else:
                wish = Wish(image, self._scope_of_image(image.canonical_name))
                self.library.fetch([wish], self._left(), self.stop.is_set)

    def settled(self, planned: Callable[[], Plan]) -> Plan:
        """The plan, once what it has to know about images is found out, or time is over."""
        plan = planned()
        for _ in range(MOST_ROUNDS):
            if not plan.wanted or self._left() <= 0 or self.stop.is_set():
                break
            self.library.fetch(self.wishes(plan), self._left(), self.stop.is_set)
            plan = planned()
        return plan

    def wishes(self, plan: Plan) -> list[Wish]:
        """What a plan would have to know."""
        running = {item.id: item for item in self.snapshot.workloads} if plan.wanted else {}
        return [Wish(each.image, _scope(running.get(each.workload), each.workload), each.tags) for each in plan.wanted]

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _scope_of_image(self, name: str) -> PullScope:
        """The rights of the first workload that runs an image of this repository."""
        for item in self.snapshot.workloads:
            images = map(reference_of, item.containers)
            if any(image is not None and image.canonical_name == name for image in images):
                return scope_of(item)
        return PullScope(self.default_namespace)


def _scope(workload: Workload | None, id_: WorkloadId) -> PullScope:
    return scope_of(workload) if workload is not None else PullScope(id_.namespace)
