"""Rewards by content: a video that was scored with these references by this very model is not scored again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from reward_model.types import CacheCount, Score


@dataclass(frozen=True)
class ResultKey:
    # of weights, preprocessing and frame sampling
    fingerprint: str
    references: str
    video: str
    # None where the model ignores it
    prompt: str | None


@dataclass(frozen=True)
class Result:
    score: Score
    fps: float
    num_source_frames: int
    frame_indices: tuple[int, ...]


class ResultCache:
    """At most `entries` results, least recently used first out; 0 keeps none. Failures are never kept. Thread-safe."""

    def __init__(self, entries: int):
        self.entries = entries
        self._results: OrderedDict[ResultKey, Result] = OrderedDict()
        self._hits = self._misses = self._evictions = 0
        self._lock = Lock()

    def get(self, key: ResultKey) -> Result | None:
        with self._lock:
            result = self._results.get(key)
            if result is None:
                self._misses += 1
            else:
                self._hits += 1
                self._results.move_to_end(key)
            return result

    def put(self, key: ResultKey, result: Result) -> None:
        with self._lock:
            self._results[key] = result
            while len(self._results) > self.entries:
                self._results.popitem(last=False)
                self._evictions += 1

    def counts(self) -> tuple[CacheCount, ...]:
        """A result takes about 1 kB: its details are short lists."""
        return (CacheCount("results", self._hits, self._misses, self._evictions, 1024 * len(self._results)),)
