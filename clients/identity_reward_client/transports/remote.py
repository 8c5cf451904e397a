"""Base of the HTTP and gRPC clients: prepared inputs, recovery from a changed server, checked responses."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, Unpack

from ..base import (
    CompareOptions,
    GroupOptions,
    ImageLike,
    ReferencesLike,
    ScoreOptions,
    VideoLike,
    request_fields,
)
from ..errors import FrameIndexMismatch, InvalidRequest, ModelNotFound
from ..fields.fps import Fps
from ..frame_sampling import FrameSampling
from ..inputs.groups import PreparedGroup, prepare_group
from ..inputs.media import needs_sampling, to_references, to_video
from ..messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Image,
    ModelInfo,
    ReferenceSet,
    ScoreRequest,
    ScoreResponse,
)
from ..wire.headers import PRIORITIES, Priority
from ..wire.validation import raise_invalid_request
from .reference_uploads import ReferenceUploads
from .responses import check_compare, check_group, check_scored
from .retry import RetryPolicy

T = TypeVar("T")
SendGroup = Callable[[GroupRequest, PreparedGroup], Awaitable[GroupResponse]]


class RemoteRewardClient(ABC):
    """A `RewardClient` over a transport. The transport sends one message and returns its answer, with retries."""

    def __init__(self, address: str, timeout_s: float, retry: RetryPolicy | None, priority: Priority) -> None:
        if priority not in PRIORITIES:
            raise InvalidRequest(f"priority is one of {', '.join(PRIORITIES)}, got {priority!r}")
        self._address = address
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._priority = priority
        self._models: list[ModelInfo] | None = None
        self._uploads = ReferenceUploads(lambda images: self._send_references(ReferenceSet(images=images)))

    @abstractmethod
    async def _send_score(self, request: ScoreRequest) -> ScoreResponse: ...

    @abstractmethod
    async def _send_compare(self, request: CompareRequest) -> CompareResponse: ...

    @abstractmethod
    async def _send_group(self, request: GroupRequest) -> GroupResponse: ...

    @abstractmethod
    async def _send_references(self, request: ReferenceSet) -> str: ...

    @abstractmethod
    async def _fetch_models(self) -> list[ModelInfo]: ...

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""

    async def score(
        self, references: ReferencesLike, video: VideoLike, **options: Unpack[ScoreOptions]
    ) -> ScoreResponse:
        """The reward of one video, see `RewardClient.score`."""
        fields = request_fields(options, ScoreOptions)

        async def send(references: list[Image] | str) -> ScoreResponse:
            sampling = await self._sampling(options.get("model"), [video])
            message = await asyncio.to_thread(to_video, video, options.get("fps"), sampling)
            with raise_invalid_request():
                request = ScoreRequest(references=references, video=message, **fields)
            return check_scored(await self._send_score(request))

        return await self._recover(send, references)

    async def compare(
        self, references: ReferencesLike, video_a: VideoLike, video_b: VideoLike, **options: Unpack[CompareOptions]
    ) -> CompareResponse:
        """Both rewards with the probabilities of each outcome, see `RewardClient.compare`."""
        fields = request_fields(options, CompareOptions)

        async def send(references: list[Image] | str) -> CompareResponse:
            sampling = await self._sampling(options.get("model"), [video_a, video_b])
            a = await asyncio.to_thread(to_video, video_a, options.get("fps"), sampling)
            b = await asyncio.to_thread(to_video, video_b, options.get("fps"), sampling)
            with raise_invalid_request():
                request = CompareRequest(references=references, video_a=a, video_b=b, **fields)
            return check_compare(await self._send_compare(request))

        return await self._recover(send, references)

    async def score_group(
        self, references: ReferencesLike, videos: Sequence[VideoLike], **options: Unpack[GroupOptions]
    ) -> GroupResponse:
        """One item per video, see `RewardClient.score_group`.

        A video that cannot be sent (a missing file, NaN pixels) has its error as its item; the others are scored.
        """
        fields = request_fields(options, GroupOptions)
        return await self._score_group(
            references, videos, options.get("fps"), fields, lambda request, _: self._send_group(request)
        )

    async def put_references(self, references: Sequence[ImageLike]) -> str:
        """Store reference images on the server. Returns the id that replaces them in later calls."""
        images = await asyncio.to_thread(to_references, references)
        return images if isinstance(images, str) else await self._uploads.upload(images)

    async def models(self) -> list[ModelInfo]:
        """The models that the server has loaded, fetched anew."""
        self._models = await self._fetch_models()
        return list(self._models)

    async def _score_group(
        self,
        references: ReferencesLike,
        videos: Sequence[VideoLike],
        fps: Fps | None,
        fields: dict[str, Any],
        send_group: SendGroup,
    ) -> GroupResponse:
        async def send(references: list[Image] | str) -> GroupResponse:
            sampling = await self._sampling(fields.get("model"), videos)
            group = await asyncio.to_thread(prepare_group, videos, fps, sampling)
            with raise_invalid_request():
                request = GroupRequest(references=references, videos=group.videos, **fields)
            return group.restore(check_group(await send_group(request, group), len(request.videos)))

        def has_mismatch(response: GroupResponse) -> bool:
            return any(item.error and item.error.code == FrameIndexMismatch.code for item in response.items)

        return await self._recover(send, references, has_mismatch)

    async def _recover(
        self,
        send: Callable[[list[Image] | str], Awaitable[T]],
        references: ReferencesLike,
        has_mismatch: Callable[[T], bool] = lambda _: False,
    ) -> T:
        """`send`, and once more if the server has lost the reference set or has other models than before."""
        images = await asyncio.to_thread(to_references, references)
        models = self._models
        try:
            if isinstance(images, str):
                response = await self._uploads.call(images, send)
            else:
                response = await send(images)
        except (ModelNotFound, FrameIndexMismatch):
            if not await self._models_changed(models):
                raise
            return await send(images)
        if has_mismatch(response) and await self._models_changed(models):
            return await send(images)
        return response

    async def _models_changed(self, models: list[ModelInfo] | None) -> bool:
        return models is not None and await self.models() != models

    async def _sampling(self, model: str | None, videos: Sequence[VideoLike]) -> FrameSampling | None:
        """The model's frame sampling; None if every video is a file, which is sent whole."""
        if not any(needs_sampling(video) for video in videos):
            return None
        infos = self._models if self._models is not None else await self.models()
        for info in infos:
            if info.name == model or (model is None and info.default):
                return info.frame_sampling
        served = ", ".join(info.name for info in infos) or "none"
        missing = "no default model" if model is None else f"no model {model!r}"
        raise ModelNotFound(f"{missing} at {self._address}; served: {served}")
