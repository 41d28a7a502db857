"""The few checks the sandbox makes of objects; the real server makes many more.

Names; maps and variables that must hold strings; selectors that are missing, changed or do not fit; containers
without a name or image; what a CustomResourceDefinition cannot do without.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from agent.sandbox.answers import Refusal, bad_request, invalid
from agent.sandbox.fields import Path, element_key, shown
from agent.sandbox.kinds import Kind
from agent.sandbox.shapes import Shape

Object = dict[str, Any]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_SELECTING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
_STRING_MAPS = frozenset({"labels", "annotations", "data", "stringData", "matchLabels", "nodeSelector"})


def check_name(name: str, kind: Kind) -> None:
    """Refuse names that Kubernetes does not allow.

    Raises:
        Refusal: 422.
    """
    if not name:
        problem = "Required value: name or generateName is required"
        raise invalid(kind, "", ("metadata.name", problem))
    if kind.group != "rbac.authorization.k8s.io" and not _NAME.fullmatch(name):
        problem = f"Invalid value: {json.dumps(name)}: {_NAME_RULE}"
        raise invalid(kind, name, ("metadata.name", problem))


def check_strings(obj: Object, kind: Kind) -> None:
    """Refuse numbers and booleans where strings belong, as a decoder of types does.

    Raises:
        Refusal: 400.
    """
    for path, value in () if kind.custom else _no_strings(obj, kind.shape, ()):
        words = f"cannot unmarshal {_json_type(value)} into Go struct field {kind.kind}{shown(path)} of type string"
        raise bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: json: {words}')


def check_intent(obj: Object, kind: Kind, where: str) -> None:
    """The same of what is applied: there it is a fault of the typed patch.

    Raises:
        Refusal: 500, as the real server has it.
    """
    for path, value in () if kind.custom else _no_strings(obj, kind.shape, ()):
        shape = f"&value.valueUnstructured{{Value:{json.dumps(value)}}}"
        message = f"failed to create typed patch object ({where}): {shown(path)}: expected string, got {shape}"
        raise Refusal(500, "", message)


def _json_type(value: Any) -> str:
    return "bool" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "object"


def _no_strings(value: Any, shape: Shape, path: Path) -> Iterator[tuple[Path, Any]]:
    """The places of a pod's variables and of string maps that hold something else."""
    if isinstance(value, dict):
        for name, child in value.items():
            below = (*path, f"f:{name}")
            if name in _STRING_MAPS and isinstance(child, dict):
                wrong = ((key, item) for key, item in child.items() if not isinstance(item, str | None))
                yield from (((*below, f"f:{key}"), item) for key, item in wrong)
            elif name == "value" and path[-2:-1] == ("f:env",) and not isinstance(child, str | None):
                yield below, child
            elif name not in ("managedFields", "status"):
                yield from _no_strings(child, shape.entry(name), below)
    elif isinstance(value, list) and shape.merges:
        for item in value:
            yield from _no_strings(item, shape.element(), (*path, element_key(item, shape)))


def check_stored(obj: Object, kind: Kind, live: Object | None) -> None:
    """Refuse what a kind does not allow, in itself or as a change of the live object.

    Raises:
        Refusal: 422.
    """
    if kind.kind == "CustomResourceDefinition":
        _check_definition(obj, kind)
    if kind.custom or kind.group not in ("apps", "batch"):
        return
    problems = list(_selector_problems(obj, live)) if kind.kind in _SELECTING else []
    immutable = [problem for problem in problems if problem[1].endswith("field is immutable")]
    problems = [problem for problem in problems if problem not in immutable]
    problems += _container_problems(obj, kind)
    if problems + immutable:
        raise invalid(kind, obj["metadata"].get("name", ""), *problems, *immutable)


def _selector_problems(obj: Object, live: Object | None) -> Iterator[tuple[str, str]]:
    spec = obj.get("spec", {})
    selector, labels = spec.get("selector"), (spec.get("template", {}).get("metadata") or {}).get("labels") or {}
    if not selector:
        yield "spec.selector", "Required value"
    wanted = (selector or {}).get("matchLabels") or {}
    if not selector or any(labels.get(name) != value for name, value in wanted.items()):
        words = f"Invalid value: {_compact(labels)}: `selector` does not match template `labels`"
        yield "spec.template.metadata.labels", words
    if live and selector != live.get("spec", {}).get("selector"):
        yield "spec.selector", f"Invalid value: {_compact(selector)}: field is immutable"


def _container_problems(obj: Object, kind: Kind) -> Iterator[tuple[str, str]]:
    steps = ("spec", "jobTemplate", "spec") if kind.kind == "CronJob" else ("spec",)
    node: Any = obj
    for step in (*steps, "template", "spec"):
        node = node.get(step) or {}
    where = ".".join((*steps, "template", "spec"))
    if not node.get("containers"):
        yield f"{where}.containers", "Required value"
    for field in ("initContainers", "containers"):
        for index, container in enumerate(node.get(field) or ()):
            for name in ("name", "image"):
                if not container.get(name):
                    yield f"{where}.{field}[{index}].{name}", "Required value"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _check_definition(obj: Object, kind: Kind) -> None:
    spec, name = obj.get("spec", {}), obj["metadata"].get("name", "")
    names = spec.get("names") or {}
    missing = [field for field in ("group", "scope", "versions") if not spec.get(field)]
    missing += [f"names.{field}" for field in ("plural", "kind") if not names.get(field)]
    if missing:
        raise invalid(kind, name, *((f"spec.{field}", "Required value") for field in missing))
    if name != f"{names['plural']}.{spec['group']}":
        problem = f'Invalid value: {json.dumps(name)}: must be spec.names.plural+"."+spec.group'
        raise invalid(kind, name, ("metadata.name", problem))
