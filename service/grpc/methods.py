"""RewardService: bytes in, bytes out, the engine in between. A request is read here and not by gRPC, so that one that
can't be read is answered like any other error."""

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
from ..errors import typed
from ..operations.metrics import Metrics
from ..scheduling.byte_capacity import HeldBytes
from ..scheduling.call import Call
from ..settings.settings import Settings
from .call import REQUEST_ID_KEY, abort, discard, make_call, texts
from .interceptors import UPLOADS, Gate, caller

Read = Callable[[Any, HeldBytes], Awaitable[bytes]]


class Methods:
    def __init__(self, engine: ScoringEngine, settings: Settings, metrics: Metrics, gate: Gate):
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._gate = gate

    def handlers(self) -> grpc.GenericRpcHandler:
        made: dict[str, grpc.RpcMethodHandler] = {}
        for method in METHODS:
            unary, stream = self._behaviours(method, method.path, _whole)
            made[method.name] = (
                grpc.unary_stream_rpc_method_handler(stream)
                if method.streams
                else grpc.unary_unary_rpc_method_handler(unary)
            )
            if method.chunkable:
                unary, stream = self._behaviours(method, method.chunked_path, self._joined)
                made[f"{method.name}Chunked"] = (
                    grpc.stream_stream_rpc_method_handler(stream)
                    if method.streams
                    else grpc.stream_unary_rpc_method_handler(unary)
                )
        return grpc.method_handlers_generic_handler(SERVICE, made)

    def _behaviours(self, method: Method, path: str, read: Read):
        async def unary(incoming: Any, context: Any) -> bytes:
            async with self._exchange(method, path, incoming, context) as (call, held):
                answer = await self._ask(method, await _parsed(method, await read(incoming, held)), call)
                return to_bytes(answer)
            raise AssertionError("an error has ended the call")

        async def stream(incoming: Any, context: Any) -> AsyncIterator[bytes]:
            async with self._exchange(method, path, incoming, context) as (call, held):
                request: Any = await _parsed(method, await read(incoming, held))
                async with aclosing(self._engine.stream_group(request, call)) as known:  # type: ignore[type-var]
                    async for one in known:
                        yield event(one)

        return unary, stream

    async def _ask(self, method: Method, request: Any, call: Call) -> BaseModel:
        if method is SCORE:
            return await self._engine.score(request, call)
        if method is COMPARE:
            return await self._engine.compare(request, call)
        if method is PUT_REFERENCE_SET:
            return await self._engine.put_references(request, call)
        return ModelList(models=self._engine.models())

    async def _joined(self, incoming: AsyncIterator[bytes], held: HeldBytes) -> bytes:
        most = self._settings.requests.max_body_bytes
        parts: list[bytes] = []
        size = 0
        async for chunk in incoming:
            parts.append(read_chunk(chunk))
            size += len(parts[-1])
            if size > most:
                raise PayloadTooLarge(
                    f"the request is over {most} bytes; send fewer or smaller videos at a time",
                    details={"limit": "max_body_bytes", "maximum": most},
                )
            held.grow_to(size)
        return b"".join(parts)

    @asynccontextmanager
    async def _exchange(
        self, method: Method, path: str, incoming: Any, context: Any
    ) -> AsyncIterator[tuple[Call, HeldBytes]]:
        """Around one call: its id, deadline and room, its error as its status, and counting."""
        started = time.monotonic()
        status, code, call = "OK", None, None
        held = HeldBytes(self._engine.body_capacity)
        with self._gate.running():  # until the caller has been told
            try:
                identity = request_id(texts(context.invocation_metadata()))
                await context.send_initial_metadata(((REQUEST_ID_KEY, identity),))
                call = make_call(context, caller.get(), identity, self._settings.requests.request_timeout_s)
                if issubclass(method.request, RequestBase):
                    self._engine.check_capacity(call)
                async with self._gate.in_flight.limited(max(call.remaining_s, 0)):
                    yield call, held
            except (asyncio.CancelledError, GeneratorExit):  # the caller went away or is late: nobody listens
                gone = DeadlineExceeded if call is not None and call.remaining_s <= 0 else Cancelled
                status, code = gone.grpc_status, gone.code
                raise
            except Exception as failure:
                seconds = time.monotonic() - started
                error = (
                    DeadlineExceeded(f"not answered within {seconds:.3g} s", retry_after_s=1)
                    if isinstance(failure, TimeoutError)
                    else typed(failure)
                )
                status, code = error.grpc_status, error.code
                if path in UPLOADS and not isinstance(error, DeadlineExceeded):
                    await discard(incoming)
                await abort(context, error)
            finally:
                held.release()
                self._gate.count(path, status, code)
                self._metrics.request_seconds.labels(path).observe(time.monotonic() - started)


async def _whole(incoming: bytes, held: HeldBytes) -> bytes:
    held.grow_to(len(incoming))
    return incoming


async def _parsed(method: Method, data: bytes) -> Message:
    if len(data) > CHUNK_BYTES:  # of which the event loop's other calls shall not notice
        return await asyncio.to_thread(read_request, method.request, data)
    return read_request(method.request, data)
