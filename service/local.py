"""LocalRewardClient: the server's engine in the caller's own process, with the same numbers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from pydantic import ValidationError

from identity_reward_client.base import ImageLike, ReferencesLike, VideoLike
from identity_reward_client.errors import InvalidRequest
from identity_reward_client.fps import Fps
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.inputs.groups import prepare_group
from identity_reward_client.inputs.media import to_references, to_video
from identity_reward_client.messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    ModelInfo,
    ReferenceSet,
    ScoreRequest,
    ScoreResponse,
)
from identity_reward_client.preference import THETA
from identity_reward_client.wire.validation import explain

from .engine.engine import ScoringEngine
from .settings.settings import Settings, SettingsError


class LocalRewardClient:
    """A RewardClient without a server. Models are loaded at the first call; limits are the server's settings.

    `models` are names, folders or .onnx files as in `serve --model`, the first being the default; requests name a model
    by the name that it has in answers. `device` is cpu, cuda or cuda:N; `dtype`, for folders, float32 or bfloat16.
    """

    def __init__(self, models: Sequence[str] | None = None, device: str | None = None, dtype: str | None = None):
        names = (models,) if isinstance(models, str) else models and tuple(models)
        fields = {"models": names, "device": device, "dtype": dtype}
        try:
            self._settings = Settings.load(
                inference={name: value for name, value in fields.items() if value is not None}
            )
        except SettingsError as error:
            raise InvalidRequest(str(error)) from None
        self._engine: ScoringEngine | None = None
        self._starting = threading.Lock()
        self._closed = False

    async def score(
        self, references: ReferencesLike, video: VideoLike, *, fps: Fps | None = None, prompt: str | None = None,
        model: str | None = None, details: bool = False,
    ) -> ScoreResponse:  # fmt: skip
        engine = await self._started()

        def request() -> ScoreRequest:
            clip = to_video(video, fps, _sampling(engine, model))
            return ScoreRequest(
                references=to_references(references), video=clip, prompt=prompt, model=model, details=details
            )

        return await engine.score(await _made(request))

    async def compare(
        self, references: ReferencesLike, video_a: VideoLike, video_b: VideoLike, *, fps: Fps | None = None,
        prompt: str | None = None, model: str | None = None, theta: float | None = None, details: bool = False,
    ) -> CompareResponse:  # fmt: skip
        engine = await self._started()

        def request() -> CompareRequest:
            a, b = (to_video(video, fps, _sampling(engine, model)) for video in (video_a, video_b))
            return CompareRequest(
                references=to_references(references), video_a=a, video_b=b, prompt=prompt, model=model,
                theta=THETA if theta is None else theta, details=details,
            )  # fmt: skip

        return await engine.compare(await _made(request))

    async def score_group(
        self, references: ReferencesLike, videos: Sequence[VideoLike], *, fps: Fps | None = None,
        prompt: str | None = None, model: str | None = None, matrices: bool = False, theta: float | None = None,
        details: bool = False,
    ) -> GroupResponse:  # fmt: skip
        """Videos that can't be read get their error as items; the others are scored."""
        engine = await self._started()
        group = await asyncio.to_thread(prepare_group, videos, fps, _sampling(engine, model))

        def request() -> GroupRequest:
            return GroupRequest(
                references=to_references(references), videos=group.videos, prompt=prompt, model=model,
                matrices=matrices, theta=THETA if theta is None else theta, details=details,
            )  # fmt: skip

        return group.restore(await engine.score_group(await _made(request)))

    async def put_references(self, references: Sequence[ImageLike]) -> str:
        engine = await self._started()
        images = await asyncio.to_thread(to_references, references)
        return images if isinstance(images, str) else (await engine.put_references(ReferenceSet(images=images))).id

    async def models(self) -> list[ModelInfo]:
        return (await self._started()).models()

    async def close(self) -> None:
        engine = await asyncio.to_thread(self._take)
        if engine is not None:
            await engine.close()

    def _take(self) -> ScoringEngine | None:
        with self._starting:  # models that are being loaded for a call that was cancelled are closed too
            self._closed = True
            engine, self._engine = self._engine, None
            return engine

    async def _started(self) -> ScoringEngine:
        if self._engine is None:
            return await asyncio.to_thread(self._start)
        return self._engine

    def _start(self) -> ScoringEngine:
        with self._starting:
            if self._closed:
                raise RuntimeError("this client is closed")
            engine = self._engine
            if engine is None:
                engine = ScoringEngine(self._settings)
                engine.start()
                self._engine = engine
            return engine


def _sampling(engine: ScoringEngine, model: str | None) -> FrameSampling:
    return engine.model(model).frame_sampling


async def _made(request):
    """What `request` makes, in a thread: it reads files."""
    try:
        return await asyncio.to_thread(request)
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from None
