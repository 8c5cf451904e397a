"""A client without a server, for tests of trainers: real messages, and rewards computed from the content alone."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Unpack

from . import preference
from .base import CompareOptions, GroupOptions, ImageLike, ReferencesLike, ScoreOptions, VideoLike, request_fields
from .errors import MissingFps, ModelNotFound, ReferenceSetNotFound, RewardError
from .fields.fps import resolve_fps
from .fields.warnings import ScoreWarning
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
from .wire.duplicates import refuse_duplicates
from .wire.error_bodies import to_body
from .wire.validation import raise_invalid_request

Matrix = list[list[float | None]]
RewardRule = Callable[[Sequence[Image], Video, str | None], float]


def brightness(references: Sequence[Image], video: Video, prompt: str | None) -> float:
    """Mean of the sampled frames / 255, in [0, 1], which a policy can learn; for a file, a fraction of its hash."""
    if video.frames is not None:
        return float(from_pixels(video.frames).mean() / 255)
    content = video.model_dump_json(include={"data", "images"}).encode()
    return int.from_bytes(sha256(content).digest()[:4]) / 2**32


@dataclass(frozen=True, eq=False)
class FakeCall:
    """A call of a `FakeRewardClient`, with its inputs as messages."""

    method: str  # score, compare or score_group
    references: list[Image]
    videos: list[Video]  # without those that cannot be sent
    prompt: str | None
    model: str | None


class FakeRewardClient:
    """A `RewardClient` that answers at once, with the checks of the service. A file counts as one frame, at 1 fps.

    Args:
        reward: computes the reward of a video from the references, the video and the prompt.
        fail: errors by index in a group (0 for the video of `score`, 0 and 1 for A and B of `compare`).
        fail_calls: errors of whole calls, by number of the call from 0.
        warnings: warnings of scored videos, by index in a group as in `fail`.
        latency_s: seconds before every answer.
        sampling: frame sampling of the only model, "fake"; 4 frames over the whole video if None.

    `calls` holds the calls so far.
    """

    def __init__(
        self,
        *,
        reward: RewardRule = brightness,
        fail: Mapping[int, RewardError] | None = None,
        fail_calls: Mapping[int, RewardError] | None = None,
        warnings: Mapping[int, Sequence[ScoreWarning]] | None = None,
        latency_s: float = 0.0,
        sampling: FrameSampling | None = None,
    ) -> None:
        self.calls: list[FakeCall] = []
        self._reward = reward
        self._fail = dict(fail or {})
        self._fail_calls = dict(fail_calls or {})
        self._warnings = dict(warnings or {})
        self._latency_s = latency_s
        self._sampling = sampling or FrameSampling("uniform-4", num_frames=4)
        self._sets: dict[str, list[Image]] = {}
        self._closed = False

    async def score(
        self, references: ReferencesLike, video: VideoLike, **options: Unpack[ScoreOptions]
    ) -> ScoreResponse:
        """See `RewardClient.score`."""
        return check_scored(only_item(await self._group("score", references, [video], options, ScoreOptions)))

    async def compare(
        self, references: ReferencesLike, video_a: VideoLike, video_b: VideoLike, **options: Unpack[CompareOptions]
    ) -> CompareResponse:
        """See `RewardClient.compare`."""
        group = await self._group("compare", references, [video_a, video_b], options, CompareOptions)
        a, b = (only_item(group.model_copy(update={"items": [item]})) for item in group.items)
        p_a, p_tie, p_b = map(float, preference.probabilities(a.reward - b.reward, group.theta))
        return CompareResponse(
            **group.model_dump(include={"request_id", "model", "timing", "theta"}),
            a=Scored(**a.model_dump()),
            b=Scored(**b.model_dump()),
            p_a_wins=p_a,
            p_tie=p_tie,
            p_b_wins=p_b,
            verdict=preference.verdict(a.reward - b.reward, group.theta),
        )

    async def score_group(
        self, references: ReferencesLike, videos: Sequence[VideoLike], **options: Unpack[GroupOptions]
    ) -> GroupResponse:
        """See `RewardClient.score_group`."""
        return check_group(await self._group("score_group", references, videos, options, GroupOptions), len(videos))

    async def put_references(self, references: Sequence[ImageLike]) -> str:
        """See `RewardClient.put_references`."""
        images = to_references(references)
        if isinstance(images, str):
            return images
        refuse_duplicates(images)
        set_id = f"sha256:{sha256(ReferenceSet(images=images).model_dump_json().encode()).hexdigest()}"
        self._sets[set_id] = images
        return set_id

    async def models(self) -> list[ModelInfo]:
        """See `RewardClient.models`."""
        return [self._info()]

    async def close(self) -> None:
        """See `RewardClient.close`."""
        self._closed = True

    async def _group(
        self,
        method: str,
        references: ReferencesLike,
        videos: Sequence[VideoLike],
        options: Mapping[str, Any],
        kind: type[ScoreOptions],
    ) -> GroupResponse:
        fields = request_fields(options, kind)
        if self._closed:
            raise RuntimeError("this client is closed")
        images = self._images(to_references(references))
        if options.get("model") not in (None, "fake"):
            raise ModelNotFound(f"no model {options['model']!r}; this client has 'fake'")
        group = prepare_group(videos, options.get("fps"), self._sampling)
        with raise_invalid_request():
            request = GroupRequest(references=images, videos=group.videos, **fields)
        number = len(self.calls)
        self.calls.append(FakeCall(method, images, group.videos, request.prompt, request.model))
        await asyncio.sleep(self._latency_s)
        if number in self._fail_calls:
            raise self._fail_calls[number]
        items = []
        for position, (index, video) in enumerate(zip(group.indices, group.videos, strict=True)):
            if index in self._fail:
                items.append(Item(index=position, error=to_body(self._fail[index])))
                continue
            try:
                scored = self._scored(images, video, request.prompt, request.details)
                scored.warnings = list(self._warnings.get(index, ()))
                items.append(Item(index=position, scored=scored))
            except MissingFps as error:
                items.append(Item(index=position, error=to_body(error)))
        win, tie = _matrices(items, request.theta) if request.matrices else (None, None)
        stamp = ModelStamp(**self._info().model_dump(exclude={"frame_sampling"}), frame_sampling=self._sampling.name)
        response = GroupResponse(
            request_id=f"fake-{number}",
            model=stamp,
            items=items,
            theta=request.theta,
            win=win,
            tie=tie,
            timing=Timing(),
        )
        return group.restore(response)

    def _images(self, references: list[Image] | str) -> list[Image]:
        if not isinstance(references, str):
            refuse_duplicates(references)
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
            description="No model: rewards are computed from the bytes. For tests.",
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


def _matrices(items: Sequence[Item], theta: float) -> tuple[Matrix, Matrix]:
    rewards = [math.nan if item.reward is None else item.reward for item in items]
    win_GG, tie_GG = preference.matrices(rewards, theta)
    return _with_gaps(win_GG.tolist()), _with_gaps(tie_GG.tolist())


def _with_gaps(matrix: list[list[float]]) -> Matrix:
    return [[None if math.isnan(value) else value for value in row] for row in matrix]
