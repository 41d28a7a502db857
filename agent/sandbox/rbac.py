"""Who may do what: Kubernetes' RBAC over the Roles and bindings of a store. Pure, but for reading the store.

Nothing is known of a role but its rules: aggregated ClusterRoles hold what was written into them. Groups and resources
need not be served, so rights on a virtual group such as `flux.fluxcd.io` are granted like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.sandbox.store import Store

Object = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ACCOUNTS = "system:serviceaccounts"


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, as every review shows it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Action:
    """What is asked for: something of a resource, or of a `path` that is none; all but the verb is empty then."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str | None = None

    @property
    def full_resource(self) -> str:
        """The resource with its subresource, as rules name it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it is allowed; the reason tells the binding that allows it, or the roles that are missing."""

    allowed: bool
    reason: str = ""


def account_user(namespace: str, name: str) -> str:
    """The user name of a ServiceAccount."""
    return f"system:serviceaccount:{namespace}:{name}"


def decide(store: Store, user: User, action: Action) -> Decision:
    """Whether the bindings of the store, or membership in `system:masters`, let a user do something."""
    if MASTERS in user.groups:
        return Decision(allowed=True)
    missing: dict[str, None] = {}
    for binding in _bindings(store, action.namespace):
        subject = _subject(binding, user)
        if subject is None:
            continue
        role = _role(store, binding)
        if role is None:
            reference = binding["roleRef"]
            missing[f'{reference["kind"].lower()}.{GROUP} "{reference["name"]}" not found'] = None
        elif any(_allows(rule, action) for rule in role.get("rules") or ()):
            return Decision(allowed=True, reason=_because(binding, subject))
    words = ", ".join(missing)
    return Decision(allowed=False, reason=f"RBAC: [{words}]" if len(missing) > 1 else f"RBAC: {words}" if words else "")


def _bindings(store: Store, namespace: str) -> Iterator[Object]:
    yield from store.all((GROUP, "clusterrolebindings"))
    if namespace:
        yield from store.all((GROUP, "rolebindings"), namespace)


def _role(store: Store, binding: Object) -> Object | None:
    reference = binding["roleRef"]
    if reference["kind"] == "Role":
        return store.get((GROUP, "roles"), binding["metadata"].get("namespace", ""), reference["name"])
    return store.get((GROUP, "clusterroles"), "", reference["name"])


def _subject(binding: Object, user: User) -> Object | None:
    """The subject of a binding that a user is, if any."""
    own = binding["metadata"].get("namespace", "")
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name", "")
        if (
            (kind == "User" and name == user.name)
            or (kind == "Group" and name in user.groups)
            or (kind == "ServiceAccount" and account_user(subject.get("namespace") or own, name) == user.name)
        ):
            return {**subject, "namespace": subject.get("namespace") or own}
    return None


def _because(binding: Object, subject: Object) -> str:
    """The reason, in the real server's words."""
    metadata, reference = binding["metadata"], binding["roleRef"]
    bound = f'ClusterRoleBinding "{metadata["name"]}"'
    if metadata.get("namespace"):
        bound = f'RoleBinding "{metadata["name"]}/{metadata["namespace"]}"'
    whom = f"{subject['name']}/{subject['namespace']}" if subject["kind"] == "ServiceAccount" else subject["name"]
    return f'RBAC: allowed by {bound} of {reference["kind"]} "{reference["name"]}" to {subject["kind"]} "{whom}"'


def _allows(rule: Object, action: Action) -> bool:
    if not _has(rule, "verbs", action.verb):
        return False
    if action.path is not None:
        return any(_covers(url, action.path) for url in rule.get("nonResourceURLs") or ())
    wanted = (action.full_resource, "*", *([f"*/{action.subresource}"] if action.subresource else []))
    names = rule.get("resourceNames") or ()
    return (
        _has(rule, "apiGroups", action.group)
        and any(resource in wanted for resource in rule.get("resources") or ())
        and (not names or action.name in names)
    )


def _has(rule: Object, field_: str, value: str) -> bool:
    found = rule.get(field_) or ()
    return "*" in found or value in found


def _covers(url: str, path: str) -> bool:
    return url == path or (url.endswith("*") and path.startswith(url.rstrip("*")))


_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
_BOOTSTRAP: tuple[tuple[str, tuple[str, ...], list[Object]], ...] = (
    (
        "cluster-admin",
        (MASTERS,),
        [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ],
    ),
    (
        "system:auth-delegator",
        (),
        [
            {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"]},
            {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"]},
        ],
    ),
    (
        "system:basic-user",
        (AUTHENTICATED,),
        [
            {
                "verbs": ["create"],
                "apiGroups": ["authorization.k8s.io"],
                "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            },
            {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
        ],
    ),
    (
        "system:discovery",
        (AUTHENTICATED,),
        [{"verbs": ["get"], "nonResourceURLs": sorted(_DISCOVERY + _HEALTH)}],
    ),
    (
        "system:public-info-viewer",
        (AUTHENTICATED, UNAUTHENTICATED),
        [{"verbs": ["get"], "nonResourceURLs": _HEALTH}],
    ),
)


def bootstrap() -> Iterator[tuple[str, Object]]:
    """The ClusterRoles and bindings that are there from the start, each with its plural; not view, edit and admin."""
    for name, groups, rules in _BOOTSTRAP:
        metadata = {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        }
        head = {"apiVersion": f"{GROUP}/v1", "metadata": metadata}
        yield "clusterroles", {**head, "kind": "ClusterRole", "rules": rules}
        if groups:
            subjects = [{"kind": "Group", "apiGroup": GROUP, "name": group} for group in groups]
            reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
            yield (
                "clusterrolebindings",
                {**head, "kind": "ClusterRoleBinding", "subjects": subjects, "roleRef": reference},
            )
