"""The fields of reviews and token requests: checked as a decoder of types does, and read from protobuf.

kubectl sends `create token`, `auth can-i` and `auth whoami` as protobuf; it takes the answers as JSON. No other kind
is read from protobuf.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from agent.sandbox.answers import bad_request, unsupported_media_type
from agent.sandbox.kinds import Kind

Object = dict[str, Any]

# MESSAGE: FIELD=NUMBER:TYPE …; the number is protobuf's, 0 for what is read from JSON alone; the type a string where
# none is said.
_TABLE = """
ObjectMeta: name=1 namespace=3
TokenRequest: metadata=1:ObjectMeta spec=2:TokenRequestSpec
TokenRequestSpec: audiences=1:[]string boundObjectRef=3:BoundObjectReference expirationSeconds=4:int64
BoundObjectReference: kind=1 apiVersion=2 name=3 uid=4
TokenReview: metadata=1:ObjectMeta spec=2:TokenReviewSpec
TokenReviewSpec: token=1 audiences=2:[]string
SelfSubjectReview: metadata=1:ObjectMeta
SelfSubjectAccessReview: metadata=1:ObjectMeta spec=2:SelfSubjectAccessReviewSpec
SelfSubjectAccessReviewSpec: resourceAttributes=1:ResourceAttributes nonResourceAttributes=2:NonResourceAttributes
SubjectAccessReview: metadata=1:ObjectMeta spec=2:SubjectAccessReviewSpec
LocalSubjectAccessReview: metadata=1:ObjectMeta spec=2:SubjectAccessReviewSpec
SubjectAccessReviewSpec: resourceAttributes=1:ResourceAttributes nonResourceAttributes=2:NonResourceAttributes \
 user=3 groups=4:[]string extra=0:map uid=6
ResourceAttributes: namespace=1 verb=2 group=3 version=4 resource=5 subresource=6 name=7
NonResourceAttributes: path=1 verb=2
"""

_PLAIN: Mapping[str, type] = {"string": str, "int64": int, "[]string": list, "map": dict}
"""Types that are no messages."""

_MAGIC = b"k8s\x00"
_ENVELOPE = {1: "typeMeta", 2: "raw"}
_TYPE_META = {1: "apiVersion", 2: "kind"}


@cache
def _messages() -> Mapping[str, Mapping[str, tuple[int, str]]]:
    """The fields of every message: name → (number, type)."""
    found: dict[str, dict[str, tuple[int, str]]] = {}
    for line in _TABLE.strip().splitlines():
        message, _, rest = line.partition(": ")
        fields = (word.partition("=")[::2] for word in rest.split())
        found[message] = {
            name: (int(rule.partition(":")[0]), rule.partition(":")[2] or "string") for name, rule in fields
        }
    return found


def checked(obj: Object, kind: Kind) -> Object:
    """The known fields of a message, without what is null or empty.

    Raises:
        Refusal: 400, a field is of another type.
    """
    return _checked(obj, kind.kind, (), kind)


def _checked(obj: Object, message: str, path: tuple[str, ...], kind: Kind) -> Object:
    result: Object = {}
    for name, (_, type_) in _messages()[message].items():
        value = obj.get(name)
        if value is None:
            continue
        if not _fits(value, type_):
            where, wanted = ".".join((*path, name)), type_ if type_ in _PLAIN else f"v1.{type_}"
            words = f"cannot unmarshal {_json_type(value)} into Go struct field {message}.{where} of type {wanted}"
            version, word = kind.version, kind.kind
            raise bad_request(f'{word} in version "{version}" cannot be handled as a {word}: json: {words}')
        if type_ not in _PLAIN:
            result[name] = _checked(value, type_, (*path, name), kind)
        elif value not in ("", []):
            result[name] = value
    return result


def _fits(value: Any, type_: str) -> bool:
    if type_ == "[]string":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if type_ == "map":
        return isinstance(value, dict) and all(_fits(item, "[]string") for item in value.values())
    return isinstance(value, _PLAIN.get(type_, dict)) and not isinstance(value, bool)


def _json_type(value: Any) -> str:
    names = {bool: "bool", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "number")


def from_protobuf(body: bytes, kind: Kind) -> Object:
    """The object in a body of Kubernetes' protobuf.

    Raises:
        Refusal: 415 for kinds that are not read from it, 400 where it is none.
    """
    if kind.custom or kind.kind not in _messages():
        raise unsupported_media_type()
    if not body.startswith(_MAGIC):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind})")
    try:
        envelope = {_ENVELOPE.get(number, ""): value for number, value in _fields(body[len(_MAGIC) :])}
        types = _fields(envelope.get("typeMeta", b""))
        named = {_TYPE_META[number]: value.decode() for number, value in types if number in _TYPE_META}
        return {**named, **_decoded(envelope.get("raw", b""), kind.kind)}
    except (AttributeError, DecodeError, TypeError, UnicodeDecodeError) as error:
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {error}") from error


def _fields(encoded: bytes) -> list[tuple[int, Any]]:
    """Numbers and values of a message: bytes or whole numbers."""
    message = Empty()
    message.ParseFromString(encoded)
    fields = UnknownFieldSet(message)
    return [(fields[index].field_number, fields[index].data) for index in range(len(fields))]


def _decoded(encoded: bytes, message: str) -> Object:
    known = {number: (name, type_) for name, (number, type_) in _messages()[message].items()}
    result: Object = {}
    for number, value in _fields(encoded):
        name, type_ = known.get(number, ("", ""))
        if type_ == "string" and not value:  # Go writes what is not set, too
            continue
        if type_ == "[]string":
            result.setdefault(name, []).append(value.decode())
        elif type_ in _PLAIN:
            result[name] = value.decode() if type_ == "string" else value
        elif name:
            result[name] = _decoded(value, type_)
    return result
