"""A request's way through the server: known results, a price, room, its turn, and an outcome for every video."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from identity_reward_client.errors import RewardError
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.messages import Scored, Video
from reward_model import types
from reward_model.decoding.media_decoder import MediaDecoder

from ..errors import typed
from ..media.decoding import decode_references, decode_video, measure_video
from ..media.reference_store import ReferenceStore
from ..scheduling.batch_work import Outcome, Work
from ..scheduling.call import Call
from ..settings.groups import MediaSettings
from .identified_request import Asked
from .result_cache import Result, ResultCache, ResultKey
from .served_model import ServedModel
from .timing import Clock

T = TypeVar("T")
Answer = Scored | RewardError
Known = Callable[[int, Answer], None]


@dataclass(frozen=True)
class Pipeline:
    """`probes` runs what is done before a request is let in."""

    limits: MediaSettings
    references: ReferenceStore
    results: ResultCache
    probes: Executor
    decoder: MediaDecoder

    async def run(
        self,
        model: ServedModel,
        asked: Asked,
        call: Call,
        clock: Clock,
        known: Known | None = None,
    ) -> list[Answer]:
        """One outcome a video, in order; what concerns the references or the whole request is raised. `known` hears of
        each video's as soon as it is there, in the caller's event loop."""
        run = _Run(self, model, asked, call, clock, known)
        try:
            return await run.outcomes()
        except Exception as error:
            raise typed(error) from None


class _Run:
    """One request. Equal videos of it are decoded and scored once."""

    def __init__(
        self, parts: Pipeline, model: ServedModel, asked: Asked, call: Call, clock: Clock, known: Known | None
    ):
        self._parts = parts
        self._model = model
        self._request = asked.request
        self._call = call
        self._clock = clock
        self._known = known
        self._loop = asyncio.get_running_loop()
        places: dict[Any, list[int]] = {}
        for place, name in enumerate(asked.video_ids or range(len(asked.videos))):
            places.setdefault(name, []).append(place)
        # of each distinct video: where it stands in the request
        self._places = list(places.values())
        self._videos = [asked.videos[where[0]] for where in self._places]
        self._answers: dict[int, Answer] = {}
        self._facts: dict[int, tuple[float, int, tuple[int, ...]]] = {}
        self._keys: list[ResultKey] = []
        if asked.reference_id is not None and parts.results.entries:
            info = model.scorer.info
            prompt = self._request.prompt if info.prompt_used else None
            self._keys = [ResultKey(info.fingerprint, asked.reference_id, str(name), prompt) for name in places]

    async def outcomes(self) -> list[Answer]:
        for number, video in enumerate(self._videos):
            if isinstance(video, RewardError):
                self._answer(number, video)
        for number, key in enumerate(self._keys):
            if number not in self._answers and (result := self._parts.results.get(key)) is not None:
                self._answer(number, result)
        if len(self._answers) < len(self._videos):
            await self._score([n for n in range(len(self._videos)) if n not in self._answers])
        answers = {place: self._answers[n] for n, where in enumerate(self._places) for place in where}
        return [answers[place] for place in range(len(answers))]

    async def _score(self, numbers: list[int]) -> None:
        resolve, sizes = self._resolver()
        measured = await asyncio.gather(*(self._measure(number) for number in numbers), return_exceptions=True)
        left, prices = [], []
        for number, found in zip(numbers, measured, strict=True):
            if isinstance(found, BaseException):
                if not isinstance(found, Exception):
                    raise found
                self._answer(number, typed(found))
                continue
            left.append(number)
            prices.append(self._model.scorer.price(sizes, *found, self._request.prompt))
        if not left:
            await self._off_loop(resolve)  # an error of the references outranks those of the videos
            return
        work = Work(self._call, prices, resolve, lambda resolved, n: self._prepare(resolved, left[n]))
        if self._known is not None:
            work.known = lambda n, outcome: self._soon(left[n], outcome)
        with self._model.admission.admit(self._call, work.tokens):
            done = await asyncio.wrap_future(self._model.scheduler.submit(work))
        self._clock.add("queue", done.queue_s, done.forward_s)
        self._clock.add("forward", done.forward_s)
        for number, outcome in zip(left, done.outcomes, strict=True):
            self._finish(number, outcome)

    def _resolver(self) -> tuple[Callable[[], types.ReferenceSet], list[types.Size]]:
        """What gives the decoded references, and their sizes as far as they are known without it."""
        given, rule = self._request.references, self._model.picture_rule
        if isinstance(given, str):
            stored = self._parts.references.get((given, rule))
            return lambda: stored, [(image.shape[0], image.shape[1]) for image in stored.images]

        def decode() -> types.ReferenceSet:
            with self._clock.of("decode"):
                return decode_references(given, self._parts.limits, self._parts.decoder, rule)

        sizes = [None if one.pixels is None else (one.pixels.shape[0], one.pixels.shape[1]) for one in given]
        return decode, sizes

    async def _measure(self, number: int) -> tuple[int, types.Size]:
        video = self._video(number)
        measure = partial(measure_video, video, self._sampling, self._parts.limits, self._parts.decoder)
        if video.data is None:
            return measure()
        with self._clock.of("decode"):
            return await self._off_loop(measure)

    async def _off_loop(self, function: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._parts.probes, function)

    def _prepare(self, references: types.ReferenceSet, number: int) -> Any:
        with self._clock.of("decode"):
            video = decode_video(self._video(number), self._sampling, self._parts.limits, self._parts.decoder)
        self._facts[number] = video.fps, video.num_source_frames, video.frame_indices
        with self._clock.of("preprocess"):
            return self._model.scorer.preprocess(types.Sample(references, video, self._request.prompt))

    def _soon(self, number: int, outcome: Outcome) -> None:
        with suppress(RuntimeError):  # the caller's loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._finish, number, outcome)

    def _finish(self, number: int, outcome: Outcome) -> None:
        if number in self._answers:
            return
        if isinstance(outcome, Exception):
            self._answer(number, typed(outcome))
            return
        result = Result(outcome, *self._facts[number])
        if self._keys:
            self._parts.results.put(self._keys[number], result)
        self._answer(number, result)

    def _answer(self, number: int, found: Result | RewardError) -> None:
        answer = found if isinstance(found, RewardError) else self._scored(number, found)
        self._answers[number] = answer
        if self._known is not None:
            for place in self._places[number]:
                self._known(place, answer)

    def _scored(self, number: int, result: Result) -> Scored:
        return Scored(
            reward=result.score.reward,
            fps=result.fps,
            num_source_frames=result.num_source_frames,
            frame_indices=list(result.frame_indices),
            video_id=self._keys[number].video if self._keys else None,
            details=result.score.details if self._request.details else None,
        )

    def _video(self, number: int) -> Video:
        video = self._videos[number]
        assert isinstance(video, Video)  # the others have their answers
        return video

    @property
    def _sampling(self) -> FrameSampling:
        return self._model.scorer.info.frame_sampling
