"""The documents that tell which kinds are served, in the aggregated and in the older form. Pure.

OpenAPI documents name nothing but what kubectl looks for before it applies: that PATCH takes `fieldValidation`. It is
taken and does nothing, there are no schemas.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.sandbox.kinds import Kind

Object = dict[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

VERSION: Object = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+sandbox",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "sandbox",
}
"""The answer of `/version`: the release whose behaviour is imitated."""

_SUBRESOURCE_VERBS = {
    "status": ["get", "patch", "update"],
    "scale": ["get", "patch", "update"],
    "proxy": ["create", "delete", "get", "patch", "update"],
    "token": ["create"],
}
_FOREIGN = {
    "scale": {"group": "autoscaling", "version": "v1"},
    "token": {"group": "authentication.k8s.io", "version": "v1"},
}
"""Where the objects of subresources belong that are of another group."""


def _verbs(kind: Kind) -> list[str]:
    return [verb for verb in kind.verbs if not (verb == "deletecollection" and kind.plural == "namespaces")]


def aggregated(kinds: Iterable[Kind], *, core: bool) -> Object:
    """The `APIGroupDiscoveryList` of `/api` (core) or `/apis` (the rest)."""
    groups: dict[str, dict[str, list[Object]]] = {}
    for kind in kinds:
        if core == (not kind.group):
            groups.setdefault(kind.group, {}).setdefault(kind.version, []).append(_aggregated_kind(kind))
    items = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [
                {"version": version, "resources": resources, "freshness": "Current"}
                for version, resources in versions.items()
            ],
        }
        for group, versions in groups.items()
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_kind(kind: Kind) -> Object:
    # What belongs to the kind's own group and version is named without them, but for custom kinds.
    own = {"group": kind.group, "version": kind.version} if kind.custom else {"group": "", "version": ""}
    document: Object = {
        "resource": kind.plural,
        "responseKind": {**own, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.kind.lower(),
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        document["shortNames"] = list(kind.short_names)
    if kind.categories:
        document["categories"] = list(kind.categories)
    if kind.subresources:
        document["subresources"] = [
            {
                "subresource": name,
                "responseKind": {**_FOREIGN.get(name, own), "kind": _answer_kind(kind, name)},
                "verbs": _SUBRESOURCE_VERBS[name],
            }
            for name in kind.subresources
        ]
    return document


def _answer_kind(kind: Kind, subresource: str) -> str:
    answers = {"proxy": "ServiceProxyOptions", "scale": "Scale", "token": "TokenRequest"}
    return answers.get(subresource, kind.kind)


def resource_list(kinds: Iterable[Kind], group: str, version: str) -> Object | None:
    """The `APIResourceList` of one group and version; None where it is not served."""
    resources: list[Object] = []
    for kind in kinds:
        if (kind.group, kind.version) == (group, version):
            resources.append(
                {
                    "name": kind.plural,
                    "singularName": kind.kind.lower(),
                    "namespaced": kind.namespaced,
                    "kind": kind.kind,
                    "verbs": _verbs(kind),
                    **({"shortNames": list(kind.short_names)} if kind.short_names else {}),
                    **({"categories": list(kind.categories)} if kind.categories else {}),
                }
            )
            resources += [_subresource(kind, name) for name in kind.subresources]
    if not resources:
        return None
    name = f"{group}/{version}" if group else version
    head: Object = {"kind": "APIResourceList", **({"apiVersion": "v1"} if group else {}), "groupVersion": name}
    return {**head, "resources": resources}


def _subresource(kind: Kind, name: str) -> Object:
    return {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        **_FOREIGN.get(name, {}),
        "kind": _answer_kind(kind, name),
        "verbs": _SUBRESOURCE_VERBS[name],
    }


def group_document(kinds: Iterable[Kind], group: str) -> Object | None:
    """The `APIGroup` of one group; None where it is not served."""
    versions = list(dict.fromkeys(kind.version for kind in kinds if kind.group == group))
    if not versions or not group:
        return None
    named = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": named, "preferredVersion": named[0]}


def group_list(kinds: Iterable[Kind]) -> Object:
    """The `APIGroupList` of `/apis`."""
    kinds = tuple(kinds)
    names = dict.fromkeys(kind.group for kind in kinds if kind.group)
    groups = []
    for name in names:
        document = group_document(kinds, name) or {}
        groups.append({key: document[key] for key in ("name", "versions", "preferredVersion")})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def core_versions(address: str) -> Object:
    """The `APIVersions` of `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def openapi_root(kinds: Iterable[Kind]) -> Object:
    """The index of `/openapi/v3`."""
    roots = dict.fromkeys(_root(kind) for kind in kinds if "patch" in kind.verbs)
    return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots}}


def openapi(kinds: Iterable[Kind], root: str) -> Object | None:
    """The OpenAPI document of `api/v1` or `apis/GROUP/VERSION`; None where that is not served."""
    parameters = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
    paths = {}
    for kind in kinds:
        if _root(kind) == root and "patch" in kind.verbs:
            named = {"group": kind.group, "version": kind.version, "kind": kind.kind}
            patch = {"parameters": parameters, "x-kubernetes-group-version-kind": named, "responses": {}}
            scope = "/namespaces/{namespace}" if kind.namespaced else ""
            paths[f"/{root}{scope}/{kind.plural}/{{name}}"] = {"patch": patch}
    info = {"title": "sandbox", "version": "1.36"}
    return {"openapi": "3.0.0", "info": info, "paths": paths} if paths else None


def _root(kind: Kind) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"
