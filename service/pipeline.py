"""A request's way through the server: decode, prepare, wait for its batch, and a score or an error for every video."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from identity_reward_client.errors import RewardError
from identity_reward_client.messages import Image, RequestBase, Scored, Timing, Video
from reward_model import types
from reward_model.decode_picture import PictureRule
from reward_model.errors import ScoringError
from reward_model.media_decoder import MediaDecoder
from reward_model.scorer import Scorer

from .allowance import Allowance
from .failures import typed
from .links import Links, Medium, has_links
from .media import ReferenceStore, content_key, decode_references, decode_video
from .metrics import Metrics
from .scheduler import Scheduler
from .settings import Settings

T = TypeVar("T")


class Clock:
    """Seconds spent in each stage of one request; stages of several threads add up."""

    def __init__(self, metrics: Metrics, model: str):
        self._started = time.monotonic()
        self._spans: list[tuple[str, float]] = []  # appended to from several threads
        self._metrics = metrics
        self._model = model

    def add(self, stage: str, seconds: float) -> None:
        self._spans.append((stage, seconds))
        getattr(self._metrics, f"{stage}_seconds").labels(self._model).observe(seconds)

    @contextmanager
    def of(self, stage: str):
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(stage, time.monotonic() - started)

    def timing(self) -> Timing:
        sums = {f"{stage}_ms": 0.0 for stage, _ in self._spans}
        for stage, seconds in self._spans:
            sums[f"{stage}_ms"] += 1000 * seconds
        return Timing(**sums, total_ms=1000 * (time.monotonic() - self._started))


@dataclass(frozen=True)
class _Prepared:
    video: types.Video
    item: Any


class Pipeline:
    def __init__(
        self, limits: Settings, references: ReferenceStore, pool: Executor, decoder: MediaDecoder, links: Links
    ):
        self._limits = limits
        self._references = references
        self._pool = pool
        self._decoder = decoder
        self._links = links

    async def run(
        self, scorer: Scorer, scheduler: Scheduler, request: RequestBase, videos: Sequence[Video], clock: Clock
    ) -> list[Scored | RewardError]:
        """One outcome a video, in order; what concerns the references or the whole request is raised."""
        try:
            return await self._run(scorer, scheduler, request, videos, clock)
        except Exception as error:
            raise typed(error) from None

    async def _run(self, scorer, scheduler, request, videos, clock) -> list[Scored | RewardError]:
        allowance = self._links.allowance()
        references = await self._resolve(request, scorer.info.frame_sampling.reference_files, clock, allowance)
        waiting = [self._brought_in(video, "the video", allowance) for video in videos]
        brought = await asyncio.gather(*waiting, return_exceptions=True)
        there = [one for one in brought if isinstance(one, Video)]
        scored = iter(await self._score(scorer, scheduler, references, request, there, clock) if there else ())
        return [typed(one) if isinstance(one, BaseException) else next(scored) for one in brought]

    async def _score(self, scorer, scheduler, references, request, videos, clock) -> list[Scored | RewardError]:
        # equal videos of a request are decoded and scored once
        keys = [b""] if len(videos) == 1 else await self._in_pool(lambda: [content_key(video) for video in videos])
        unique = dict(zip(keys, videos, strict=True))
        prepare = partial(self._prepare, scorer, references, request.prompt, clock)
        waiting = [self._in_pool(partial(prepare, video)) for video in unique.values()]
        made = await asyncio.gather(*waiting, return_exceptions=True)
        outcomes: dict[bytes, Any] = dict(zip(unique, made, strict=True))
        _raise_if_whole(outcomes.values())
        prepared = {key: one for key, one in outcomes.items() if isinstance(one, _Prepared)}
        if prepared:
            done = await asyncio.wrap_future(scheduler.submit([one.item for one in prepared.values()]))
            clock.add("queue", done.queue_s)
            clock.add("forward", done.forward_s)
            _raise_if_whole(done.outcomes)
            for (key, one), score in zip(prepared.items(), done.outcomes, strict=True):
                outcomes[key] = score if isinstance(score, Exception) else _answer(score, one.video, request.details)
        final = {key: typed(out) if isinstance(out, BaseException) else out for key, out in outcomes.items()}
        return [final[key] for key in keys]

    def _prepare(self, scorer: Scorer, references, prompt: str | None, clock: Clock, video: Video) -> _Prepared:
        with clock.of("decode"):
            decoded = decode_video(video, scorer.info.frame_sampling, self._limits, self._decoder)
        with clock.of("preprocess"):
            return _Prepared(decoded, scorer.preprocess(types.Sample(references, decoded, prompt)))

    async def _resolve(
        self, request: RequestBase, rule: PictureRule, clock: Clock, allowance: Allowance
    ) -> types.ReferenceSet:
        if isinstance(request.references, str):
            return self._references.get((request.references, rule))
        images = await self.pictures_brought_in(request.references, allowance)

        def decode() -> types.ReferenceSet:
            with clock.of("decode"):
                return decode_references(images, self._limits, self._decoder, rule)

        return await self._in_pool(decode)

    async def pictures_brought_in(self, images: Sequence[Image], allowance: Allowance) -> list[Image]:
        """References with their bytes where they came by URL or path; the first that can't be had is raised."""
        waiting = [self._brought_in(image, f"reference {i}", allowance) for i, image in enumerate(images)]
        return await asyncio.gather(*waiting)

    async def _brought_in(self, medium: Medium, what: str, allowance: Allowance) -> Medium:
        if not has_links(medium):
            return medium
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._links.pool, self._links.resolve, medium, what, allowance)

    async def _in_pool(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)


def _raise_if_whole(outcomes) -> None:
    for outcome in outcomes:
        if isinstance(outcome, ScoringError) and outcome.whole_group:
            raise outcome


def _answer(score: types.Score, video: types.Video, details: bool) -> Scored:
    return Scored(
        reward=score.reward,
        fps=video.fps,
        num_source_frames=video.num_source_frames,
        frame_indices=list(video.frame_indices),
        details=score.details if details else None,
    )
