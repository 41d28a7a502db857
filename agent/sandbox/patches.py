"""The three kinds of patches besides server-side apply: JSON Patch, JSON Merge Patch, strategic merge.

Pure: a patch and a document go in, a new document comes out.
"""

from __future__ import annotations

import copy
from typing import Any

from agent.sandbox.shapes import Shape

Object = dict[str, Any]

MAX_OPERATIONS = 10_000


class PatchError(ValueError):
    """The patch does not fit the document, or is no patch at all."""


def merge_patch(document: Any, patch: Any) -> Any:
    """JSON Merge Patch, RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def json_patch(document: Any, operations: Any) -> Any:
    """JSON Patch, RFC 6902.

    Raises:
        PatchError: A `test` failed, a path is not there, or an operation is unknown.
    """
    if not isinstance(operations, list) or len(operations) > MAX_OPERATIONS:
        raise PatchError("a JSON patch is a list of operations")
    holder = {"": copy.deepcopy(document)}
    for operation in operations:
        if not isinstance(operation, dict) or "op" not in operation or "path" not in operation:
            raise PatchError("an operation needs op and path")
        _operate(holder, operation)
    return holder[""]


def _operate(holder: Object, operation: Object) -> None:
    op, path = operation["op"], _pointer(operation["path"])
    if op == "remove":
        _take(holder, path)
    elif op == "add":
        _put(holder, path, copy.deepcopy(operation.get("value")))
    elif op == "replace":
        if not isinstance(_at(holder, path[:-1]), dict):  # in a map the real server does not ask what was there
            _take(holder, path)
        _put(holder, path, copy.deepcopy(operation.get("value")))
    elif op == "test":
        if not _same(_at(holder, path), operation.get("value")):
            raise PatchError(f"testing value {operation['path']} failed")
    elif op in ("move", "copy"):
        source = _pointer(operation.get("from", ""))
        value = copy.deepcopy(_at(holder, source))
        if op == "move":
            _take(holder, source)
        _put(holder, path, value)
    else:
        raise PatchError(f"unexpected kind: {op}")


def _same(left: Any, right: Any) -> bool:
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise PatchError(f"{text!r} is no JSON pointer")
    return ["", *(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])]


def _at(holder: Any, path: list[str]) -> Any:
    node = holder
    for part in path:
        node = _child(node, part)
    return node


def _child(node: Any, part: str) -> Any:
    if isinstance(node, dict) and part in node:
        return node[part]
    if isinstance(node, list):
        return node[_index(part, len(node) - 1)]
    raise PatchError(f"missing path element {part!r}")


def _index(part: str, highest: int) -> int:
    if part.isdigit() and int(part) <= highest:
        return int(part)
    raise PatchError(f"{part!r} is no index of this list")


def _put(holder: Any, path: list[str], value: Any) -> None:
    parent, last = _at(holder, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    else:
        raise PatchError(f"cannot add {last!r} to a scalar")


def _take(holder: Any, path: list[str]) -> None:
    parent, last = _at(holder, path[:-1]), path[-1]
    if isinstance(parent, dict):
        if last not in parent:
            raise PatchError(f"missing path element {last!r}")
        del parent[last]
    elif isinstance(parent, list):
        del parent[_index(last, len(parent) - 1)]
    else:
        raise PatchError(f"cannot remove {last!r} from a scalar")


def strategic_patch(document: Any, patch: Any, shape: Shape) -> Any:
    """Kubernetes' strategic merge patch, with its directives.

    Lists merge by the first of their keys: that is the patch merge key of every list the table of shapes knows.

    Raises:
        PatchError: An element of a keyed list has no key.
    """
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if "$patch" in patch:
        kept = patch if patch["$patch"] == "replace" else {}
        return {name: value for name, value in copy.deepcopy(kept).items() if name != "$patch"}
    result = dict(document) if isinstance(document, dict) else {}
    if "$retainKeys" in patch:
        result = {name: value for name, value in result.items() if name in patch["$retainKeys"]}
    for name, value in patch.items():
        if name.startswith("$"):
            _direct(result, name, patch, shape)
        elif value is None:
            result.pop(name, None)
        elif isinstance(value, list) and shape.entry(name).merges:
            live = result.get(name) or []
            merged, order = _merge_list(live, value, shape.entry(name))
            result[name] = _arranged(merged, patch.get(f"$setElementOrder/{name}", order), live, shape.entry(name))
        else:
            result[name] = strategic_patch(result.get(name), value, shape.entry(name))
    return result


def _direct(result: Object, name: str, patch: Object, shape: Shape) -> None:
    """Follow a directive about a list that the patch does not also merge."""
    directive, _, field = name.partition("/")
    if directive == "$deleteFromPrimitiveList":
        result[field] = [item for item in result.get(field) or () if item not in patch[name]]
    elif directive == "$setElementOrder" and field not in patch and result.get(field):
        result[field] = _arranged(result[field], patch[name], result[field], shape.entry(field))


def _merge_list(live: list[Any], patch: list[Any], shape: Shape) -> tuple[list[Any], list[Any]]:
    """The merged list, and the patch's elements without directives: they give the order."""
    plain = [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return copy.deepcopy(plain), plain
    if shape.set:
        return live + [item for item in patch if item not in live], plain
    key = shape.keys[0]
    result = list(live)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise PatchError(f"map: {item} does not contain declared merge key: {key}")
        at = next((index for index, known in enumerate(result) if known.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            result = [known for known in result if known.get(key) != item[key]]
        elif at is None:
            result.append(strategic_patch({}, item, shape.element()))
        else:
            result[at] = strategic_patch(result[at], item, shape.element())
    return result, plain


def _arranged(merged: list[Any], order: list[Any], live: list[Any], shape: Shape) -> list[Any]:
    """What `order` names comes in its order, the rest in the live one, and the two are merged as they were live."""

    def mark(item: Any) -> Any:
        return item.get(shape.keys[0]) if shape.keys else item

    wanted, places = [mark(item) for item in order], [mark(item) for item in live]
    named = sorted((item for item in merged if mark(item) in wanted), key=lambda item: wanted.index(mark(item)))
    others = [item for item in merged if mark(item) not in wanted]
    result = []
    while named and others:
        left, right = mark(others[0]), mark(named[0])
        known = left in places and right in places
        result.append((others if known and places.index(left) < places.index(right) else named).pop(0))
    return result + named + others
