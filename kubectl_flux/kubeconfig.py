"""Which namespace the kubeconfig's context names, read from the files without starting kubectl.

Several files are merged as kubectl merges them: the first that names a current context, and the first definition of
each context, count. A file that cannot be read counts as empty: kubectl itself will say what is wrong with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kubectl_flux.options import ClusterAccess

DEFAULT_NAMESPACE = "default"


def context_namespace(cluster: ClusterAccess) -> str:
    """The namespace of the chosen context, `default` where it names none."""
    configs = [_read(path) for path in cluster.kubeconfig_files]
    current = cluster.context or next((str(c["current-context"]) for c in configs if c.get("current-context")), "")
    for config in configs:
        for entry in _list(config.get("contexts")):
            if isinstance(entry, dict) and entry.get("name") == current:
                context = entry.get("context")
                namespace = context.get("namespace") if isinstance(context, dict) else None
                return str(namespace or DEFAULT_NAMESPACE)
    return DEFAULT_NAMESPACE


def _read(path: str) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - 20 ms that only commands with a default namespace pay

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with Path(path).open("rb") as file:
            config = yaml.load(file, Loader=loader)  # noqa: S506 - it is a safe loader
    except (OSError, yaml.YAMLError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
