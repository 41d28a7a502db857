"""A Prometheus histogram read back, and percentiles. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

Buckets = Mapping[str, float]
"""How many were at most so long: counts by the upper bound as Prometheus writes it, in seconds."""

_LABEL = re.compile(r'(\w+)="([^"]*)"')


def buckets(text: str, name: str, methods: Sequence[str]) -> Buckets:
    """The buckets of one histogram in Prometheus' text format, summed over what has one of these methods."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith(f"{name}_bucket{{"):
            labels = dict(_LABEL.findall(line))
            if labels.get("method") in methods:
                found[labels["le"]] = found.get(labels["le"], 0.0) + float(line.rpartition(" ")[2])
    return found


def between(before: Buckets, after: Buckets) -> Buckets:
    """What has come since."""
    return {bound: count - before.get(bound, 0.0) for bound, count in after.items()}


def upper_bound(found: Buckets, share: float) -> float:
    """The smallest bound under which at least this share of all lies; infinite where nothing was counted."""
    total = max(found.values(), default=0.0)
    fitting = [float(bound) for bound, count in found.items() if total and count >= share * total]
    return min(fitting, default=math.inf)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
