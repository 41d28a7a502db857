"""A request for objects as a value, and what its body says.

Bodies are JSON, or YAML where they are no JSON; protobuf, which kubectl's `create deployment` and the like send, is
refused, but for reviews and token requests.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from agent.sandbox import answers
from agent.sandbox.checks import check_intent, check_strings
from agent.sandbox.kinds import Kind, Object
from agent.sandbox.messages import from_protobuf
from agent.sandbox.patches import PatchError, json_patch, merge_patch, strategic_patch

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request for an object or a collection.

    `media` is the body's content type without parameters, `agent` the User-Agent header.
    """

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    media: str = ""
    agent: str = ""

    @property
    def dry(self) -> bool:
        """Whether nothing is to be stored."""
        return self.query.get("dryRun") == "All"

    @property
    def writer(self) -> str:
        """The field manager: as asked for, else the program's name."""
        return (self.query.get("fieldManager") or self.agent.partition("/")[0])[:128] or "unknown"

    @property
    def where(self) -> str:
        """How messages about typed patches name the object."""
        return f"{self.namespace}/{self.name}; {self.kind.group}/{self.kind.version}, Kind={self.kind.kind}"


def now() -> str:
    """The time, as Kubernetes writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parsed(call: Call) -> Any:
    if "protobuf" in call.media:
        return from_protobuf(call.body, call.kind)
    try:
        return json.loads(call.body)
    except ValueError as error:
        try:
            return yaml.load(call.body, yaml.CSafeLoader)
        except yaml.YAMLError:
            message = f"the object provided is unrecognized (must be of type {call.kind.kind}): {error}"
            raise answers.bad_request(message) from error


def body_of(call: Call) -> Object:
    """The object in the body of a POST or PUT.

    Raises:
        Refusal: It is no object of this kind, or belongs elsewhere.
    """
    parsed = _parsed(call)
    if not isinstance(parsed, dict):
        raise answers.bad_request(f"the object provided is unrecognized (must be of type {call.kind.kind})")
    kind = parsed.get("kind", call.kind.kind)
    if call.subresource != "scale" and kind != call.kind.kind:
        version = parsed.get("apiVersion", call.kind.api_version)
        raise answers.bad_request(f'{kind} in version "{version}" cannot be handled as a {call.kind.kind}')
    check_strings(parsed, call.kind)
    _same_place(parsed, call)
    return parsed


def _same_place(obj: Object, call: Call) -> None:
    metadata = obj.get("metadata") or {}
    if call.name and metadata.get("name", call.name) != call.name:
        words = f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})"
        raise answers.bad_request(words)
    if call.kind.namespaced and metadata.get("namespace", call.namespace) != call.namespace:
        raise answers.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def intent_of(call: Call) -> Object:
    """The object that is applied, with the name and namespace of its path.

    Raises:
        Refusal: There is no field manager, or it is not what may be applied here.
    """
    if not call.query.get("fieldManager"):
        problem = "Required value: is required for apply patch"
        options = Kind("meta.k8s.io", "v1", "PatchOptions", "patchoptions")
        raise answers.invalid(options, "", ("fieldManager", problem))
    intent = _parsed(call)
    if not isinstance(intent, dict):
        raise answers.bad_request("error decoding YAML: the patch is no object")
    version, kind = str(intent.get("apiVersion", "")), intent.get("kind", "")
    if (version, kind) != (call.kind.api_version, call.kind.kind):
        slash = version if "/" in version else f"/{version}"
        raise answers.bad_request(f"invalid object type: {slash}, Kind={kind}")
    _same_place(intent, call)
    metadata = dict(intent.get("metadata") or {})
    if "managedFields" in metadata and metadata["managedFields"] is not None:
        raise answers.bad_request("metadata.managedFields must be nil")
    metadata.pop("managedFields", None)
    metadata["name"] = call.name
    if call.kind.namespaced:
        metadata["namespace"] = call.namespace
    intent = {**intent, "metadata": metadata}
    check_intent(intent, call.kind, call.where)
    return intent


def patched(call: Call, shown: Object) -> Object:
    """What a patch that is no apply makes of an object.

    Raises:
        Refusal: The patch does not fit, or its media type is not known.
    """
    patch = _parsed(call)
    try:
        if call.media == MERGE:
            result = merge_patch(shown, patch)
        elif call.media == JSON:
            result = json_patch(shown, patch)
        elif call.media == STRATEGIC and not call.kind.custom:
            result = strategic_patch(shown, patch, call.kind.shape)
        else:
            raise answers.unsupported_media_type()
    except PatchError as error:
        if call.media == JSON:
            raise answers.rejected() from error
        raise answers.bad_request(str(error)) from error
    if not isinstance(result, dict):
        raise answers.rejected()
    check_strings(result, call.kind)
    return result


def options_of(call: Call) -> Object:
    """The DeleteOptions in the body; empty where there is none."""
    parsed = _parsed(call) if call.body else {}
    return parsed if isinstance(parsed, dict) else {}
