"""LocalRewardClient: the server's engine in the caller's process, with the same rewards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar, Unpack

from identity_reward_client.base import (
    CompareOptions,
    GroupOptions,
    ImageLike,
    ReferencesLike,
    ScoreOptions,
    VideoLike,
    request_fields,
)
from identity_reward_client.errors import InvalidRequest
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
from identity_reward_client.wire.validation import raise_invalid_request
from reward_model.registry import SCORERS

from .engine.engine import ScoringEngine
from .settings.settings import Settings, SettingsError

T = TypeVar("T")


class LocalRewardClient:
    """A `RewardClient` without a server. A model is loaded at the first call that needs it, and stays loaded.

    Limits are the server's settings.

    Args:
        models: names, model folders or .onnx files, as of `identity-reward serve --model`; the first is the default.
            Requests name a model by the name that it has in responses.
        device: "cpu", "cuda" or "cuda:N". Faces are computed there if onnxruntime has a CUDA provider, else, with a
            warning in the log, on the CPU.
        dtype: "float32" or "bfloat16", the precision of models that are loaded from folders.
    """

    def __init__(
        self, models: Sequence[str] | None = None, device: str | None = None, dtype: str | None = None
    ) -> None:
        names = (models,) if isinstance(models, str) else models and tuple(models)
        overrides = {"models": names, "device": device, "dtype": dtype}
        try:
            self._settings = Settings.load(
                inference={name: value for name, value in overrides.items() if value is not None}
            )
        except SettingsError as error:
            raise InvalidRequest(str(error)) from None
        self._engine: ScoringEngine | None = None
        self._starting = threading.Lock()
        self._closed = False

    async def score(
        self, references: ReferencesLike, video: VideoLike, **options: Unpack[ScoreOptions]
    ) -> ScoreResponse:
        """See `RewardClient.score`."""
        fields = request_fields(options, ScoreOptions)
        engine = await self._started(self._needed(options.get("model")))

        def build() -> ScoreRequest:
            message = to_video(video, options.get("fps"), _sampling(engine, options.get("model")))
            return ScoreRequest(references=to_references(references), video=message, **fields)

        return await engine.score(await _in_thread(build))

    async def compare(
        self, references: ReferencesLike, video_a: VideoLike, video_b: VideoLike, **options: Unpack[CompareOptions]
    ) -> CompareResponse:
        """See `RewardClient.compare`."""
        fields = request_fields(options, CompareOptions)
        engine = await self._started(self._needed(options.get("model")))

        def build() -> CompareRequest:
            sampling = _sampling(engine, options.get("model"))
            a, b = (to_video(video, options.get("fps"), sampling) for video in (video_a, video_b))
            return CompareRequest(references=to_references(references), video_a=a, video_b=b, **fields)

        return await engine.compare(await _in_thread(build))

    async def score_group(
        self, references: ReferencesLike, videos: Sequence[VideoLike], **options: Unpack[GroupOptions]
    ) -> GroupResponse:
        """See `RewardClient.score_group`."""
        fields = request_fields(options, GroupOptions)
        engine = await self._started(self._needed(options.get("model")))
        sampling = _sampling(engine, options.get("model"))
        group = await asyncio.to_thread(prepare_group, videos, options.get("fps"), sampling)

        def build() -> GroupRequest:
            return GroupRequest(references=to_references(references), videos=group.videos, **fields)

        return group.restore(await engine.score_group(await _in_thread(build)))

    async def put_references(self, references: Sequence[ImageLike]) -> str:
        """See `RewardClient.put_references`."""
        engine = await self._started(self._names)  # each model may read images in its own way
        images = await asyncio.to_thread(to_references, references)
        return images if isinstance(images, str) else (await engine.put_references(ReferenceSet(images=images))).id

    async def models(self) -> list[ModelInfo]:
        """See `RewardClient.models`."""
        return (await self._started(self._names)).models()

    async def close(self) -> None:
        """See `RewardClient.close`."""
        engine = await asyncio.to_thread(self._take)
        if engine is not None:
            await engine.close()

    def _take(self) -> ScoringEngine | None:
        with self._starting:  # waits for models that a cancelled call is still loading, to close them too
            self._closed = True
            engine, self._engine = self._engine, None
            return engine

    @property
    def _names(self) -> Sequence[str]:
        return self._settings.inference.models

    def _needed(self, model: str | None) -> Sequence[str]:
        """The settings' models without which a request for `model` can't be answered."""
        if model is None:
            return (self._settings.inference.default,)
        if model in self._names and model in SCORERS:
            return (model,)
        return self._names  # a folder's model is called what the folder says

    async def _started(self, names: Sequence[str]) -> ScoringEngine:
        engine = self._engine
        if engine is None or not engine.has_loaded(names):
            return await asyncio.to_thread(self._start, names)
        return engine

    def _start(self, names: Sequence[str]) -> ScoringEngine:
        with self._starting:
            if self._closed:
                raise RuntimeError("this client is closed")
            engine = self._engine
            if engine is None:
                engine = ScoringEngine(self._settings)
                engine.start(names)
                self._engine = engine
            else:
                engine.load(names)
            return engine


def _sampling(engine: ScoringEngine, model: str | None) -> FrameSampling:
    return engine.model(model).frame_sampling


async def _in_thread(build: Callable[[], T]) -> T:
    """The request that `build` makes, in a thread because it reads files."""
    with raise_invalid_request():
        return await asyncio.to_thread(build)
