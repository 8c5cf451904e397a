"""Works waiting jobs off through the engine, as its least urgent caller."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from contextlib import suppress

from identity_reward_client.errors import NonFiniteReward, RewardError, ServiceError
from identity_reward_client.messages import ScoreResponse
from identity_reward_client.wire.job_messages import JobResult

from ..engine.engine import ScoringEngine
from ..errors import body, typed
from ..operations.metrics import Metrics
from ..scheduling.call import Call
from .store import JobStore, WaitingItem

log = logging.getLogger("identity_reward")

_BASE_S, _MAX_S = 0.5, 30.0
# of an item at which the service itself fails; the count outlives a server that such an item brings down
_MAX_TRIES = 3
_SWEEP_S = 60.0


class _LeftWaiting(Exception):
    """The server stops: the item keeps its place for the next one."""


class Rate:
    """Items a second over the last ones."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=128)

    def count(self) -> None:
        self._times.append(time.monotonic())

    @property
    def per_s(self) -> float | None:
        if len(self._times) < 2:
            return None
        return (len(self._times) - 1) / max(time.monotonic() - self._times[0], 1e-6)


class JobRunner:
    """`concurrency` items at once, in turn from every client that has jobs. For one event loop.

    A result is recorded once: a scored item or an error of the item's own. What says "try again" (overload, rates, a
    full disk) is tried again for as long as the server runs, and never recorded.
    """

    def __init__(self, store: JobStore, engine: ScoringEngine, metrics: Metrics, concurrency: int, lifetime_s: float):
        self._store = store
        self._engine = engine
        self._metrics = metrics
        self._concurrency = concurrency
        self._lifetime_s = lifetime_s
        self._running: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._rates: dict[int, Rate] = {}
        self._held_up: dict[int, RewardError] = {}
        # why no item of any job can be taken
        self._stalled: RewardError | None = None
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._loops = [asyncio.create_task(self._dispatch()), asyncio.create_task(self._sweep())]

    async def stop(self, within_s: float) -> None:
        """Takes no further item; those that are being scored have `within_s` to be recorded, or stay waiting."""
        self._stopping.set()
        self._news.set()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=within_s)
        left = [*self._running.values(), *self._loops]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def wake(self) -> None:
        """There is a new job."""
        self._news.set()

    def forget(self, number: int) -> None:
        """The job was cancelled."""
        for (job, _), task in self._running.items():
            if job == number:
                task.cancel()
        self._rates.pop(number, None)
        self._held_up.pop(number, None)

    def rate(self, number: int) -> float | None:
        rate = self._rates.get(number)
        return None if rate is None else rate.per_s

    def held_up(self, number: int) -> RewardError | None:
        return self._held_up.get(number, self._stalled)

    async def _dispatch(self) -> None:
        last_client = ""
        failed = 0
        while not self._stopping.is_set():
            self._news.clear()
            while len(self._running) < self._concurrency and not self._stopping.is_set():
                try:
                    item = await self._store.run(self._store.next_item, tuple(self._running), last_client)
                except Exception as error:
                    failed += 1
                    self._stalled = typed(error)
                    log.warning("jobs pause: %s", self._stalled.message)
                    with suppress(_LeftWaiting):
                        await self._pause(failed)
                    continue
                failed, self._stalled = 0, None
                if item is None:
                    break
                last_client = item.job.client
                self._running[item.key] = asyncio.create_task(self._process(item))
            await self._news.wait()

    async def _process(self, item: WaitingItem) -> None:
        try:
            with suppress(_LeftWaiting):
                await self._record(item, await self._outcome(item))
        finally:
            del self._running[item.key]
            self._news.set()

    async def _outcome(self, item: WaitingItem) -> ScoreResponse | RewardError:
        """The answer, or the error that is the item's own."""
        failed, tries = 0, item.tries
        while True:
            call = Call(f"{item.job.id}:{item.line}", item.job.client, "bulk")
            try:
                request = await self._store.run(self._store.load, item)
                return await self._engine.score(request, call)
            except Exception as raised:
                error = typed(raised)
            if not error.retryable:
                if not isinstance(error, ServiceError) or isinstance(error, NonFiniteReward):
                    return error
                tries += 1
                if tries >= _MAX_TRIES:
                    return error
                await self._insist(item, self._store.count_try, *item.key)
                if not self._engine.ready:
                    raise _LeftWaiting
            failed += 1
            self._held_up[item.job.number] = error
            await self._pause(failed, error.retry_after_s or 0.0)

    async def _record(self, item: WaitingItem, outcome: ScoreResponse | RewardError) -> None:
        failed = isinstance(outcome, RewardError)
        result = JobResult(
            number=0,  # the store's to give
            line=item.line,
            id=item.id,
            scored=None if isinstance(outcome, RewardError) else outcome,
            error=body(outcome) if isinstance(outcome, RewardError) else None,
        )
        text = result.model_dump_json(exclude={"number"}, exclude_none=True)
        job = await self._insist(item, self._store.record, *item.key, text, failed)
        if job is None:
            return
        self._metrics.job_items.labels("failed" if failed else "scored").inc()
        self._rates.setdefault(job.number, Rate()).count()
        self._held_up.pop(job.number, None)
        if job.done == job.total:
            self._rates.pop(job.number, None)

    async def _insist(self, item: WaitingItem, method, *arguments):
        """A change of the store, made as soon as the disk lets it be; what was computed is not computed again."""
        failed = 0
        while True:
            try:
                return await self._store.run(method, *arguments)
            except Exception as error:
                failed += 1
                self._held_up[item.job.number] = typed(error)
                await self._pause(failed)

    async def _pause(self, failed: int, at_least_s: float = 0.0) -> None:
        """Longer with every failure, with full jitter."""
        ceiling = min(_MAX_S, _BASE_S * 2.0 ** min(failed - 1, 10))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), at_least_s + ceiling * random.random())
        if self._stopping.is_set():
            raise _LeftWaiting

    async def _sweep(self) -> None:
        while not self._stopping.is_set():
            with suppress(RewardError):
                count = await self._store.run(self._store.drop_finished, time.time() - self._lifetime_s)
                if count:
                    log.info("%d finished jobs were older than job_lifetime_s and are gone", count)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), min(_SWEEP_S, self._lifetime_s))
