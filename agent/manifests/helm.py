"""Which folders are Helm charts: their templates are no manifests, so the sync leaves them alone, as Flux v1 did."""

from __future__ import annotations

from collections.abc import Iterable


def chart_folders(paths: Iterable[str]) -> frozenset[str]:
    """The folders that hold both `Chart.yaml` and `values.yaml`, the two files every chart has."""
    charts: set[str] = set()
    values: set[str] = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        if name == "Chart.yaml":
            charts.add(folder)
        elif name == "values.yaml":
            values.add(folder)
    return frozenset(charts & values)


def in_chart(path: str, charts: frozenset[str]) -> bool:
    """Whether the file lies in one of these chart folders, at any depth."""
    folder = path.rpartition("/")[0]
    while True:
        if folder in charts:
            return True
        if not folder:
            return False
        folder = folder.rpartition("/")[0]
