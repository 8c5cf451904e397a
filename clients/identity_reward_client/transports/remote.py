"""What the clients of a running service share: inputs made ready, reference sets kept, recovery, checked answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ..base import ImageLike, ReferencesLike, VideoLike
from ..errors import FrameIndexMismatch, InvalidRequest, ModelNotFound, ReferenceSetNotFound
from ..fps import Fps
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
from ..wire.validation import refusing
from .responses import check_compare, check_group, check_scored
from .retry import RetryPolicy

# sets of which the pictures are kept, to send them again when a server has dropped or lost them
_KEPT_SETS = 64
T = TypeVar("T")
SendGroup = Callable[[GroupRequest, PreparedGroup], Awaitable[GroupResponse]]


class RemoteRewardClient(ABC):
    """A RewardClient over a transport, which sends one message and gives its answer, with tries as `retry` says."""

    def __init__(self, where: str, timeout_s: float, retry: RetryPolicy | None, priority: Priority):
        if priority not in PRIORITIES:
            raise InvalidRequest(f"priority is one of {', '.join(PRIORITIES)}, got {priority!r}")
        self._where = where
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._priority = priority
        self._infos: list[ModelInfo] | None = None
        self._uploaded: OrderedDict[str, list[Image]] = OrderedDict()

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
    async def close(self) -> None: ...

    async def score(
        self,
        references: ReferencesLike,
        video: VideoLike,
        *,
        fps: Fps | None = None,
        prompt: str | None = None,
        model: str | None = None,
        details: bool = False,
    ) -> ScoreResponse:
        async def ask(references: list[Image] | str) -> ScoreResponse:
            sampling = await self._sampling(model, [video])
            clip = await asyncio.to_thread(to_video, video, fps, sampling)
            with refusing():
                request = ScoreRequest(
                    references=references, prompt=prompt, model=model, details=details, video=clip
                )  # fmt: skip
            return check_scored(await self._send_score(request))

        return await self._recovering(ask, references)

    async def compare(
        self,
        references: ReferencesLike,
        video_a: VideoLike,
        video_b: VideoLike,
        *,
        fps: Fps | None = None,
        prompt: str | None = None,
        model: str | None = None,
        theta: float | None = None,
        details: bool = False,
    ) -> CompareResponse:
        async def ask(references: list[Image] | str) -> CompareResponse:
            sampling = await self._sampling(model, [video_a, video_b])
            a = await asyncio.to_thread(to_video, video_a, fps, sampling)
            b = await asyncio.to_thread(to_video, video_b, fps, sampling)
            fields: dict[str, Any] = {
                "references": references,
                "prompt": prompt,
                "model": model,
                "details": details,
            } | _theta(theta)
            with refusing():
                request = CompareRequest(**fields, video_a=a, video_b=b)
            return check_compare(await self._send_compare(request))

        return await self._recovering(ask, references)

    async def score_group(
        self,
        references: ReferencesLike,
        videos: Sequence[VideoLike],
        *,
        fps: Fps | None = None,
        prompt: str | None = None,
        model: str | None = None,
        matrices: bool = False,
        theta: float | None = None,
        details: bool = False,
    ) -> GroupResponse:
        """Videos that can't be sent (a file gone, NaN frames) get their error as items; the others are scored."""
        fields = {"prompt": prompt, "model": model, "details": details, "matrices": matrices} | _theta(theta)
        return await self._score_group(references, videos, fps, fields, lambda request, _: self._send_group(request))

    async def put_references(self, references: Sequence[ImageLike]) -> str:
        """Stores the pictures on the server; the id stands for them in later calls."""
        images = await asyncio.to_thread(to_references, references)
        return images if isinstance(images, str) else await self._upload(images)

    async def models(self) -> list[ModelInfo]:
        self._infos = await self._fetch_models()
        return list(self._infos)

    async def _score_group(
        self,
        references: ReferencesLike,
        videos: Sequence[VideoLike],
        fps: Fps | None,
        fields: dict[str, Any],
        send: SendGroup,
    ) -> GroupResponse:
        async def ask(references: list[Image] | str) -> GroupResponse:
            sampling = await self._sampling(fields["model"], videos)
            group = await asyncio.to_thread(prepare_group, videos, fps, sampling)
            with refusing():
                request = GroupRequest(references=references, videos=group.videos, **fields)
            return group.restore(check_group(await send(request, group), len(request.videos)))

        def outdated(response: GroupResponse) -> bool:
            return any(item.error and item.error.code == FrameIndexMismatch.code for item in response.items)

        return await self._recovering(ask, references, outdated)

    async def _recovering(
        self,
        ask: Callable[[list[Image] | str], Awaitable[T]],
        references: ReferencesLike,
        outdated: Callable[[T], bool] = lambda _: False,
    ) -> T:
        """`ask`, and once more when the server forgot a reference set or serves other models than it did."""
        images = await asyncio.to_thread(to_references, references)
        known = self._infos
        try:
            response = await ask(images)
        except ReferenceSetNotFound:
            kept = self._uploaded.get(images) if isinstance(images, str) else None
            if kept is None:
                raise
            return await ask(await self._upload(kept))
        except (ModelNotFound, FrameIndexMismatch):
            if not await self._changed_since(known):
                raise
            return await ask(images)
        if outdated(response) and await self._changed_since(known):
            return await ask(images)
        return response

    async def _changed_since(self, known: list[ModelInfo] | None) -> bool:
        return known is not None and await self.models() != known

    async def _sampling(self, model: str | None, videos: Sequence[VideoLike]) -> FrameSampling | None:
        if not any(needs_sampling(video) for video in videos):
            return None
        infos = self._infos if self._infos is not None else await self.models()
        for info in infos:
            if info.name == model or (model is None and info.default):
                return info.frame_sampling
        served = ", ".join(info.name for info in infos) or "none"
        wanted = "no default model" if model is None else f"no model {model!r}"
        raise ModelNotFound(f"{wanted} at {self._where}; served: {served}")

    async def _upload(self, images: list[Image]) -> str:
        set_id = await self._send_references(ReferenceSet(images=images))
        self._uploaded[set_id] = images
        self._uploaded.move_to_end(set_id)
        while len(self._uploaded) > _KEPT_SETS:
            self._uploaded.popitem(last=False)
        return set_id


def _theta(theta: float | None) -> dict[str, float]:
    return {} if theta is None else {"theta": theta}
