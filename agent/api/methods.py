"""The contract's methods, read from the generated descriptor: what both fronts are built from, method by method.

So a method that is added to the contract appears in both fronts, and an agent whose service lacks one does not start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["Flux"].full_name
"""`flux.v1.Flux`."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method: `attribute` is its name in the service, `reads` whether it has no side effects."""

    name: str
    attribute: str
    request: type[Message] = field(repr=False)
    response: type[Message] = field(repr=False)
    streams: bool
    reads: bool


def _method(descriptor: MethodDescriptor) -> Method:
    return Method(
        name=descriptor.name,
        attribute=re.sub(r"(?<=[a-z])(?=[A-Z])", "_", descriptor.name).lower(),
        request=GetMessageClass(descriptor.input_type),
        response=GetMessageClass(descriptor.output_type),
        streams=descriptor.server_streaming,
        reads=descriptor.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
    )


METHODS = tuple(_method(descriptor) for descriptor in pb.DESCRIPTOR.services_by_name["Flux"].methods)
