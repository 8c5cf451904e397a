"""Scores the items of waiting jobs through the engine, in the least urgent priority class."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from identity_reward_client.errors import NonFiniteReward, RewardError, ServiceError
from identity_reward_client.messages import ScoreResponse
from identity_reward_client.wire.error_bodies import to_body
from identity_reward_client.wire.job_messages import JobResult

from ..engine.engine import ScoringEngine
from ..errors import to_reward_error
from ..operations.metrics import Metrics
from ..scheduling.call import Call
from .store import JobStore, WaitingItem

log = logging.getLogger("identity_reward")
T = TypeVar("T")

# exponential backoff with full jitter
_BASE_S, _MAX_S = 0.5, 30.0
# attempts at an item that makes the service fail; counted on disk, because such an item may crash the server
_MAX_TRIES = 3
_SWEEP_S = 60.0


class _Stopping(BaseException):
    """The server stops: the item stays in the store for the next one. Not an Exception: those are retried."""


class ItemRate:
    """Items per second over the last 128 items."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=128)

    def count(self) -> None:
        """Add an item that is finished now."""
        self._times.append(time.monotonic())

    @property
    def per_s(self) -> float | None:
        """Items per second; None before the second item."""
        if len(self._times) < 2:
            return None
        return (len(self._times) - 1) / max(time.monotonic() - self._times[0], 1e-6)


class JobRunner:
    """Scores `concurrency` items at once, in turn from every client that has jobs. For one event loop.

    An item gets one recorded result: its score, or an error of its own. Retryable errors (overload, rate limits, a
    full disk) are never recorded: the item is tried again for as long as the server runs.
    """

    def __init__(self, store: JobStore, engine: ScoringEngine, metrics: Metrics, concurrency: int, lifetime_s: float):
        self._store = store
        self._engine = engine
        self._metrics = metrics
        self._concurrency = concurrency
        self._lifetime_s = lifetime_s
        self._running: dict[tuple[int, int], asyncio.Task[None]] = {}
        # by number of the job
        self._rates: dict[int, ItemRate] = {}
        self._blocking_errors: dict[int, RewardError] = {}
        # why no item of any job can be read
        self._store_error: RewardError | None = None
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the tasks that take up waiting items and delete expired jobs. Needs a running event loop."""
        self._loops = [asyncio.create_task(self._dispatch()), asyncio.create_task(self._sweep())]

    async def stop(self, timeout_s: float) -> None:
        """Start no further item. Running ones have `timeout_s` to be recorded; the others stay in the store."""
        self._stopping.set()
        self._wake.set()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=timeout_s)
        unfinished = [*self._running.values(), *self._loops]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    def wake(self) -> None:
        """Look for items at once, as a new job has some."""
        self._wake.set()

    def forget(self, number: int) -> None:
        """Stop scoring a cancelled job."""
        for (job, _), task in self._running.items():
            if job == number:
                task.cancel()
        self._rates.pop(number, None)
        self._blocking_errors.pop(number, None)

    def rate(self, number: int) -> float | None:
        """Items per second that a job has finished lately; None before its second item."""
        rate = self._rates.get(number)
        return None if rate is None else rate.per_s

    def blocking_error(self, number: int) -> RewardError | None:
        """The retryable error that a job waits for, if any."""
        return self._blocking_errors.get(number, self._store_error)

    async def _dispatch(self) -> None:
        last_client = ""

        async def next_item() -> WaitingItem | None:
            return await self._store.run(self._store.next_item, tuple(self._running), last_client)

        with suppress(_Stopping):
            while not self._stopping.is_set():
                self._wake.clear()
                while len(self._running) < self._concurrency and not self._stopping.is_set():
                    item: WaitingItem | None = await self._retrying(self._pause_all)(next_item)
                    self._store_error = None
                    if item is None:
                        break
                    last_client = item.job.client
                    self._running[item.key] = asyncio.create_task(self._process(item))
                await self._wake.wait()

    def _pause_all(self, error: RewardError) -> None:
        self._store_error = error
        log.warning("jobs pause: %s", error.message)

    async def _process(self, item: WaitingItem) -> None:
        try:
            with suppress(_Stopping):
                await self._record(item, await self._score(item))
        finally:
            del self._running[item.key]
            self._wake.set()

    async def _score(self, item: WaitingItem) -> ScoreResponse | RewardError:
        """The response, or the item's own error."""
        tries = item.tries

        async def attempt() -> ScoreResponse | RewardError:
            nonlocal tries
            try:
                request = await self._store.run(self._store.load, item)
                return await self._engine.score(request, Call(f"{item.job.id}:{item.line}", item.job.client, "bulk"))
            except Exception as raised:
                error = to_reward_error(raised)
            if error.retryable:
                raise error
            if not isinstance(error, ServiceError) or isinstance(error, NonFiniteReward):
                return error
            tries += 1
            if tries >= _MAX_TRIES:
                return error
            await self._write(item, lambda: self._store.count_try(*item.key))
            if not self._engine.ready:
                raise _Stopping
            raise error

        return await self._retrying(lambda error: self._block(item, error))(attempt)

    async def _record(self, item: WaitingItem, outcome: ScoreResponse | RewardError) -> None:
        failed = isinstance(outcome, RewardError)
        result = JobResult(
            number=0,  # the store assigns it
            line=item.line,
            id=item.id,
            scored=None if isinstance(outcome, RewardError) else outcome,
            error=to_body(outcome) if isinstance(outcome, RewardError) else None,
        )
        text = result.model_dump_json(exclude={"number"}, exclude_none=True)
        job = await self._write(item, lambda: self._store.record(*item.key, text, failed))
        if job is None:
            return
        self._metrics.job_items.labels("failed" if failed else "scored").inc()
        self._rates.setdefault(job.number, ItemRate()).count()
        self._blocking_errors.pop(job.number, None)
        if job.done == job.total:
            self._rates.pop(job.number, None)

    async def _write(self, item: WaitingItem, change: Callable[[], T]) -> T:
        """Change the store as soon as the disk allows it; what was computed is not computed again."""
        return await self._retrying(lambda error: self._block(item, error))(self._store.run, change)

    def _block(self, item: WaitingItem, error: RewardError) -> None:
        self._blocking_errors[item.job.number] = error

    def _retrying(self, on_error: Callable[[RewardError], None]) -> AsyncRetrying:
        """Calls a function until it raises nothing; `on_error` gets each error. Raises _Stopping while it waits."""

        def before_sleep(state: RetryCallState) -> None:
            on_error(to_reward_error(_exception(state)))

        return AsyncRetrying(wait=_backoff_s, sleep=self._sleep, before_sleep=before_sleep)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        if self._stopping.is_set():
            raise _Stopping

    async def _sweep(self) -> None:
        """Delete finished jobs after their lifetime."""
        while not self._stopping.is_set():
            with suppress(RewardError):
                count = await self._store.run(self._store.drop_finished, time.time() - self._lifetime_s)
                if count:
                    log.info("deleted %d finished jobs, which were older than job_lifetime_s", count)
            with suppress(_Stopping):
                await self._sleep(min(_SWEEP_S, self._lifetime_s))


def _exception(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome is not None else None
    assert error is not None
    return error


def _backoff_s(state: RetryCallState) -> float:
    """Backoff by the number of attempts, after the time that the error asks for."""
    error = _exception(state)
    retry_after_s = error.retry_after_s if isinstance(error, RewardError) else None
    return (retry_after_s or 0.0) + wait_random_exponential(multiplier=_BASE_S, max=_MAX_S)(state)
