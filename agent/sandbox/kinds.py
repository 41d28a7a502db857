"""Which kinds the sandbox serves: a fixed table of built-in ones, and those that CustomResourceDefinitions add.

A `Kind` is what the URL router, discovery, the strategies and the tables need to know of one. Every kind is served
in one version, but for custom kinds, which are served in each version their definition names.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from agent.sandbox.shapes import BUILT_IN, Shape, custom_shape, shape_of

Object = dict[str, Any]

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_ASKING = ("create",)


@dataclass(frozen=True, slots=True)
class Kind:
    """One served kind.

    `subresources` are those of `status`, `scale`, `proxy` and `token` that are served. `generation` tells whether
    `metadata.generation` counts the changes of its spec. `custom` is false for built-in kinds.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    generation: bool = False
    custom: bool = False
    shape: Shape = BUILT_IN
    storage: str = ""
    verbs: tuple[str, ...] = VERBS

    @property
    def is_review(self) -> bool:
        """Whether its objects are questions, which are answered and not kept."""
        return self.verbs == _ASKING

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def stored_as(self) -> tuple[str, str]:
        """Group and plural: the key under which objects are kept, whatever the version."""
        return (self.group, self.plural)

    @property
    def full_name(self) -> str:
        """How messages call the kind: `deployments.apps`, `configmaps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


# group/version, then: kind, plural, scope, short names, flags. Flags: s status, c scale, p proxy, t token,
# g generation, a category "all", r review.
_TABLE = """
v1
  Namespace namespaces cluster ns s
  ConfigMap configmaps - cm -
  Secret secrets - - -
  Service services - svc spa
  ServiceAccount serviceaccounts - sa t
  PersistentVolume persistentvolumes cluster pv s
  PersistentVolumeClaim persistentvolumeclaims - pvc s
  ResourceQuota resourcequotas - quota s
  LimitRange limitranges - limits -
  Pod pods - po sga
  Node nodes cluster no s
  Event events - ev -
  Endpoints endpoints - ep -
apps/v1
  Deployment deployments - deploy scga
  DaemonSet daemonsets - ds sga
  StatefulSet statefulsets - sts scga
  ReplicaSet replicasets - rs scga
batch/v1
  Job jobs - - sga
  CronJob cronjobs - cj sga
networking.k8s.io/v1
  Ingress ingresses - ing sg
  IngressClass ingressclasses cluster - g
  NetworkPolicy networkpolicies - netpol g
rbac.authorization.k8s.io/v1
  Role roles - - -
  RoleBinding rolebindings - - -
  ClusterRole clusterroles cluster - -
  ClusterRoleBinding clusterrolebindings cluster - -
authentication.k8s.io/v1
  SelfSubjectReview selfsubjectreviews cluster - r
  TokenReview tokenreviews cluster - r
authorization.k8s.io/v1
  LocalSubjectAccessReview localsubjectaccessreviews - - r
  SelfSubjectAccessReview selfsubjectaccessreviews cluster - r
  SubjectAccessReview subjectaccessreviews cluster - r
autoscaling/v2
  HorizontalPodAutoscaler horizontalpodautoscalers - hpa sa
policy/v1
  PodDisruptionBudget poddisruptionbudgets - pdb sg
storage.k8s.io/v1
  StorageClass storageclasses cluster sc -
scheduling.k8s.io/v1
  PriorityClass priorityclasses cluster pc g
coordination.k8s.io/v1
  Lease leases - - -
admissionregistration.k8s.io/v1
  MutatingWebhookConfiguration mutatingwebhookconfigurations cluster - g
  ValidatingWebhookConfiguration validatingwebhookconfigurations cluster - g
apiextensions.k8s.io/v1
  CustomResourceDefinition customresourcedefinitions cluster crd,crds sg
"""

_SUBRESOURCES = {"c": "scale", "s": "status", "p": "proxy", "t": "token"}


def built_in_kinds() -> tuple[Kind, ...]:
    """The kinds every sandbox serves from the start."""
    found: list[Kind] = []
    group, version = "", ""
    for line in filter(None, _TABLE.splitlines()):
        if not line.startswith(" "):
            group, _, version = line.rpartition("/")
            continue
        kind, plural, scope, short, flags = line.split()
        found.append(
            Kind(
                group=group,
                version=version,
                kind=kind,
                plural=plural,
                namespaced=scope == "-",
                short_names=() if short == "-" else tuple(short.split(",")),
                categories=("all",) if "a" in flags else (),
                subresources=tuple(sorted(name for flag, name in _SUBRESOURCES.items() if flag in flags)),
                generation="g" in flags,
                shape=shape_of(kind),
                verbs=_ASKING if "r" in flags else VERBS,
            )
        )
    return tuple(found)


def custom_kinds(definition: Object) -> tuple[Kind, ...]:
    """The kinds that a CustomResourceDefinition serves, one for each served version."""
    spec = definition["spec"]
    names = spec["names"]
    storage = next((v["name"] for v in spec["versions"] if v.get("storage")), spec["versions"][0]["name"])
    return tuple(
        Kind(
            group=spec["group"],
            version=version["name"],
            kind=names["kind"],
            plural=names["plural"],
            namespaced=spec.get("scope") == "Namespaced",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=("status",) if "status" in (version.get("subresources") or {}) else (),
            generation=True,
            custom=True,
            shape=custom_shape((version.get("schema") or {}).get("openAPIV3Schema") or {}),
            storage=storage,
        )
        for version in spec["versions"]
        if version.get("served", True)
    )


class Catalogue:
    """The kinds that are served now. Thread-safe; what it hands out does not change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._built_in = built_in_kinds()
        self._custom: dict[str, tuple[Kind, ...]] = {}

    def all(self) -> tuple[Kind, ...]:
        """Every served kind, the built-in ones first."""
        with self._lock:
            return self._built_in + tuple(kind for kinds in self._custom.values() for kind in kinds)

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind served under a group, version and plural name."""
        for kind in self.all():
            if (kind.group, kind.version, kind.plural) == (group, version, plural):
                return kind
        return None

    def kept_as(self, stored_as: tuple[str, str]) -> Kind | None:
        """A kind by the group and plural its objects are kept under."""
        return next((kind for kind in self.all() if kind.stored_as == stored_as), None)

    def define(self, definition: Object) -> None:
        """Serve what a CustomResourceDefinition names, in place of what it named before."""
        kinds = custom_kinds(definition)
        with self._lock:
            self._custom[definition["metadata"]["name"]] = kinds

    def forget(self, name: str) -> None:
        """No longer serve what the CustomResourceDefinition of this name names."""
        with self._lock:
            self._custom.pop(name, None)
