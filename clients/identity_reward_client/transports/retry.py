"""Retries with exponential backoff and full jitter (Brooker, "Exponential Backoff and Jitter", AWS 2015)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from ..errors import RewardError

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed request is repeated. Only errors that are `retryable` are."""

    # attempts in all; 1: no retries
    max_attempts: int = 6
    # seconds; the n-th wait is uniform in [0, min(max_delay_s, base_s * 2**(n-1))]
    base_s: float = 0.25
    max_delay_s: float = 20.0
    # seconds after the first attempt within which a new one may start
    deadline_s: float = 120.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or min(self.base_s, self.max_delay_s, self.deadline_s) < 0:
            raise ValueError(f"max_attempts must be 1 or more and no time negative, got {self}")

    def delay_s(
        self, failures: int, error: RewardError, elapsed_s: float, uniform: Callable[[], float] = random.random
    ) -> float | None:
        """Seconds to wait after `failures` failed attempts, or None to give up. Retry-After is added to the jitter."""
        if not error.retryable or failures >= self.max_attempts:
            return None
        ceiling = min(self.max_delay_s, self.base_s * 2.0 ** min(failures - 1, 60))
        delay = (error.retry_after_s or 0.0) + ceiling * uniform()
        return delay if elapsed_s + delay <= self.deadline_s else None

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        uniform: Callable[[], float] = random.random,
    ) -> T:
        """The result of the first attempt that succeeds. Raises the error of the last attempt if none does."""
        started = clock()
        failures = 0
        while True:
            try:
                return await attempt()
            except RewardError as error:
                failures += 1
                delay = self.delay_s(failures, error, clock() - started, uniform)
                if delay is None:
                    raise
            await sleep(delay)
