"""Rate limit of each client, in videos per second."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from identity_reward_client.errors import RateLimited

# full buckets are dropped when there are more clients than this
_MAX_IDLE_CLIENTS = 1024


class ClientRates:
    """Token bucket per client: `burst` videos, refilled at `per_s`. A larger group needs a full bucket. Thread-safe."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic):
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        # client -> (videos in the bucket, time of that level)
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, client: str, num_videos: int) -> None:
        """Raise RateLimited, with the time after which the same request passes, if the bucket holds too few."""
        with self._lock:
            now = self._clock()
            available = self._refilled(self._buckets.get(client, (float(self._burst), now)), now)
            missing = min(num_videos, self._burst) - available
            if missing > 0:
                seconds = math.ceil(missing / self._per_s)
                raise RateLimited(
                    f"{client} may send {self._per_s:g} videos a second, {self._burst} at once; try again in "
                    f"{seconds} s",
                    retry_after_s=seconds,
                )
            self._buckets[client] = available - num_videos, now
            if len(self._buckets) > _MAX_IDLE_CLIENTS:
                self._buckets = {
                    name: bucket for name, bucket in self._buckets.items() if self._refilled(bucket, now) < self._burst
                }

    def _refilled(self, bucket: tuple[float, float], now: float) -> float:
        available, since = bucket
        return min(available + (now - since) * self._per_s, self._burst)
