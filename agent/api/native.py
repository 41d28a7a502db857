"""The gRPC front: the contract for native clients, with gRPC's own health and reflection services beside it.

The only module that knows grpc. A stream holds one of the server's threads for as long as it lives, and so does a
reflection call: both take a slot first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from agent.api.auth import TOKEN_HEADER, Admit
from agent.api.call import Call, Measure, Observer, Slots, measured
from agent.api.errors import BusyError, outcome
from agent.api.listen import Address
from agent.api.methods import METHODS, SERVICE, Method
from agent.api.service import Service

THREADS = 32
"""Threads that serve calls. They are started when first needed; 16 may wait at a time, the rest answers."""

_REFLECTIONS = 4
"""Reflection calls at a time, besides the calls that wait."""

_QUEUE = 256
"""Calls that are being served or wait for a thread; more are refused at once with RESOURCE_EXHAUSTED."""

_OPTIONS = (
    ("grpc.max_receive_message_length", 1024 * 1024),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    ("grpc.max_metadata_size", 16 * 1024),
    # Two agents on one port would share its callers by chance.
    ("grpc.so_reuseport", 0),
    # A caller whose machine is gone holds its thread for 40 s at most.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class NativeFront:
    """The contract over native gRPC.

    Args:
        service: Answers the calls.
        admit: Is asked who calls, before each call of the contract; health and reflection are open.
        stop: Set when the agent is shutting down.
        is_ready: Whether the agent can serve; what gRPC's health service answers.
        observer: Is told of every call of the contract.
    """

    def __init__(
        self,
        service: Service,
        admit: Admit,
        stop: threading.Event,
        is_ready: Callable[[], bool],
        observer: Observer,
    ) -> None:
        self._admit = admit
        self._observer = observer
        self._stop = stop
        self._slots = Slots(THREADS // 2)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="api-grpc")
        self._server = grpc.server(self._pool, options=_OPTIONS, maximum_concurrent_rpcs=_QUEUE)
        handlers = {method.name: self._handler(service, method) for method in METHODS}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._health = _Health(is_ready)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(names), self._server)
        self.port = 0

    def start(self, address: Address) -> None:
        """Listen and serve; `port` tells where.

        Raises:
            UsageError: The address cannot be listened on.
        """
        # gRPC only says that it failed; a socket of our own says why.
        address.bind().close()
        try:
            self.port = self._server.add_insecure_port(address.for_grpc())
        except RuntimeError as error:
            self.port = 0
            raise address.refused("gRPC told why on stderr") from error
        self._server.start()

    def stop(self, grace: float) -> None:
        """Take no more calls, let the running ones end within `grace` seconds, then cut them off."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait(grace + 1)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _handler(self, service: Service, method: Method) -> grpc.RpcMethodHandler:
        function = getattr(service, method.attribute)
        make = grpc.unary_stream_rpc_method_handler if method.streams else grpc.unary_unary_rpc_method_handler
        wrap = self._streaming if method.streams else self._unary
        return make(
            wrap(function, method.name),
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )

    def _unary(
        self, function: Callable[[Any, Call], Message], name: str
    ) -> Callable[[Message, grpc.ServicerContext], Message]:
        def answer(request: Message, context: grpc.ServicerContext) -> Message:
            with measured(self._observer, name, self._slots, waits=False) as measure:
                try:
                    return function(request, self._call(context, measure))
                except Exception as error:  # noqa: BLE001 # the edge: every error becomes a code
                    measure.code, message = outcome(error, name)
                    _abort(context, measure.code, message)

        return answer

    def _streaming(
        self, function: Callable[[Any, Call], Iterator[Message]], name: str
    ) -> Callable[[Message, grpc.ServicerContext], Iterator[Message]]:
        def answer(request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
            with measured(self._observer, name, self._slots, waits=True) as measure:
                try:
                    yield from function(request, self._call(context, measure))
                except Exception as error:  # noqa: BLE001 # the edge: every error becomes a code
                    measure.code, message = outcome(error, name)
                    _abort(context, measure.code, message)

        return answer

    def _call(self, context: grpc.ServicerContext, measure: Measure) -> Call:
        headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        return Call(
            slots=measure,
            stop=self._stop,
            is_active=context.is_active,
            remaining=context.time_remaining,
            header=lambda name: headers.get(name, ""),
            access=self._admit(headers.get(TOKEN_HEADER, "")),
        )


def _abort(context: grpc.ServicerContext, code: str, message: str) -> NoReturn:
    context.abort(grpc.StatusCode[code], message)
    raise AssertionError("abort raises")


class _Health(health.HealthServicer):  # type: ignore[misc] # published without types
    """gRPC's health service; what it says is looked up when asked."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        super().__init__()
        self._is_ready = is_ready

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 # gRPC's name
        """Whether the agent can serve."""
        states = health_pb2.HealthCheckResponse
        for name in ("", SERVICE):
            self.set(name, states.SERVING if self._is_ready() else states.NOT_SERVING)
        return super().Check(request, context)


class _Reflection(reflection.ReflectionServicer):  # type: ignore[misc] # published without types
    """Server reflection, a few calls at a time."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self._slots = Slots(_REFLECTIONS)

    def ServerReflectionInfo(self, request_iterator: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        """Describe the services."""
        try:
            with self._slots.hold():
                yield from super().ServerReflectionInfo(request_iterator, context)
        except BusyError as error:
            _abort(context, *outcome(error, "ServerReflectionInfo"))
