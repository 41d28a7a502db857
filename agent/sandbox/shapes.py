"""How values merge: which lists are keyed, which are sets, which maps and lists are replaced as a whole.

Server-side apply and strategic merge patches both read this. Kubernetes takes it from its OpenAPI document; the fixed
table below holds what that document (1.36) says of the kinds the sandbox serves, without the storage drivers of old.
What the table does not name is the default: a map merges by its keys, a list is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

KEY_DEFAULTS: Mapping[str, Any] = MappingProxyType({"protocol": "TCP"})
"""Merge keys that may be left out of a list's element, and what they are then."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The merge rules of one place in an object.

    Attributes:
        atomic: A map that is replaced as a whole.
        keys: The names by which the maps of a list are told apart; empty for other lists.
        set: A list of scalars that merges by value.
        declared: Whether names outside `fields` count as fields of a type, rather than as free keys of a map.
        fields: The shapes of named fields.
        values: The shape of every other entry; None for the default.
        item: The shape of the elements of a keyed list; None for the default.
    """

    atomic: bool = False
    keys: tuple[str, ...] = ()
    set: bool = False
    declared: bool = True
    fields: Mapping[str, Shape] = field(default_factory=dict, hash=False)
    values: Shape | None = None
    item: Shape | None = None

    def entry(self, name: str) -> Shape:
        """The shape of a map's entry."""
        return self.fields.get(name) or self.values or self._default()

    def element(self) -> Shape:
        """The shape of a list's element."""
        return self.item or self._default()

    def declares(self, name: str) -> bool:
        """Whether an entry is a field of a type, as opposed to a free key of a map."""
        return self.declared or name in self.fields

    @property
    def merges(self) -> bool:
        """Whether a list of this shape is merged element by element."""
        return bool(self.keys) or self.set

    def _default(self) -> Shape:
        return BUILT_IN if self.declared else DEDUCED


BUILT_IN = Shape()
"""Anything of a built-in kind that the table does not name."""

DEDUCED = Shape(declared=False)
"""Anything of a custom kind whose schema says nothing."""

