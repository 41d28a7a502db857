"""What the agent asked of the API server, from the API server's own audit log.

The log holds what ServiceAccounts of the agent's namespace do, one line for each finished request, and nothing else,
so that writing it costs the raw limit and the agent alike. Reviews of who is calling are no writes: they change
nothing.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AGENT = "flux-agent"
_QUIET = 0.3
_PATIENCE = 10.0
_READS = frozenset({"get", "list", "watch"})
_REVIEWS = frozenset({"tokenreviews", "subjectaccessreviews"})


@dataclass(frozen=True, slots=True)
class Calls:
    """Finished requests, counted: LIST pages by resource, writes and everything else by verb and resource."""

    lists: Mapping[str, int] = field(default_factory=dict)
    writes: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        pages = sum(self.lists.values())
        parts = [f"{pages} LIST page{'' if pages == 1 else 's'}"]
        parts += [f"{number} x {what}" for what, number in {**self.writes, **self.others}.items()]
        return ", ".join(parts if self.writes else [*parts, "no write"])


def counted(events: Iterable[Mapping[str, Any]]) -> Calls:
    """Counts audit events of the agent; the watches it holds open are left out."""
    lists, writes, others = Counter[str](), Counter[str](), Counter[str]()
    for event in events:
        verb, resource = event["verb"], event.get("objectRef", {}).get("resource") or event["requestURI"]
        if not event.get("userAgent", "").startswith(AGENT) or verb == "watch":
            continue
        if verb == "list":
            lists[resource] += 1
        else:
            (others if verb in _READS or resource in _REVIEWS else writes)[f"{verb} {resource}"] += 1
    return Calls(*(dict(sorted(found.items())) for found in (lists, writes, others)))


class AuditLog:
    """The log of one API server; `flags` make it write there."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self._log = folder / "audit.log"
        self._log.touch()
        self._policy = folder / "audit-policy.json"
        self._policy.write_text(json.dumps(_policy(namespace)))
        self._read_to = 0

    @property
    def flags(self) -> list[str]:
        """What the API server is started with."""
        return [f"--audit-policy-file={self._policy}", f"--audit-log-path={self._log}"]

    def skip(self) -> None:
        """Forgets what was asked until now."""
        self._wait_until_quiet()
        self._read_to = self._log.stat().st_size

    def calls(self) -> Calls:
        """What the agent asked since the last `skip`."""
        self._wait_until_quiet()
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            return counted(json.loads(line) for line in log)

    def _wait_until_quiet(self) -> None:
        """A request's line is written a moment after its answer."""
        size, deadline = -1, time.monotonic() + _PATIENCE
        while size != (size := self._log.stat().st_size) and time.monotonic() < deadline:
            time.sleep(_QUIET)


def _policy(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [{"level": "Metadata", "userGroups": [f"system:serviceaccounts:{namespace}"]}, {"level": "None"}],
    }
