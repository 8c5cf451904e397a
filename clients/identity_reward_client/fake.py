"""A client without a server, for tests of trainers: real messages, rewards that follow from the content alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from . import preference
from .base import ImageLike, ReferencesLike, VideoLike
from .errors import MissingFps, ModelNotFound, ReferenceSetNotFound, RewardError
from .fps import Fps, resolve_fps
from .frame_sampling import FrameSampling
from .inputs.groups import prepare_group
from .inputs.media import to_references
from .inputs.tensors import from_pixels
from .messages import (
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Image,
    Item,
    ModelInfo,
    ModelStamp,
    ReferenceSet,
    Scored,
    ScoreResponse,
    Timing,
    Video,
)
from .transports.responses import check_group, check_scored, only_item
from .wire.error_bodies import to_body
from .wire.validation import refusing

RewardRule = Callable[[Sequence[Image], Video, str | None], float]


def brightness(references: Sequence[Image], video: Video, prompt: str | None) -> float:
    """Mean of the sent frames / 255, in [0, 1]: something that a policy can learn. Files: a fraction of their hash."""
    if video.frames is not None:
        return float(from_pixels(video.frames).mean() / 255)
    content = video.model_dump_json(include={"data", "images"}).encode()
    return int.from_bytes(sha256(content).digest()[:4]) / 2**32


@dataclass(frozen=True, eq=False)
class Call:
    """What a FakeRewardClient was asked, after its inputs were understood."""

    method: str  # score, compare, score_group
    references: list[Image]
    videos: list[Video]  # those that could be sent
    prompt: str | None
    model: str | None


class FakeRewardClient:
    """Answers at once, on the same terms as the service.

    `fail` gives the videos at these places of a group (0: the only one of `score`; 0 and 1: a and b of `compare`) that
    error; `fail_calls` fails whole calls, counted from 0 over all calls; `latency_s` is waited before every answer.
    A file counts as one frame, at the fps given or 1. `calls` holds what was asked.
    """

    def __init__(
        self,
        *,
        reward: RewardRule = brightness,
        fail: Mapping[int, RewardError] | None = None,
        fail_calls: Mapping[int, RewardError] | None = None,
        latency_s: float = 0.0,
        sampling: FrameSampling | None = None,
    ):
        self.calls: list[Call] = []
        self._reward = reward
        self._fail = dict(fail or {})
        self._fail_calls = dict(fail_calls or {})
        self._latency_s = latency_s
        self._sampling = sampling or FrameSampling("uniform-4", num_frames=4)
        self._sets: dict[str, list[Image]] = {}
        self._closed = False

    async def score(self, references: ReferencesLike, video: VideoLike, **options: Any) -> ScoreResponse:
        return check_scored(only_item(await self._group("score", references, [video], **options)))

    async def compare(
        self,
        references: ReferencesLike,
        video_a: VideoLike,
        video_b: VideoLike,
        *,
        theta: float | None = None,
        **options,
    ) -> CompareResponse:
        theta = preference.THETA if theta is None else theta
        group = await self._group("compare", references, [video_a, video_b], theta=theta, **options)
        a, b = (only_item(group.model_copy(update={"items": [item]})) for item in group.items)
        p_a, p_tie, p_b = map(float, preference.probabilities(a.reward - b.reward, theta))
        return CompareResponse(
            **group.model_dump(include={"request_id", "model", "timing", "theta"}),
            a=Scored(**a.model_dump()),
            b=Scored(**b.model_dump()),
            p_a_wins=p_a,
            p_tie=p_tie,
            p_b_wins=p_b,
            verdict=preference.verdict(a.reward - b.reward, theta),
        )

    async def score_group(
        self, references: ReferencesLike, videos: Sequence[VideoLike], **options: Any
    ) -> GroupResponse:
        return check_group(await self._group("score_group", references, videos, **options), len(videos))

    async def put_references(self, references: Sequence[ImageLike]) -> str:
        images = to_references(references)
        if isinstance(images, str):
            return images
        set_id = f"sha256:{sha256(ReferenceSet(images=images).model_dump_json().encode()).hexdigest()}"
        self._sets[set_id] = images
        return set_id

    async def models(self) -> list[ModelInfo]:
        return [self._info()]

    async def close(self) -> None:
        self._closed = True

    async def _group(
        self,
        method: str,
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
        if self._closed:
            raise RuntimeError("this client is closed")
        images = self._images(to_references(references))
        if model not in (None, "fake"):
            raise ModelNotFound(f"no model {model!r}; this client has 'fake'")
        group = prepare_group(videos, fps, self._sampling)
        theta = preference.THETA if theta is None else theta
        with refusing():
            GroupRequest(references=images, videos=group.videos, prompt=prompt, theta=theta)
        number = len(self.calls)
        self.calls.append(Call(method, images, group.videos, prompt, model))
        await asyncio.sleep(self._latency_s)
        if number in self._fail_calls:
            raise self._fail_calls[number]
        items = []
        for place, (index, video) in enumerate(zip(group.indices, group.videos, strict=True)):
            if index in self._fail:
                items.append(Item(index=place, error=to_body(self._fail[index])))
                continue
            try:
                items.append(Item(index=place, scored=self._scored(images, video, prompt, details)))
            except MissingFps as error:
                items.append(Item(index=place, error=to_body(error)))
        win, tie = _matrices(items, theta) if matrices else (None, None)
        stamp = ModelStamp(**self._info().model_dump(exclude={"frame_sampling"}), frame_sampling=self._sampling.name)
        answer = GroupResponse(
            request_id=f"fake-{number}", model=stamp, items=items, theta=theta, win=win, tie=tie, timing=Timing()
        )
        return group.restore(answer)

    def _images(self, references: list[Image] | str) -> list[Image]:
        if not isinstance(references, str):
            return references
        if references not in self._sets:
            raise ReferenceSetNotFound(f"no reference set {references}; put_references first")
        return self._sets[references]

    def _scored(self, images: list[Image], video: Video, prompt: str | None, details: bool) -> Scored:
        fps = 1.0 if video.fps is None else resolve_fps(video.fps, self._sampling)
        count = video.num_source_frames or 1
        return Scored(
            reward=self._reward(images, video, prompt),
            fps=fps,
            num_source_frames=count,
            frame_indices=list(video.frame_indices or self._sampling.indices(count, fps)),
            details={} if details else None,
        )

    def _info(self) -> ModelInfo:
        return ModelInfo(
            name="fake",
            version="1",
            fingerprint="fake",
            domain="none",
            description="No model: rewards follow from the bytes. For tests.",
            default=True,
            meaningful=False,
            prompt_used=False,
            max_references=8,
            frame_sampling=self._sampling,
            preference_scale=1.0,
            num_parameters=0,
            dtype="float64",
            device="cpu",
        )


def _matrices(items: Sequence[Item], theta: float):
    rewards = [float("nan") if item.reward is None else item.reward for item in items]
    return tuple(
        [[None if value != value else value for value in row] for row in matrix.tolist()]
        for matrix in preference.matrices(rewards, theta)
    )
