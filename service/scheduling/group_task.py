"""Distinct videos of one request in a model's queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from identity_reward_client.errors import DeadlineExceeded
from identity_reward_client.wire.headers import PRIORITIES
from reward_model.types import Price, ReferenceSet

from .call import Call
from .item_result import ItemResult, PreparedItem

OnResult = Callable[[int, ItemResult], None]


@dataclass(eq=False)
class GroupTask:
    """Videos that are scored together, and the state of their preparation.

    `load_references` is called once, then `prepare(references, index)` for each video; both run in worker threads.
    `on_result` gets each video's final result as soon as there is one, in any thread. `future` gets all of them in
    order, or the error of the whole request.
    """

    call: Call
    # one per video; the largest `shared` is paid once
    prices: list[Price]
    load_references: Callable[[], ReferenceSet]
    prepare: Callable[[ReferenceSet, int], PreparedItem]
    on_result: OnResult = lambda index, result: None

    future: Future[list[ItemResult]] = field(default_factory=Future)
    # times of time.monotonic(); preparation starts at `started_at` and is complete at `prepared_at`
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float = 0.0
    prepared_at: float = 0.0
    # seconds in the queue and in forward passes, once the future is done
    queue_s: float = 0.0
    forward_s: float = 0.0
    references: ReferenceSet | None = None
    # how many batches were formed without it while it was ready
    times_passed: int = 0
    # videos that are still to be prepared
    num_unprepared: int = 0
    # prepared and not yet scored, by index
    prepared: dict[int, PreparedItem] = field(default_factory=dict)
    results: dict[int, ItemResult] = field(default_factory=dict)
    _claimed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.num_unprepared = len(self.prices)

    @property
    def tokens(self) -> int:
        """Cost of the whole task."""
        return max(price.shared for price in self.prices) + sum(price.own for price in self.prices)

    @property
    def rank(self) -> int:
        """Rank of its priority class; 0 is the most urgent."""
        return PRIORITIES.index(self.call.priority)

    @property
    def ready(self) -> bool:
        """Whether every video is prepared or has failed."""
        return not self.num_unprepared

    def expire(self) -> bool:
        """Fail with DeadlineExceeded if the deadline is over; returns whether it is."""
        if self.call.remaining_s > 0:
            return False
        self.fail(DeadlineExceeded("the request's time was over before it was scheduled", retry_after_s=1))
        return True

    def fail(self, error: Exception) -> None:
        """Set the error of the whole request, unless the future is done."""
        if self._claim():
            self.future.set_exception(error)

    def add_result(self, index: int, result: ItemResult) -> None:
        """Record the final result of one video."""
        self.prepared.pop(index, None)
        self.results[index] = result
        self.on_result(index, result)

    def finish(self, scored_at: float, forward_s: float) -> None:
        """Set the results, unless the future is done. `scored_at`: when its first forward pass began."""
        if not self._claim():
            return
        self.queue_s = self.started_at - self.queued_at + max(scored_at - self.prepared_at, 0.0)
        self.forward_s = forward_s
        try:
            results = [self.results[index] for index in range(len(self.prices))]
        except KeyError:
            self.future.set_exception(DeadlineExceeded("the request's time was over while it was being scored"))
        else:
            self.future.set_result(results)

    def chunks(self, max_tokens: int) -> list[list[int]]:
        """Indices of the prepared videos, in as few lists as stay within `max_tokens` each."""
        chunks: list[list[int]] = []
        remaining = 0
        for index in sorted(self.prepared):
            price = self.prices[index]
            if not chunks or price.own > remaining:
                chunks.append([])
                remaining = max_tokens - price.shared
            chunks[-1].append(index)
            remaining -= price.own
        return chunks

    def _claim(self) -> bool:
        """True for the first caller only, who sets the future; False too where the future was cancelled."""
        with self._lock:
            claimed, self._claimed = self._claimed, True
        return not claimed and self.future.set_running_or_notify_cancel()
