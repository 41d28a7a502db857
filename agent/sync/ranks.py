"""The order in which kinds are applied, as Flux v1's; deletions go the other way.

What others stand on comes first: namespaces, then definitions and identities, then configuration, then what runs.
Admission webhooks come last, so that they cannot refuse the very workload that serves them.
"""

from __future__ import annotations

NAMESPACES, FOUNDATIONS, CONFIGURATION, WORKLOADS, REST, WEBHOOKS = range(6)

_RANKS = {
    NAMESPACES: ("Namespace",),
    FOUNDATIONS: (
        "CustomResourceDefinition",
        "ServiceAccount",
        "ClusterRole",
        "Role",
        "PersistentVolume",
        "Service",
    ),
    CONFIGURATION: (
        "LimitRange",
        "ResourceQuota",
        "ConfigMap",
        "Secret",
        "ClusterRoleBinding",
        "RoleBinding",
        "PersistentVolumeClaim",
        "Ingress",
    ),
    WORKLOADS: (
        "DaemonSet",
        "Deployment",
        "ReplicationController",
        "ReplicaSet",
        "StatefulSet",
        "CronJob",
        "Job",
        "Pod",
    ),
    WEBHOOKS: ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
}
_BY_KIND = {kind: rank for rank, kinds in _RANKS.items() for kind in kinds}
_BUILT_IN = frozenset({"", "apps", "batch", "extensions", "networking.k8s.io"})


def rank_of(group: str, kind: str) -> int:
    """The rank of a kind; custom kinds belong to the rest, whatever they are called."""
    if group in _BUILT_IN or group.endswith(".k8s.io"):
        return _BY_KIND.get(kind, REST)
    return REST