# TYPE: FIELD=RULE …; the rules: atomic, set, [KEY,KEY] or [KEY]RULE for a keyed list, TYPE for a structure.
_TABLE = """
ObjectMeta: finalizers=set ownerReferences=[uid]atomic
Conditions: conditions=[type]
Workload: selector=atomic template=PodTemplate
PodTemplate: metadata=ObjectMeta spec=PodSpec
PodSpec: affinity=Affinity containers=[name]Container ephemeralContainers=[name]Container hostAliases=[ip] \
 imagePullSecrets=[name]atomic initContainers=[name]Container nodeSelector=atomic resourceClaims=[name] \
 resources=Resources schedulingGates=[name] volumes=[name]Volume \
 topologySpreadConstraints=[topologyKey,whenUnsatisfiable]Spread
Container: env=[name]EnvVar ports=[containerPort,protocol] resources=Resources volumeDevices=[devicePath] \
 volumeMounts=[mountPath]
EnvVar: valueFrom=EnvSource
EnvSource: configMapKeyRef=atomic fieldRef=atomic fileKeyRef=atomic resourceFieldRef=atomic secretKeyRef=atomic
Resources: claims=[name]
Affinity: nodeAffinity=NodeAffinity
NodeAffinity: requiredDuringSchedulingIgnoredDuringExecution=atomic
Spread: labelSelector=atomic
Volume: csi=Csi ephemeral=Ephemeral
Csi: nodePublishSecretRef=atomic controllerExpandSecretRef=atomic controllerPublishSecretRef=atomic \
 nodeExpandSecretRef=atomic nodeStageSecretRef=atomic
Ephemeral: volumeClaimTemplate=ClaimTemplate
ClaimTemplate: metadata=ObjectMeta spec=ClaimSpec
ClaimSpec: dataSource=atomic selector=atomic
PodStatus: conditions=[type] podIPs=[ip]
Deployment: spec=Workload status=Conditions
DaemonSet: spec=Workload status=Conditions
StatefulSet: spec=Workload status=Conditions
ReplicaSet: spec=Workload status=Conditions
Job: spec=Workload
CronJob: spec=CronJobSpec
CronJobSpec: jobTemplate=JobTemplate
JobTemplate: metadata=ObjectMeta spec=Workload
Pod: spec=PodSpec status=PodStatus
Namespace: status=Conditions
Node: spec=NodeSpec status=NodeStatus
NodeSpec: podCIDRs=set
NodeStatus: addresses=[type] conditions=[type]
Service: spec=ServiceSpec status=Conditions
ServiceSpec: ports=[port,protocol] selector=atomic
ServiceAccount: secrets=[name]atomic
PersistentVolume: spec=VolumeSpec
VolumeSpec: claimRef=atomic csi=Csi nodeAffinity=VolumeAffinity
VolumeAffinity: required=atomic
PersistentVolumeClaim: spec=ClaimSpec status=Conditions
ResourceQuota: spec=QuotaSpec
QuotaSpec: scopeSelector=atomic
Event: involvedObject=atomic related=atomic
Ingress: spec=IngressSpec
IngressSpec: defaultBackend=IngressBackend
IngressBackend: resource=atomic service=IngressService
IngressService: port=atomic
NetworkPolicy: spec=NetworkPolicySpec
NetworkPolicySpec: podSelector=atomic
RoleBinding: roleRef=atomic
ClusterRoleBinding: roleRef=atomic
HorizontalPodAutoscaler: status=Conditions
PodDisruptionBudget: spec=BudgetSpec status=Conditions
BudgetSpec: selector=atomic
MutatingWebhookConfiguration: webhooks=[name]Webhook
ValidatingWebhookConfiguration: webhooks=[name]Webhook
Webhook: matchConditions=[name] namespaceSelector=atomic objectSelector=atomic
CustomResourceDefinition: status=Conditions
"""


@cache
def _rows() -> Mapping[str, Mapping[str, str]]:
    rows = {}
    for line in _TABLE.strip().splitlines():
        name, _, rest = line.partition(":")
        rows[name] = dict(part.split("=", 1) for part in rest.split())
    return rows


@cache
def _type(name: str) -> Shape:
    return Shape(fields={key: _rule(rule) for key, rule in _rows()[name].items()})


def _rule(rule: str) -> Shape:
    if rule == "atomic":
        return Shape(atomic=True)
    if rule == "set":
        return Shape(set=True)
    if rule.startswith("["):
        keys, _, element = rule[1:].partition("]")
        return Shape(keys=tuple(keys.split(",")), item=_rule(element) if element else BUILT_IN)
    return _type(rule)


@cache
def shape_of(kind: str) -> Shape:
    """The shape of a built-in kind's objects."""
    rows = _rows().get(kind, {})
    return Shape(fields={"metadata": _type("ObjectMeta"), **{key: _rule(rule) for key, rule in rows.items()}})


def custom_shape(schema: Mapping[str, Any]) -> Shape:
    """The shape of a custom kind's objects, from the `openAPIV3Schema` of its definition."""
    shape = _from_schema(schema)
    known = {"apiVersion": DEDUCED, "kind": DEDUCED, "metadata": _type("ObjectMeta")}
    return Shape(declared=False, fields={**shape.fields, **known}, values=shape.values)


def _from_schema(schema: Mapping[str, Any]) -> Shape:
    extra = schema.get("additionalProperties")
    items = schema.get("items")
    return Shape(
        atomic=schema.get("x-kubernetes-map-type") == "atomic",
        keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
        set=schema.get("x-kubernetes-list-type") == "set",
        declared=False,
        fields={name: _from_schema(part) for name, part in (schema.get("properties") or {}).items()},
        values=_from_schema(extra) if isinstance(extra, dict) else None,
        item=_from_schema(items) if isinstance(items, dict) else None,
    )
