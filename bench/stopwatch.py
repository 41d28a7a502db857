"""Where the time of a sync goes: the real agent with a stopwatch around some of its functions.

`measure` runs this file as a script inside the control plane, in place of `flux-agent`; it wraps the functions of
`STEPS`, runs the agent and writes the sums when that ends. A wrapped call costs a microsecond, so the figures stay
those of the agent; a profiler that follows every call would double them. A function that is no longer there is left
out and named.
"""

from __future__ import annotations

import functools
import importlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from figures import Cost

if TYPE_CHECKING:
    from repository import Content

_GRACE = 60.0


class Step(NamedTuple):
    """A function to put a stopwatch around: `where` it is looked up when called, and what to call it."""

    name: str
    module: str
    where: str


STEPS = (
    Step("fetch the repository", "agent.git.mirror", "Mirror.fetch"),
    Step("load the manifests", "agent.manifests.load", "ManifestLoader.load"),
    Step("· read the files from git", "agent.git.mirror", "Mirror.read"),
    Step("the sync", "agent.sync.engine", "SyncEngine.sync"),
    Step("· ask which kinds are served", "agent.cluster.client", "ApiClient.kinds"),
    Step("· defaults, marks and checksums", "agent.sync.desired", "DesiredBuilder.build"),
    Step("· observe (LIST)", "agent.sync.observe", "Observer.observe"),
    Step("· plan", "agent.sync.engine", "plan"),
    Step("· apply", "agent.sync.apply", "Applier.apply"),
    Step("· · each object", "agent.sync.apply", "Applier._send"),
    Step("· · · each apply request", "agent.cluster.client", "ApiClient.apply"),
    Step("· · · whether kubectl's fields must be taken over", "agent.sync.apply", "take_over"),
    Step("· · · what became ours", "agent.sync.apply", "fingerprint"),
    Step("· collect what left git", "agent.sync.collect", "Collector.collect"),
    Step("HTTP of all these requests, and of the watches", "urllib3.connectionpool", "HTTPConnectionPool.urlopen"),
    Step("move the marker", "agent.git.state", "TagMarker.advance"),
)


class Stopwatch:
    """Sums for one function, over all threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._times, self._wall, self._cpu = 0, 0.0, 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, measured."""

        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self._add(time.perf_counter() - wall, time.thread_time() - cpu)

        return measured

    def _add(self, wall: float, cpu: float) -> None:
        with self._lock:
            self._times, self._wall, self._cpu = self._times + 1, self._wall + wall, self._cpu + cpu

    def cost(self) -> Cost:
        """What came together."""
        return Cost(self._name, self._times, self._wall, self._cpu)


def install(step: Step) -> Stopwatch | None:
    """Wraps one function; None where it is not there."""
    owner: Any = importlib.import_module(step.module)
    *path, name = step.where.split(".")
    try:
        for part in path:
            owner = getattr(owner, part)
        function = getattr(owner, name)
    except AttributeError:
        return None
    watch = Stopwatch(step.name)
    setattr(owner, name, watch.around(function))
    return watch


def measure(content: Content, folder: str = "stopwatch.json") -> list[Cost]:
    """The first sync of these apps by an agent with stopwatches, on a stage of its own."""
    from stage import AGENT_FLAGS, LONG, Stage  # noqa: PLC0415 # the script, inside, needs none of it

    with Stage() as stage:
        stage.remote.push(content.files)
        out = stage.folder / folder
        flags = [f"--kubeconfig={stage.agent.kubeconfig}", "--listen=127.0.0.1:0", "--listen-grpc=127.0.0.1:0"]
        flags += [f"--cache-dir={stage.folder / 'cache'}", f"--git-url={stage.remote.url}", "--auth=none"]
        flags += AGENT_FLAGS
        process = stage.plane.popen([sys.executable, __file__, str(out), *flags], log=stage.agent.log)
        stage.journal.wait_for_marker(LONG)
        process.send_signal(signal.SIGTERM)
        process.wait(_GRACE)
        answer = json.loads(out.read_text())
    for name in answer["missing"]:
        print(f"not measured, because it is not there: {name}")
    return [Cost(**cost) for cost in answer["costs"]]


def main(out: Path, flags: list[str]) -> int:
    """Runs the agent with stopwatches, and writes what they say to a file."""
    installed = [(step, install(step)) for step in STEPS]
    agent = importlib.import_module("agent.__main__")
    code: int = agent.main(flags)
    whole = Cost(
        "the whole process, its start and end included", 1, time.perf_counter() - _STARTED, time.process_time()
    )
    costs = [watch.cost() for _, watch in installed if watch] + [whole]
    missing = [f"{step.module}:{step.where}" for step, watch in installed if not watch]
    fields = ("step", "times", "wall", "cpu")
    out.write_text(json.dumps({"costs": [{f: getattr(cost, f) for f in fields} for cost in costs], "missing": missing}))
    return code


_STARTED = time.perf_counter()

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
