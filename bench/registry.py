"""An image registry, the embedded one of `make demo`, in a process of its own.

    registry.py [--password]

Writes where it serves as one line of JSON, then answers each line of its stdin, one JSON object, with another one:

    {"do": "push", "repositories": [NAME…], "tags": N, "indexes": false}
    {"do": "forget"}                                  what was asked until now
    {"do": "counts"}                                  what was asked since, and the seconds from the first to the last

With `--password` it wants a token, which it gives to `bench` with password `bench`. `Registry` is the other end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from agent.sandbox.registry import Asked, SandboxRegistry

USER = "bench"
FIRST_BUILT = 1_600_000_000
PLATFORMS = ("amd64", "arm64")
_TIMEOUT = 60.0


@dataclass(slots=True)
class Tally:
    """What the registry was asked, and when."""

    kinds: Counter[str] = field(default_factory=Counter)
    first: float = 0.0
    last: float = 0.0

    def __call__(self, asked: Asked) -> None:
        """Counts a request; the registry answers it then."""
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.kinds[asked.kind] += 1


def push(registry: SandboxRegistry, repository: str, tags: int, *, indexes: bool) -> None:
    """Lets a repository have the tags 1.0.0, 1.0.1 and so on, each an image of its own, built one after the other.

    With `indexes` each is an index of an image for two platforms.
    """
    for number in range(tags):
        registry.push(repository, f"1.0.{number}", FIRST_BUILT + number, platforms=PLATFORMS if indexes else ())


def main(arguments: list[str]) -> int:
    """Serves until stdin ends."""
    with SandboxRegistry(users={USER: USER} if arguments == ["--password"] else None) as served:
        print(json.dumps({"host": served.host}), flush=True)
        obey(served)
    return 0


def obey(served: SandboxRegistry) -> None:
    """Does what is asked on stdin."""
    served.fault = tally = Tally()
    for line in sys.stdin:
        asked, answer = json.loads(line), dict[str, Any]()
        match asked["do"]:
            case "push":
                for repository in asked["repositories"]:
                    push(served, repository, asked["tags"], indexes=asked["indexes"])
            case "forget":
                served.asked.clear()
                served.fault = tally = Tally()
            case "counts":
                answer = {"counts": dict(tally.kinds), "seconds": tally.last - tally.first}
        print(json.dumps(answer), flush=True)


@dataclass(frozen=True, slots=True)
class Asks:
    """What a registry was asked: how often for `tags`, `digest`, `manifest`, `blob` and `token`; within how long."""

    counts: dict[str, int]
    seconds: float

    def of(self, *kinds: str) -> int:
        """How often for any of these."""
        return sum(self.counts.get(kind, 0) for kind in kinds)

    @property
    def besides_tokens(self) -> int:
        """How often for anything but a token."""
        return sum(self.counts.values()) - self.of("token")


class Registry:
    """The process, from outside; a context manager that starts and ends it.

    Args:
        password: Whether it wants a token.
        enter: What runs a command beside the one who is to ask it; empty for here.
    """

    def __init__(self, *, password: bool = False, enter: Sequence[str] = ()) -> None:
        self._command = [*enter, sys.executable, __file__, *(["--password"] if password else [])]

    def __enter__(self) -> Self:
        """Starts it."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.host: str = self._answer()["host"]
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        with self._process as process:
            try:
                process.communicate(timeout=_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()

    def push(self, repositories: Iterable[str], tags: int, *, indexes: bool = False) -> None:
        """Lets the registry have these repositories, each with so many tags."""
        self._ask(do="push", repositories=list(repositories), tags=tags, indexes=indexes)

    def forget(self) -> None:
        """Counts anew."""
        self._ask(do="forget")

    def asks(self) -> Asks:
        """What the registry was asked since."""
        return Asks(**self._ask(do="counts"))

    def _ask(self, **words: object) -> dict[str, Any]:
        if self._process.stdin is None:
            raise RuntimeError("it was not started")
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the registry ended; stderr tells why")
        answer: dict[str, Any] = json.loads(line)
        return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
