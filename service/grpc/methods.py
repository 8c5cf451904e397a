"""The methods of RewardService: serialized requests in, one engine call, serialized answers out.

Requests are parsed here and not by gRPC, so that bytes that are no request get an error like any other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
from pydantic import BaseModel

from identity_reward_client.errors import Cancelled, DeadlineExceeded, PayloadTooLarge
from identity_reward_client.messages import Message, ModelList, RequestBase
from identity_reward_client.proto.codec import read_request, to_bytes
from identity_reward_client.proto.methods import (
    CHUNK_BYTES,
    COMPARE,
    LIST_MODELS,
    METHODS,
    PUT_REFERENCE_SET,
    SCORE,
    SERVICE,
    Method,
    event,
    read_chunk,
)

from ..engine.call_fields import request_id
from ..engine.engine import ScoringEngine
from ..errors import to_reward_error
from ..operations.logging import current_request_id
from ..operations.metrics import Metrics
from ..scheduling.byte_capacity import HeldBytes
from ..scheduling.call import Call
from ..settings.settings import Settings
from .call import REQUEST_ID_KEY, abort, discard, read_grpc_call, text_metadata
from .interceptors import UPLOAD_PATHS, GuardInterceptor, caller, route_label

# (payload of a call: bytes, or chunks of them; the holder of its bytes) -> the serialized request
_ReadBytes = Callable[[Any, HeldBytes], Awaitable[bytes]]
_Unary = Callable[[Any, Any], Awaitable[bytes]]
_Stream = Callable[[Any, Any], AsyncIterator[bytes]]


async def _list_models(engine: ScoringEngine) -> ModelList:
    return ModelList(models=engine.models())


_ENGINE_CALLS: dict[Method, Callable[[ScoringEngine, Any, Call], Awaitable[BaseModel]]] = {
    SCORE: lambda engine, request, call: engine.score(request, call),
    COMPARE: lambda engine, request, call: engine.compare(request, call),
    PUT_REFERENCE_SET: lambda engine, request, call: engine.put_references(request, call),
    LIST_MODELS: lambda engine, request, call: _list_models(engine),
}


class RewardServiceMethods:
    """Handlers of every method of the protocol. One that takes a message also takes it in chunks."""

    def __init__(self, engine: ScoringEngine, settings: Settings, metrics: Metrics, guard: GuardInterceptor) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._guard = guard

    def handlers(self) -> grpc.GenericRpcHandler:
        handlers: dict[str, grpc.RpcMethodHandler] = {}
        for method in METHODS:
            unary, stream = self._behaviours(method, method.path, _read_whole)
            handlers[method.name] = (
                grpc.unary_stream_rpc_method_handler(stream)
                if method.streams
                else grpc.unary_unary_rpc_method_handler(unary)
            )
            if method.chunkable:
                unary, stream = self._behaviours(method, method.chunked_path, self._read_chunks)
                handlers[f"{method.name}Chunked"] = (
                    grpc.stream_stream_rpc_method_handler(stream)
                    if method.streams
                    else grpc.stream_unary_rpc_method_handler(unary)
                )
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _behaviours(self, method: Method, path: str, read_bytes: _ReadBytes) -> tuple[_Unary, _Stream]:
        async def unary(incoming: Any, context: Any) -> bytes:
            async with self._exchange(method, path, incoming, context) as (call, held_bytes):
                request = await _parse(method, await read_bytes(incoming, held_bytes))
                return to_bytes(await _ENGINE_CALLS[method](self._engine, request, call))
            raise AssertionError("an error has ended the call")

        async def stream(incoming: Any, context: Any) -> AsyncIterator[bytes]:
            async with self._exchange(method, path, incoming, context) as (call, held_bytes):
                request: Any = await _parse(method, await read_bytes(incoming, held_bytes))
                async with aclosing(self._engine.stream_group(request, call)) as answers:  # type: ignore[type-var]
                    async for answer in answers:
                        yield event(answer)

        return unary, stream

    async def _read_chunks(self, incoming: AsyncIterator[bytes], held_bytes: HeldBytes) -> bytes:
        max_bytes = self._settings.requests.max_body_bytes
        parts: list[bytes] = []
        size = 0
        async for chunk in incoming:
            parts.append(read_chunk(chunk))
            size += len(parts[-1])
            if size > max_bytes:
                raise PayloadTooLarge(
                    f"the request is over {max_bytes} bytes; send fewer or smaller videos at a time",
                    details={"limit": "max_body_bytes", "maximum": max_bytes},
                )
            held_bytes.grow_to(size)
        return b"".join(parts)

    @asynccontextmanager
    async def _exchange(
        self, method: Method, path: str, incoming: Any, context: Any
    ) -> AsyncIterator[tuple[Call, HeldBytes]]:
        """Context of one call: its id, time limit, admission, the status of its error, and its count in the metrics."""
        started = time.monotonic()
        status, code, call = "OK", None, None
        held_bytes = HeldBytes(self._engine.body_capacity)
        with self._guard.running():  # until the answer was sent
            try:
                identity = request_id(text_metadata(context.invocation_metadata()))
                current_request_id.set(identity)  # gRPC runs each call in a context of its own
                await context.send_initial_metadata(((REQUEST_ID_KEY, identity),))
                call = read_grpc_call(context, caller.get(), identity, self._settings.requests.request_timeout_s)
                if issubclass(method.request, RequestBase):
                    self._engine.check_capacity(call)
                async with self._guard.in_flight.limited(max(call.remaining_s, 0)):
                    yield call, held_bytes
            except (asyncio.CancelledError, GeneratorExit):  # the caller disconnected, or its deadline passed
                cancellation = DeadlineExceeded if call is not None and call.remaining_s <= 0 else Cancelled
                status, code = cancellation.grpc_status, cancellation.code
                raise
            except Exception as failure:
                seconds = time.monotonic() - started
                error = (
                    DeadlineExceeded(f"not answered within {seconds:.3g} s", retry_after_s=1)
                    if isinstance(failure, TimeoutError)
                    else to_reward_error(failure)
                )
                status, code = error.grpc_status, error.code
                if path in UPLOAD_PATHS and not isinstance(error, DeadlineExceeded):
                    await discard(incoming)
                await abort(context, error)
            finally:
                held_bytes.release()
                self._metrics.count_request(route_label(path), status, code, time.monotonic() - started)


async def _read_whole(incoming: bytes, held_bytes: HeldBytes) -> bytes:
    held_bytes.grow_to(len(incoming))
    return incoming


async def _parse(method: Method, body: bytes) -> Message:
    if len(body) > CHUNK_BYTES:  # long enough to hold up the event loop's other calls
        return await asyncio.to_thread(read_request, method.request, body)
    return read_request(method.request, body)
