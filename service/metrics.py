"""What the server counts, for Prometheus. Label values are fixed sets: a stranger can't make a new series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from reward_model.types import CacheCount

CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """One registry a server. `route` is a route of the API document or "other"; `code` one of the error tree's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._caches: dict[str, Callable[[], Sequence[CacheCount]]] = {}
        self.registry.register(self)

        def stage(name: str, text: str) -> Histogram:
            return Histogram(f"identity_reward_{name}", text, ["model"], buckets=_SECONDS, registry=self.registry)

        self.requests = Counter(
            "identity_reward_requests_total", "Requests answered", ["route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "identity_reward_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.errors = Counter(
            "identity_reward_errors_total", "Requests answered with an error", ["code"], registry=self.registry
        )
        self.item_errors = Counter(
            "identity_reward_item_errors_total", "Videos without a reward", ["code"], registry=self.registry
        )
        self.items = Counter(
            "identity_reward_items_total", "Videos scored or failed", ["model", "outcome"], registry=self.registry
        )
        self.decode_seconds = stage("decode_seconds", "Decoding one video or reference set")
        self.preprocess_seconds = stage("preprocess_seconds", "Preparing one sample")
        self.queue_seconds = stage("queue_seconds", "Waiting of a group for its forward pass")
        self.forward_seconds = stage("forward_seconds", "Forward pass that a group was in")
        self.waiting_items = Gauge(
            "identity_reward_waiting_items", "Videos accepted and not yet answered", ["model"], registry=self.registry
        )

    def watch_caches(self, model: str, counts: Callable[[], Sequence[CacheCount]]) -> None:
        """What a model's caches did, asked for at each scrape."""
        self._caches[model] = counts

    def collect(self) -> Iterator[Metric]:
        labels = ["model", "cache"]
        hits = CounterMetricFamily("identity_reward_cache_hits", "Found in a cache", labels=labels)
        misses = CounterMetricFamily("identity_reward_cache_misses", "Computed, as no cache held it", labels=labels)
        evictions = CounterMetricFamily("identity_reward_cache_evictions", "Let go for room", labels=labels)
        size = GaugeMetricFamily("identity_reward_cache_bytes", "Bytes that a cache holds", labels=labels)
        for model, counts in self._caches.items():
            for count in counts():
                hits.add_metric([model, count.name], count.hits)
                misses.add_metric([model, count.name], count.misses)
                evictions.add_metric([model, count.name], count.evictions)
                size.add_metric([model, count.name], count.num_bytes)
        yield from (hits, misses, evictions, size)

    def text(self) -> bytes:
        return generate_latest(self.registry)
