"""What the API server makes of an object it is given: normalised, with its defaults filled in.

Only what is easily seen is done. Normalised are: nulls, empty lists and maps, empty values of variables, whole
CPUs given in thousandths and memory given in multiples of 1024. Unknown fields are kept and nothing is
validated; the real server drops or refuses them. Nothing here changes its argument.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterable
from typing import Any

from agent.sandbox.kinds import Kind

Object = dict[str, Any]

_TEMPLATE: Object = {"metadata": {}, "spec": {"containers": None}}
_BLANKS: dict[str, Object] = {
    "Deployment": {"selector": None, "strategy": {}, "template": _TEMPLATE},
    "StatefulSet": {"selector": None, "updateStrategy": {}, "template": _TEMPLATE},
    "DaemonSet": {"selector": None, "updateStrategy": {}, "template": _TEMPLATE},
    "ReplicaSet": {"selector": None, "template": _TEMPLATE},
    "Job": {"template": _TEMPLATE},
    "CronJob": {"jobTemplate": {"metadata": {}, "spec": {"template": _TEMPLATE}}},
    "Pod": {"containers": None},
    "PersistentVolumeClaim": {"resources": {}},
    "HorizontalPodAutoscaler": {"scaleTargetRef": {}},
    "NetworkPolicy": {"podSelector": {}},
    "CustomResourceDefinition": {"names": {}, "versions": None},
}
_DEFAULTS: dict[str, Object] = {
    "Deployment": {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate"},
    },
    "StatefulSet": {
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate"},
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    },
    "DaemonSet": {"updateStrategy": {"type": "RollingUpdate"}, "revisionHistoryLimit": 10},
    "ReplicaSet": {"replicas": 1},
    "Job": {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": "TerminatingOrFailed",
    },
    "CronJob": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {}, "spec": {"template": {"metadata": {}}}},
    },
    "PersistentVolumeClaim": {"volumeMode": "Filesystem"},
    "PersistentVolume": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    "HorizontalPodAutoscaler": {"minReplicas": 1},
    "CustomResourceDefinition": {"conversion": {"strategy": "None"}},
}
_POD: Object = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_CONTAINER: Object = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE: Object = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_WEBHOOK: Object = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "timeoutSeconds": 10,
}
_VOLUME_MODES = ("configMap", "secret", "projected", "downwardAPI")


def blank(kind: Kind) -> Object:
    """What an object of this kind is before its creation: the structures that are always there."""
    if kind.custom:
        return {}
    empty = {"spec": copy.deepcopy(_BLANKS.get(kind.kind, {})), "status": {}}
    return {"metadata": {}, **empty}


def decoded(obj: Object, kind: Kind) -> Object:
    """The object as the API server reads it: normalised, Secrets' `stringData` in `data`, with its defaults."""
    obj = _cleaned(obj, typed=not kind.custom and kind.kind != "CustomResourceDefinition")
    obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
    metadata = obj.setdefault("metadata", {})
    if kind.custom:
        for name in ("labels", "annotations", "finalizers", "ownerReferences", "managedFields"):
            if name in metadata and not metadata[name]:
                del metadata[name]
        return obj
    for template in _pod_specs(obj, kind.kind):
        _normalise_pod(template)
    _fill_defaults(obj, kind.kind)
    return obj


_EMPTY_MAPS = ("data", "binaryData", "stringData", "labels", "annotations", "nodeSelector", "limits", "requests")


def _cleaned(value: Any, *, typed: bool) -> Any:
    """A copy without nulls and, for built-in kinds, without the empty lists and maps that their types leave out."""
    if isinstance(value, dict):
        return {
            name: _cleaned(child, typed=typed)
            for name, child in value.items()
            if child is not None
            and not (typed and child == [] and name not in ("rules", "managedFields"))
            and not (typed and child == {} and name in _EMPTY_MAPS)
        }
    if isinstance(value, list):
        return [_cleaned(item, typed=typed) for item in value]
    return value


def _fill(target: Object, defaults: Object) -> None:
    for name, value in defaults.items():
        if name not in target:
            target[name] = copy.deepcopy(value)
        elif isinstance(value, dict) and isinstance(target[name], dict):
            _fill(target[name], value)


def _fill_defaults(obj: Object, kind: str) -> None:
    if kind in _DEFAULTS:
        _fill(obj.setdefault("spec", {}), _DEFAULTS[kind])
    for spec in _pod_specs(obj, kind):
        _default_pod(spec)
    if kind in _SPECIAL:
        _SPECIAL[kind](obj)


def _pod_specs(obj: Object, kind: str) -> Iterable[Object]:
    """The pod specs of an object: its own or its template's."""
    spec = obj.get("spec")
    if kind == "Pod":
        return [spec] if isinstance(spec, dict) else []
    for step in ("jobTemplate", "spec") if kind == "CronJob" else ():
        spec = spec.get(step) if isinstance(spec, dict) else None
    template = spec.get("template") if isinstance(spec, dict) else None
    inner = template.get("spec") if isinstance(template, dict) else None
    return [inner] if isinstance(inner, dict) else []


