"""What the kubeconfig's context names, read from the files without asking kubectl, while it starts.

Several files are merged as kubectl merges them: the first that names a current context, and the first definition of
each entry, count. A file that cannot be read counts as empty: kubectl itself will say what is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from kubectl_flux.options import ClusterAccess

DEFAULT_NAMESPACE = "default"
POD_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Context:
    """What kubectl will use.

    Attributes:
        namespace: The context's namespace; empty where it names none.
        user: The name of the user's entry.
        fingerprint: A hash of the API server, its CA, the user's entry and the impersonation: who is who to whom.
    """

    namespace: str
    user: str
    fingerprint: str = field(repr=False)


def context_namespace(cluster: ClusterAccess) -> str:
    """The namespace of the chosen context, the pod's where kubectl runs in one without a kubeconfig, or `default`."""
    configs = _configs(cluster.kubeconfig_files)
    entry = _entry(configs, "context", _context_name(cluster, configs))
    if entry is None and cluster.pod_namespace:
        return cluster.pod_namespace
    if entry is None and cluster.in_cluster:
        return _pod_namespace()
    return str((entry or {}).get("namespace") or DEFAULT_NAMESPACE)


def resolved(cluster: ClusterAccess) -> Context | None:
    """The context that kubectl will use; None where the files name none, as in a pod."""
    configs = _configs(cluster.kubeconfig_files)
    context = _entry(configs, "context", _context_name(cluster, configs))
    if context is None:
        return None
    user = cluster.user or str(context.get("user") or "")
    server_entry = _entry(configs, "cluster", cluster.cluster or str(context.get("cluster") or ""))
    user_entry = _entry(configs, "user", user)
    if server_entry is None or user_entry is None:
        return None
    import hashlib  # noqa: PLC0415 - 3 ms, spent while kubectl starts

    tls = (cluster.certificate_authority, cluster.insecure)
    impersonated = (cluster.as_user, cluster.as_uid, cluster.as_groups)
    known = repr((server_entry, user, user_entry, tls, impersonated))
    return Context(str(context.get("namespace") or ""), user, hashlib.sha256(known.encode()).hexdigest())


def _context_name(cluster: ClusterAccess, configs: tuple[dict[str, Any], ...]) -> str:
    return cluster.context or next((str(c["current-context"]) for c in configs if c.get("current-context")), "")


def _entry(configs: tuple[dict[str, Any], ...], kind: str, name: str) -> dict[str, Any] | None:
    """The first cluster, context or user of this name, empty where it says nothing; None where there is none."""
    for config in configs:
        for entry in _list(config.get(f"{kind}s")):
            if isinstance(entry, dict) and entry.get("name") == name:
                content = entry.get(kind)
                return content if isinstance(content, dict) else {}
    return None


def _pod_namespace() -> str:
    try:
        return POD_NAMESPACE_FILE.read_text().strip() or DEFAULT_NAMESPACE
    except (OSError, ValueError):
        return DEFAULT_NAMESPACE


def _configs(paths: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    return tuple(_read(path, _version(path)) for path in paths)


def _version(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def context_names(cluster: ClusterAccess) -> list[str]:
    """The names of all contexts."""
    entries = [entry for config in _configs(cluster.kubeconfig_files) for entry in _list(config.get("contexts"))]
    return [str(entry["name"]) for entry in entries if isinstance(entry, dict) and entry.get("name")]


@lru_cache(maxsize=8)
def _read(path: str, _version: tuple[int, int]) -> dict[str, Any]:
    """A file's content, read once in each of its versions."""
    import yaml  # noqa: PLC0415 - 20 ms, spent while kubectl starts

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with Path(path).open("rb") as file:
            config = yaml.load(file, Loader=loader)  # noqa: S506 - it is a safe loader
    except (OSError, yaml.YAMLError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
