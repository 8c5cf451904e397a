"""Pricing, admission and scheduling of the videos of a request that have no cached result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from identity_reward_client.messages import Video
from reward_model import types
from reward_model.decoding.media_decoder import MediaDecoder

from ..errors import to_reward_error
from ..media.reference_store import ReferenceStore
from ..scheduling.call import Call
from ..scheduling.group_task import GroupTask
from ..scheduling.item_result import ItemResult, PreparedItem
from ..settings.groups import MediaSettings
from .preparation import Preparation
from .resolved_request import ResolvedRequest
from .result_cache import ResultCache
from .result_collector import OnItem, ResultCollector
from .served_model import ServedModel
from .timing import StageClock

T = TypeVar("T")


@dataclass(frozen=True)
class Pipeline:
    """Runs requests on a model. `probes` executes the blocking work before admission, such as probing files."""

    limits: MediaSettings
    references: ReferenceStore
    results: ResultCache
    probes: Executor
    decoder: MediaDecoder

    async def run(
        self,
        model: ServedModel,
        resolved: ResolvedRequest,
        call: Call,
        clock: StageClock,
        on_item: OnItem | None = None,
    ) -> list[ItemResult]:
        """One result per video, in the request's order. Raises errors of the references or of the whole request.

        `on_item` is called in the caller's event loop with each result as soon as it is final.
        """
        results = ResultCollector(resolved, model, self.results, on_item)
        results.add_available()
        if videos := results.pending():
            preparation = Preparation(model, resolved.request, self.limits, self.references, self.decoder, clock)
            try:
                await self._score(videos, preparation, call, results)
            except Exception as error:
                raise to_reward_error(error) from None
        return results.in_order()

    async def _score(
        self, videos: dict[int, Video], preparation: Preparation, call: Call, results: ResultCollector
    ) -> None:
        load_references, sizes = preparation.references()
        prices = await self._price(videos, preparation, sizes, results)
        if not prices:
            # an error of the references outranks those of the videos
            await self._run_probe(load_references)
            return
        indices = list(prices)
        loop = asyncio.get_running_loop()

        def prepare(references: types.ReferenceSet, number: int) -> PreparedItem:
            index = indices[number]
            return preparation.prepare(references, videos[index], results.video_id(index))

        def on_result(number: int, result: ItemResult) -> None:
            with suppress(RuntimeError):  # the caller's loop is closed: the result is not needed
                loop.call_soon_threadsafe(results.add, indices[number], result)

        task = GroupTask(call, list(prices.values()), load_references, prepare)
        if results.streams:
            task.on_result = on_result
        with preparation.model.admission.admit(call, task.tokens):
            scored = await asyncio.wrap_future(preparation.model.scheduler.submit(task))
        preparation.clock.add("queue", task.queue_s, task.forward_s)
        preparation.clock.add("forward", task.forward_s)
        for index, result in zip(indices, scored, strict=True):
            results.add(index, result)

    async def _price(
        self,
        videos: dict[int, Video],
        preparation: Preparation,
        sizes: list[types.Size],
        results: ResultCollector,
    ) -> dict[int, types.Price]:
        """Prices by index; a video that has none gets its error as its result."""

        async def measure(video: Video) -> tuple[int, types.Size]:
            if video.data is None:
                return preparation.measure(video)
            return await self._run_probe(preparation.measure, video)

        measured = await asyncio.gather(*map(measure, videos.values()), return_exceptions=True)
        prices: dict[int, types.Price] = {}
        for index, outcome in zip(videos, measured, strict=True):
            if isinstance(outcome, Exception):
                results.add(index, ItemResult(error=to_reward_error(outcome)))
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                prices[index] = preparation.price(sizes, *outcome)
        return prices

    async def _run_probe(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.probes, function, *arguments)