def _containers(pod: Object) -> Iterable[Object]:
    for name in ("initContainers", "containers"):
        yield from (item for item in pod.get(name) or () if isinstance(item, dict))


def _normalise_pod(pod: Object) -> None:
    for container in _containers(pod):
        for variable in container.get("env") or ():
            if variable.get("value") == "":
                del variable["value"]
        for amounts in (container.get("resources") or {}).values():
            if isinstance(amounts, dict):
                amounts.update({name: _quantity(amount) for name, amount in amounts.items()})


def _quantity(amount: Any) -> str:
    """Two of the rewritings Kubernetes does to quantities: `1000m` → `1`, `1024Mi` → `1Gi`."""
    text = str(amount)
    if text.endswith("000m") and text[:-4].isdigit():
        return text[:-4]
    units = ("Ki", "Mi", "Gi", "Ti")
    number, unit = text[:-2], text[-2:]
    while number.isdigit() and unit in units[:-1] and int(number) and int(number) % 1024 == 0:
        number, unit = str(int(number) // 1024), units[units.index(unit) + 1]
        text = number + unit
    return text


def _default_pod(pod: Object) -> None:
    _fill(pod, _POD)
    for container in _containers(pod):
        _default_container(container)
    for volume in pod.get("volumes") or ():
        for name in _VOLUME_MODES:
            if isinstance(volume.get(name), dict):
                volume[name].setdefault("defaultMode", 420)


def _default_container(container: Object) -> None:
    _fill(container, _CONTAINER)
    container.setdefault("imagePullPolicy", _pull_policy(str(container.get("image", ""))))
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if isinstance(probe, dict):
            _fill(probe, _PROBE)
            if isinstance(probe.get("httpGet"), dict):
                _fill(probe["httpGet"], {"path": "/", "scheme": "HTTP"})
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if isinstance(reference, dict):
            reference.setdefault("apiVersion", "v1")


def _pull_policy(image: str) -> str:
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or not (tag or digest) else "IfNotPresent"


def _rolling(field: str, parameters: Object) -> Callable[[Object], None]:
    def fill(obj: Object) -> None:
        strategy = obj["spec"][field]
        if strategy.get("type") == "RollingUpdate":
            _fill(strategy, {"rollingUpdate": parameters})

    return fill


def _default_service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))


def _default_secret(obj: Object) -> None:
    texts = obj.pop("stringData", None) or {}
    if texts:
        encoded = {name: base64.b64encode(str(text).encode()).decode() for name, text in texts.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}
    obj.setdefault("type", "Opaque")


def _default_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if "egress" in spec else ["Ingress"])


def _default_binding(obj: Object) -> None:
    group = "rbac.authorization.k8s.io"
    obj.get("roleRef", {}).setdefault("apiGroup", group)
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", group)


def _default_webhooks(obj: Object) -> None:
    for webhook in obj.get("webhooks") or ():
        _fill(webhook, _WEBHOOK)
        for rule in webhook.get("rules") or ():
            rule.setdefault("scope", "*")


def _default_definition(obj: Object) -> None:
    names = obj["spec"].setdefault("names", {})
    kind = str(names.get("kind", ""))
    _fill(names, {"singular": kind.lower(), "listKind": f"{kind}List"})


def _default_claims(obj: Object) -> None:
    _rolling("updateStrategy", {"partition": 0})(obj)
    for claim in obj["spec"].get("volumeClaimTemplates") or ():
        _fill(claim, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"volumeMode": "Filesystem"}})
        _fill(claim, {"status": {"phase": "Pending"}})


def _default_daemons(obj: Object) -> None:
    _rolling("updateStrategy", {"maxUnavailable": 1, "maxSurge": 0})(obj)
    obj["metadata"].setdefault("annotations", {}).setdefault("deprecated.daemonset.template.generation", "1")


def _default_namespace(obj: Object) -> None:
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


_SPECIAL: dict[str, Callable[[Object], None]] = {
    "Deployment": _rolling("strategy", {"maxUnavailable": "25%", "maxSurge": "25%"}),
    "DaemonSet": _default_daemons,
    "StatefulSet": _default_claims,
    "Service": _default_service,
    "Secret": _default_secret,
    "NetworkPolicy": _default_policy,
    "RoleBinding": _default_binding,
    "ClusterRoleBinding": _default_binding,
    "MutatingWebhookConfiguration": _default_webhooks,
    "ValidatingWebhookConfiguration": _default_webhooks,
    "CustomResourceDefinition": _default_definition,
    "Namespace": _default_namespace,
}
