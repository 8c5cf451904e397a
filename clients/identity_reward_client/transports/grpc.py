"""The service over gRPC. Frames travel as raw bytes; a request of more than 4 MB goes in chunks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from os import PathLike
from typing import TypeVar
from urllib.parse import urlsplit

import grpc

from ..base import ReferencesLike, VideoLike
from ..errors import FrameIndexMismatch, InvalidRequest, InvalidResponse
from ..fps import Fps
from ..inputs.groups import PreparedGroup
from ..inputs.media import read_file
from ..messages import (
    Answer,
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Item,
    Message,
    ModelInfo,
    ReferenceSet,
    ReferenceSetResponse,
    ScoreRequest,
    ScoreResponse,
)
from ..proto import methods
from ..proto.codec import read_answer, to_bytes
from ..proto.methods import MAX_UNARY_BYTES, Method, chunks, read_event
from ..wire.content_ids import references_of
from ..wire.headers import IDEMPOTENCY_HEADER, PRIORITY_HEADER, REFERENCE_SET_HEADER, Priority
from .grpc_errors import from_rpc
from .remote import RemoteRewardClient
from .responses import check_item
from .retry import RetryPolicy

T = TypeVar("T")
A = TypeVar("A", bound=Answer | ReferenceSetResponse)
OnItem = Callable[[Item], None]
Metadata = list[tuple[str, str]]

_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),  # settings of the environment are not read
    ("grpc.enable_retries", 0),  # RetryPolicy does it
    # a server that comes back is found within the first waits of a RetryPolicy
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class GrpcRewardClient(RemoteRewardClient):
    """A RewardClient of the service at `target`: HOST:PORT or grpc://HOST:PORT, with TLS grpcs://HOST:PORT.

    `ca_path` holds the PEM certificates that a grpcs:// server is checked against, the system's when None;
    `cert_path` and `key_path` are what this client shows of itself, where the server asks for it. Use it from one event
    loop (SyncRewardClient has its own). `timeout_s`, `retry`, `token` and `priority` as for HttpRewardClient.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float = 300.0,
        retry: RetryPolicy | None = None,
        token: str | None = None,
        priority: Priority = "interactive",
        ca_path: str | PathLike | None = None,
        cert_path: str | PathLike | None = None,
        key_path: str | PathLike | None = None,
    ):
        address, secure = _address(target)
        super().__init__(target, timeout_s, retry, priority)
        self._token = [("authorization", f"Bearer {token}")] if token else []
        given = {"ca_path": ca_path, "cert_path": cert_path, "key_path": key_path}
        if (cert_path is None) != (key_path is None):
            raise InvalidRequest("cert_path and key_path go together; only one was given")
        if not secure and any(given.values()):
            raise InvalidRequest(f"certificates are for grpcs:// targets, got {target!r}")
        self._credentials = (
            grpc.ssl_channel_credentials(
                *(None if path is None else read_file(path, "PEM") for path in (ca_path, key_path, cert_path))
            )
            if secure
            else None
        )
        self._address = address
        self._opened: grpc.aio.Channel | None = None

    @property
    def _channel(self) -> grpc.aio.Channel:
        if self._opened is None:  # a channel belongs to the event loop that it is made in
            self._opened = (
                grpc.aio.insecure_channel(self._address, _OPTIONS)
                if self._credentials is None
                else grpc.aio.secure_channel(self._address, self._credentials, _OPTIONS)
            )
        return self._opened

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def stream_group(
        self,
        references: ReferencesLike,
        videos: Sequence[VideoLike],
        *,
        fps: Fps | None = None,
        prompt: str | None = None,
        model: str | None = None,
        details: bool = False,
    ) -> AsyncIterator[Item]:
        """The items of `score_group`, each once and as soon as it is known, in any order; `index` says of which video.

        Leaving the iteration early cancels the call.
        """
        ready: asyncio.Queue[Item | None] = asyncio.Queue()
        fields = {"prompt": prompt, "model": model, "details": details}

        def send(request: GroupRequest, group: PreparedGroup) -> Awaitable[GroupResponse]:
            def on_item(item: Item) -> None:
                if not 0 <= item.index < len(group.indices):
                    raise InvalidResponse(f"the service answered item {item.index} of {len(group.indices)}")
                check_item(item)
                if item.error is None or item.error.code != FrameIndexMismatch.code:  # which may yet be asked anew
                    ready.put_nowait(item.model_copy(update={"index": group.indices[item.index]}))

            return self._events(request, on_item)

        call = asyncio.ensure_future(self._score_group(references, videos, fps, fields, send))
        call.add_done_callback(lambda _: ready.put_nowait(None))
        given: set[int] = set()
        try:
            while (item := await ready.get()) is not None:
                if item.index not in given:  # a second try tells again what the first one told
                    given.add(item.index)
                    yield item
            for item in (await call).items:
                if item.index not in given:
                    yield item
        finally:
            call.cancel()

    async def _send_score(self, request: ScoreRequest) -> ScoreResponse:
        return await self._ask(methods.SCORE, request, ScoreResponse, self._scoring())

    async def _send_compare(self, request: CompareRequest) -> CompareResponse:
        return await self._ask(methods.COMPARE, request, CompareResponse, self._scoring())

    async def _send_group(self, request: GroupRequest) -> GroupResponse:
        return await self._events(request, lambda _: None)

    async def _send_references(self, request: ReferenceSet) -> str:
        return (await self._ask(methods.PUT_REFERENCE_SET, request, ReferenceSetResponse, self._token)).id

    async def _fetch_models(self) -> list[ModelInfo]:
        request = methods.ListModelsRequest()
        return (await self._ask(methods.LIST_MODELS, request, methods.ModelList, self._token)).models

    def _scoring(self) -> Metadata:
        """With one key for all tries, so that a server that has scored it already need not do so again."""
        key = (IDEMPOTENCY_HEADER.lower(), uuid.uuid4().hex)
        return [*self._token, (PRIORITY_HEADER.lower(), self._priority), key]

    async def _ask(self, method: Method, request: Message, answer: type[A], metadata: Metadata) -> A:
        body, route = await asyncio.to_thread(_encode, request)
        metadata = metadata + route

        async def attempt() -> A:
            if len(body) <= MAX_UNARY_BYTES or not method.chunkable:
                call = self._channel.unary_unary(method.path)(body, timeout=self._timeout_s, metadata=metadata)
            else:
                call = self._channel.stream_unary(method.chunked_path)(
                    chunks(body), timeout=self._timeout_s, metadata=metadata
                )
            return read_answer(answer, await call)

        return await self._tried(attempt)

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
            answer: GroupResponse | None = None
            try:
                async for data in call:  # to its end: left before, the service would count it as cancelled
                    known = read_event(data)
                    if isinstance(known, Item):
                        on_item(known)
                    elif known is not None:
                        answer = known
            finally:
                call.cancel()
            if answer is None:
                raise InvalidResponse(f"{self._where} ended the group's answer before its last message")
            return answer

        return await self._tried(attempt)

    async def _tried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async def typed() -> T:
            try:
                return await attempt()
            except grpc.aio.AioRpcError as error:
                raise from_rpc(error, self._where, self._timeout_s) from None

        return await self._retry.run(typed)


def _encode(message: Message) -> tuple[bytes, Metadata]:
    set_id = references_of(message)
    return to_bytes(message), [] if set_id is None else [(REFERENCE_SET_HEADER.lower(), set_id)]


def _address(target: str) -> tuple[str, bool]:
    """(HOST:PORT, whether with TLS)."""
    try:
        parts = urlsplit(target if "://" in target else f"grpc://{target}")
        if parts.scheme in ("grpc", "grpcs") and parts.hostname and parts.port and not parts.path.strip("/"):
            return parts.netloc, parts.scheme == "grpcs"
    except ValueError:
        pass
    raise InvalidRequest(f"a gRPC target looks like 127.0.0.1:50051 or grpcs://host:443, got {target!r}")
