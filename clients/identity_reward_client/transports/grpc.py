"""Client of the service over gRPC. Frames travel as raw bytes; a request of more than 4 MiB is sent in chunks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from os import PathLike
from typing import TypeVar, Unpack
from urllib.parse import urlsplit

import grpc

from ..base import ReferencesLike, ScoreOptions, VideoLike, request_fields
from ..errors import FrameIndexMismatch, InvalidRequest, InvalidResponse
from ..inputs.groups import PreparedGroup
from ..inputs.media import read_file
from ..messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Item,
    Message,
    ModelInfo,
    ReferenceSet,
    ReferenceSetResponse,
    ResponseMessage,
    ScoreRequest,
    ScoreResponse,
)
from ..proto import methods
from ..proto.codec import read_response, to_bytes
from ..proto.methods import MAX_UNARY_BYTES, Method, chunks, read_event
from ..wire.content_ids import references_of
from ..wire.headers import IDEMPOTENCY_HEADER, PRIORITY_HEADER, REFERENCE_SET_HEADER, Priority, authorization
from .grpc_errors import from_rpc
from .remote import RemoteRewardClient
from .responses import check_item
from .retry import RetryPolicy

T = TypeVar("T")
A = TypeVar("A", bound=ResponseMessage | ReferenceSetResponse)
OnItem = Callable[[Item], None]
Metadata = list[tuple[str, str]]

_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),  # http_proxy of the environment is ignored
    ("grpc.enable_retries", 0),  # RetryPolicy retries
    # short, so that a restarted server is found within the first waits of a RetryPolicy
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class GrpcRewardClient(RemoteRewardClient):
    """A `RewardClient` of the service at `target`, for one event loop (`SyncRewardClient` has one of its own).

    Args:
        target: HOST:PORT or grpc://HOST:PORT; with TLS grpcs://HOST:PORT.
        timeout_s, retry, token, priority: as of `HttpRewardClient`.
        ca_path: PEM file of the certificates that the server is verified against; the system's if None.
        cert_path, key_path: PEM files of this client's certificate and key, for a server that asks for them.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float = 300.0,
        retry: RetryPolicy | None = None,
        token: str | None = None,
        priority: Priority = "interactive",
        ca_path: str | PathLike[str] | None = None,
        cert_path: str | PathLike[str] | None = None,
        key_path: str | PathLike[str] | None = None,
    ) -> None:
        host_port, secure = _parse_target(target)
        super().__init__(target, timeout_s, retry, priority)
        credentials = authorization(token)
        self._token: Metadata = [] if credentials is None else [("authorization", credentials)]
        if (cert_path is None) != (key_path is None):
            raise InvalidRequest("cert_path and key_path go together; only one was given")
        if not secure and any((ca_path, cert_path, key_path)):
            raise InvalidRequest(f"certificates are for grpcs:// targets, got {target!r}")
        self._credentials = (
            grpc.ssl_channel_credentials(
                *(None if path is None else read_file(path, "PEM") for path in (ca_path, key_path, cert_path))
            )
            if secure
            else None
        )
        self._host_port = host_port
        self._open_channel: grpc.aio.Channel | None = None

    @property
    def _channel(self) -> grpc.aio.Channel:
        if self._open_channel is None:  # a channel belongs to the event loop that it is created in
            self._open_channel = (
                grpc.aio.insecure_channel(self._host_port, _OPTIONS)
                if self._credentials is None
                else grpc.aio.secure_channel(self._host_port, self._credentials, _OPTIONS)
            )
        return self._open_channel

    async def close(self) -> None:
        """Close the channel."""
        if self._open_channel is not None:
            await self._open_channel.close()

    async def stream_group(
        self,
        references: ReferencesLike,
        videos: Sequence[VideoLike],
        **options: Unpack[ScoreOptions],
    ) -> AsyncIterator[Item]:
        """The items of `score_group`, each as soon as it is scored, in any order; `index` is the video's.

        Leaving the iteration early cancels the call.
        """
        ready: asyncio.Queue[Item | None] = asyncio.Queue()
        fields = request_fields(options, ScoreOptions)

        def send(request: GroupRequest, group: PreparedGroup) -> Awaitable[GroupResponse]:
            def on_item(item: Item) -> None:
                if not 0 <= item.index < len(group.indices):
                    raise InvalidResponse(f"the service answered item {item.index} of {len(group.indices)}")
                check_item(item)
                # a mismatch is not final: the request may be sent again with other frames
                if item.error is None or item.error.code != FrameIndexMismatch.code:
                    ready.put_nowait(item.model_copy(update={"index": group.indices[item.index]}))

            return self._events(request, on_item)

        call = asyncio.ensure_future(self._score_group(references, videos, options.get("fps"), fields, send))
        call.add_done_callback(lambda _: ready.put_nowait(None))
        yielded: set[int] = set()
        try:
            while (item := await ready.get()) is not None:
                if item.index not in yielded:  # a second attempt repeats the items of the first one
                    yielded.add(item.index)
                    yield item
            for item in (await call).items:
                if item.index not in yielded:
                    yield item
        finally:
            call.cancel()

    async def _send_score(self, request: ScoreRequest) -> ScoreResponse:
        return await self._call(methods.SCORE, request, ScoreResponse, self._scoring())

    async def _send_compare(self, request: CompareRequest) -> CompareResponse:
        return await self._call(methods.COMPARE, request, CompareResponse, self._scoring())

    async def _send_group(self, request: GroupRequest) -> GroupResponse:
        return await self._events(request, lambda _: None)

    async def _send_references(self, request: ReferenceSet) -> str:
        return (await self._call(methods.PUT_REFERENCE_SET, request, ReferenceSetResponse, self._token)).id

    async def _fetch_models(self) -> list[ModelInfo]:
        request = methods.ListModelsRequest()
        return (await self._call(methods.LIST_MODELS, request, methods.ModelList, self._token)).models

    def _scoring(self) -> Metadata:
        # one key for all attempts: a server that has already scored the request need not score it again
        key = (IDEMPOTENCY_HEADER.lower(), uuid.uuid4().hex)
        return [*self._token, (PRIORITY_HEADER.lower(), self._priority), key]

    async def _call(self, method: Method, request: Message, response: type[A], metadata: Metadata) -> A:
        body, route = await asyncio.to_thread(_encode, request)
        metadata = metadata + route

        async def attempt() -> A:
            if len(body) <= MAX_UNARY_BYTES or not method.chunkable:
                call = self._channel.unary_unary(method.path)(body, timeout=self._timeout_s, metadata=metadata)
            else:
                call = self._channel.stream_unary(method.chunked_path)(
                    chunks(body), timeout=self._timeout_s, metadata=metadata
                )
            return read_response(response, await call)

        return await self._with_retries(attempt)

    async def _events(self, request: GroupRequest, on_item: OnItem) -> GroupResponse:
        method = methods.SCORE_GROUP
        body, route = await asyncio.to_thread(_encode, request)
        metadata = self._scoring() + route

        async def attempt() -> GroupResponse:
            if len(body) <= MAX_UNARY_BYTES:
                call = self._channel.unary_stream(method.path)(body, timeout=self._timeout_s, metadata=metadata)
            else:
                call = self._channel.stream_stream(method.chunked_path)(
                    chunks(body), timeout=self._timeout_s, metadata=metadata
                )
            response: GroupResponse | None = None
            try:
                async for data in call:  # to its end: otherwise the service would count the call as cancelled
                    event = read_event(data)
                    if isinstance(event, Item):
                        on_item(event)
                    elif event is not None:
                        response = event
            finally:
                call.cancel()
            if response is None:
                raise InvalidResponse(f"{self._address} ended the group's answer before its last message")
            return response

        return await self._with_retries(attempt)

    async def _with_retries(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async def attempt_typed() -> T:
            try:
                return await attempt()
            except grpc.aio.AioRpcError as error:
                raise from_rpc(error, self._address, self._timeout_s) from None

        return await self._retry.run(attempt_typed)


def _encode(message: Message) -> tuple[bytes, Metadata]:
    set_id = references_of(message)
    return to_bytes(message), [] if set_id is None else [(REFERENCE_SET_HEADER.lower(), set_id)]


def _parse_target(target: str) -> tuple[str, bool]:
    """(HOST:PORT, whether to use TLS)."""
    try:
        parts = urlsplit(target if "://" in target else f"grpc://{target}")
        if parts.scheme in ("grpc", "grpcs") and parts.hostname and parts.port and not parts.path.strip("/"):
            return parts.netloc, parts.scheme == "grpcs"
    except ValueError:
        pass
    raise InvalidRequest(f"a gRPC target looks like 127.0.0.1:50051 or grpcs://host:443, got {target!r}")
