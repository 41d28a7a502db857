"""Label and field selectors, parsed once into a test of an object."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from agent.sandbox.answers import bad_request

Object = dict[str, Any]
Test = Callable[[Object], bool]

_SPLIT = re.compile(r",(?![^()]*\))")
_SET = re.compile(r"\s*(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)\s*")
_EQUAL = re.compile(r"\s*(?P<key>[^\s!=,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s!=,()]*)\s*")
_EXISTS = re.compile(r"\s*(?P<no>!?)\s*(?P<key>[^\s!=,()]+)\s*")
_FIELDS: dict[str, tuple[str, ...]] = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "status.phase": ("status", "phase"),
    "type": ("type",),
    "reason": ("reason",),
    "involvedObject.name": ("involvedObject", "name"),
    "involvedObject.namespace": ("involvedObject", "namespace"),
    "involvedObject.kind": ("involvedObject", "kind"),
    "involvedObject.uid": ("involvedObject", "uid"),
}
"""More than any one kind supports: the real server refuses `status.phase` on a ConfigMap."""


def selector(labels: str, fields: str) -> Test:
    """The test of both selectors; empty ones match everything.

    Raises:
        Refusal: A selector cannot be parsed, or asks for a field that is not known.
    """
    tests = [_label_test(part) for part in _SPLIT.split(labels) if labels]
    tests += [_field_test(part) for part in fields.split(",") if fields]
    return lambda obj: all(test(obj) for test in tests)


def _label_test(text: str) -> Test:
    if match := _SET.fullmatch(text):
        key, wanted = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["op"] == "in":
            return lambda obj: key in _labels(obj) and _labels(obj)[key] in wanted
        return lambda obj: key not in _labels(obj) or _labels(obj)[key] not in wanted
    if match := _EQUAL.fullmatch(text):
        key, value = match["key"], match["value"]
        if match["op"] == "!=":
            return lambda obj: _labels(obj).get(key) != value
        return lambda obj: _labels(obj).get(key) == value
    if match := _EXISTS.fullmatch(text):
        key, wanted_there = match["key"], not match["no"]
        return lambda obj: (key in _labels(obj)) == wanted_there
    raise bad_request(f"unable to parse requirement: {text!r}")


def _labels(obj: Object) -> dict[str, str]:
    return obj.get("metadata", {}).get("labels") or {}


def _field_test(text: str) -> Test:
    name, operator, value = re.split(r"(==|!=|=)", text, maxsplit=1) if "=" in text else (text, "", "")
    if name not in _FIELDS or not operator:
        known = ", ".join(f'"{field}"' for field in list(_FIELDS)[:2])
        raise bad_request(f'"{name}" is not a known field selector: only {known}')
    path = _FIELDS[name]
    if operator == "!=":
        return lambda obj: _field(obj, path) != value
    return lambda obj: _field(obj, path) == value


def _field(obj: Object, path: tuple[str, ...]) -> str:
    node: Any = obj
    for step in path:
        node = node.get(step, "") if isinstance(node, dict) else ""
    return str(node or "")
