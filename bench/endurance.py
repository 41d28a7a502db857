"""Very many releases, one after the other: what each takes, and whether the agent's memory grows with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import Row, median, seconds
from front import CALLERS
from images import Scanned
from processes import memory_of
from releases import workload_of
from repository import apps

ROUNDS = 10
FLAT = 1.05
"""The last round's memory over the first's."""


@dataclass(frozen=True, slots=True)
class Endurance:
    """Releases of one workload, from one tag to the other and back.

    Attributes:
        objects: Of the repository.
        number: How many releases.
        taken: Seconds of each, from the request to the job's end.
        before: The agent's memory after the first sync, in MB.
        memory: After each round of releases.
    """

    objects: int
    number: int
    taken: Sequence[float]
    before: Mapping[str, float]
    memory: Sequence[Mapping[str, float]]


def measure(number: int, size: int) -> Endurance:
    """Releases so often to one of `size` workloads."""
    with Scanned() as scanned:
        content = apps(size, registry=scanned.registry.host)
        name = next(Path(path).stem for path in content.files if path.startswith("apps/"))
        scanned.registry.push([f"acme/{name}"], 2)
        scanned.start_agent("--automation-interval=1h", f"--registry-include-image=*/acme/{name}")
        scanned.stage.remote.push(content.files)
        scanned.stage.ask_for_sync()
        before, taken, memory = memory_of(scanned.pid), [], []
        images = [f"{scanned.registry.host}/acme/{name}:1.0.{patch}" for patch in (1, 0)]
        place, each = scanned.stage.agent.listen, str(number // ROUNDS)
        for _ in range(ROUNDS):
            arguments = ("releases", place, each, workload_of(content, name), *images)
            found = scanned.stage.script(CALLERS, *arguments, environment={"FLUX_TOKEN": scanned.stage.token})
            taken += found["seconds"]
            memory.append(memory_of(scanned.pid))
        return Endurance(content.objects, len(taken), taken, before, memory)


def row(found: Endurance) -> Row:
    """Memory, which is to stay what it is after the first of them."""
    (early, *_, late) = (each["VmRSS"] for each in found.memory)
    return Row(
        f"{found.number:,} releases one after the other, {found.objects:,} objects",
        "flux-agent",
        f"memory {found.before['VmRSS']:.0f} MB before, {early:.0f} MB after {found.number // ROUNDS}, {late:.0f} MB "
        f"after all; each pushed in {seconds(median(found.taken))}, the slowest in {seconds(max(found.taken))}",
        target="memory flat",
        reached=late <= FLAT * early,
    )
