"""Cache of results by content: the same video with the same references and model is scored once."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from cachetools import LRUCache

from reward_model.types import CacheCount

from ..scheduling.item_result import ItemResult

# about 1 kB per result: details are short lists
_ENTRY_BYTES = 1024


@dataclass(frozen=True)
class ResultKey:
    """Key of a cached result: everything that the result depends on."""

    # of weights, preprocessing and frame sampling
    fingerprint: str
    # ids by content
    references: str
    video: str
    # None where the model ignores it
    prompt: str | None


class ResultCache:
    """LRU cache of at most `max_entries` scores; 0 disables it. Errors are never cached. Thread-safe."""

    def __init__(self, max_entries: int):
        self.max_entries = max_entries
        self._results = _CountingCache(max_entries)
        self._hits = self._misses = 0
        self._lock = Lock()

    def get(self, key: ResultKey) -> ItemResult | None:
        """The cached result of a key."""
        with self._lock:
            result = self._results.get(key)
            if result is None:
                self._misses += 1
            else:
                self._hits += 1
            return result

    def put(self, key: ResultKey, result: ItemResult) -> None:
        """Cache a score; a cache without entries drops it."""
        if self.max_entries:
            with self._lock:
                self._results[key] = result

    def counts(self) -> tuple[CacheCount, ...]:
        """Hits, misses, evictions and size, for metrics."""
        size = _ENTRY_BYTES * len(self._results)
        return (CacheCount("results", self._hits, self._misses, self._results.evictions, size),)


class _CountingCache(LRUCache[ResultKey, ItemResult]):
    evictions = 0

    def popitem(self) -> tuple[ResultKey, ItemResult]:
        self.evictions += 1
        return super().popitem()
