"""An object of the cluster → the manifest that belongs into git. Pure.

What the API server and controllers write is left out, and what an agent wrote for its own bookkeeping. What is left
changes nothing when it is synced: nothing that decides about pods is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.model.policies import PREFIXES, SYNC_SOURCE

_ANNOTATIONS = frozenset(
    {
        "deployment.kubernetes.io/revision",
        "deprecated.daemonset.template.generation",
        "kubectl.kubernetes.io/last-applied-configuration",
        SYNC_SOURCE,
        *(f"{prefix}sync-checksum" for prefix in PREFIXES),
    }
)
_LABELS = frozenset({"kubernetes.io/metadata.name", *(f"{prefix}sync-gc-mark" for prefix in PREFIXES)})
_EMPTY_NOISE = frozenset({"resources", "securityContext"})
"""What means the same empty as absent. Others do not: `emptyDir: {}` and `podSelector: {}` say something."""


def belongs_elsewhere(metadata: Mapping[str, Any]) -> bool:
    """Whether it is not git's: on its way out, kept by a controller, or part of a Helm release."""
    if "deletionTimestamp" in metadata:
        return True
    if any(owner.get("controller") for owner in metadata.get("ownerReferences") or ()):
        return True
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    return "meta.helm.sh/release-name" in annotations and labels.get("app.kubernetes.io/managed-by") == "Helm"


def manifest_of(item: Mapping[str, Any], api_version: str, kind: str) -> dict[str, Any]:
    """The manifest of an object; items of lists carry no apiVersion and kind of their own."""
    metadata, spec = item["metadata"], _spec(item, kind)
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            **_kept("annotations", metadata, _ANNOTATIONS),
            **_kept("labels", metadata, _LABELS),
            "name": metadata["name"],
            **({"namespace": metadata["namespace"]} if metadata.get("namespace") else {}),
        },
        **({"spec": spec} if spec else {}),
    }


def _kept(field: str, metadata: Mapping[str, Any], dropped: frozenset[str]) -> dict[str, Any]:
    kept = {key: value for key, value in (metadata.get(field) or {}).items() if key not in dropped}
    return {field: kept} if kept else {}


def _spec(item: Mapping[str, Any], kind: str) -> dict[str, Any]:
    spec = dict(item.get("spec") or {})
    if kind == "Namespace":
        return {}  # its finalizers, which the API server sets
    if is_autoscaled(item["metadata"].get("managedFields") or ()):
        spec.pop("replicas", None)
    if "template" in spec:
        spec["template"] = _template(spec["template"])
    if "jobTemplate" in spec:
        job = _undated(spec["jobTemplate"])
        inner = dict(job.get("spec") or {})
        spec["jobTemplate"] = {**job, "spec": {**inner, "template": _template(inner.get("template") or {})}}
    if "volumeClaimTemplates" in spec:
        claims = map(_undated, spec["volumeClaimTemplates"])
        spec["volumeClaimTemplates"] = [{key: claim[key] for key in claim if key != "status"} for claim in claims]
    return spec


def is_autoscaled(managed_fields: Any) -> bool:
    """Whether something other than kubectl has scaled it, as a HorizontalPodAutoscaler does: then git must not say."""
    return any(
        entry.get("subresource") == "scale"
        and not str(entry.get("manager", "")).startswith("kubectl")
        and "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        for entry in managed_fields
    )


def _template(template: Mapping[str, Any]) -> dict[str, Any]:
    """A pod template without what is empty anyway."""
    pod = _bare(template.get("spec") or {})
    for field in ("initContainers", "containers"):
        if field in pod:
            pod[field] = [_bare(container) for container in pod[field]]
    return {**_undated(template), "spec": pod}


def _bare(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if value != {} or key not in _EMPTY_NOISE}


def _undated(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of an object without the `creationTimestamp: null` that Go writes into its metadata."""
    metadata = part.get("metadata")
    if not isinstance(metadata, dict):
        return dict(part)
    rest = {key: metadata[key] for key in metadata if key != "creationTimestamp"}
    return {**part, "metadata": rest} if rest else {key: part[key] for key in part if key != "metadata"}
