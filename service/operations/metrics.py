"""Prometheus metrics. Label values come from fixed sets: callers cannot create new series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from identity_reward_client.fields.warnings import WarningCode
from identity_reward_client.wire.headers import PRIORITIES
from reward_model.types import CacheCount

from ..scheduling.admission import Admission
from ..scheduling.byte_capacity import ByteCapacity
from ..scheduling.item_result import ItemResult
from ..scheduling.scheduler import Scheduler

CONTENT_TYPE = CONTENT_TYPE_LATEST
# label of routes that do not exist
OTHER = "other"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_FILL = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# raw rewards are unbounded: cosine similarities fall into the middle, Bradley-Terry rewards within a few units of 0
_REWARDS = (-8, -4, -2, -1, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 2, 4, 8)


class Metrics:
    """The metrics of one server. `route` is a path of the route table, a gRPC method or "other"."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._caches: dict[str, Callable[[], Sequence[CacheCount]]] = {}
        self._queues: dict[str, tuple[Admission, Scheduler]] = {}
        self._bodies: ByteCapacity | None = None
        self._job_items_waiting: Callable[[], int] = lambda: 0
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
        self.job_items = Counter(
            "identity_reward_job_items_total", "Items of jobs with a result", ["outcome"], registry=self.registry
        )
        for outcome in ("scored", "failed"):
            self.job_items.labels(outcome)  # created at 0, so that `rate()` includes the first increment
        self.decode_seconds = stage("decode_seconds", "Probing or decoding one video, or decoding a reference set")
        self.preprocess_seconds = stage("preprocess_seconds", "Preparing one sample")
        self.queue_seconds = stage("queue_seconds", "Wait of a request in the queue and for its forward pass")
        self.forward_seconds = stage("forward_seconds", "Forward pass of a request")
        self._fill = Histogram(
            "identity_reward_batch_fill_ratio", "Tokens of a forward pass over max_batch_tokens", ["model"],
            buckets=_FILL, registry=self.registry,
        )  # fmt: skip
        self._batch_tokens = Counter(
            "identity_reward_batch_tokens_total", "Tokens of all forward passes", ["model"], registry=self.registry
        )
        self._batch_requests = Counter(
            "identity_reward_batch_requests_total", "Requests in all forward passes", ["model"], registry=self.registry
        )
        self._rewards = Histogram(
            "identity_reward_reward", "Raw rewards answered", ["model"], buckets=_REWARDS, registry=self.registry
        )
        self._warnings = Counter(
            "identity_reward_warnings_total", "Warnings of scored videos", ["model", "code"], registry=self.registry
        )
        self._verdicts = Counter(
            "identity_reward_verdicts_total", "Verdicts over pairs", ["model", "verdict"], registry=self.registry
        )

    def count_request(self, route: str, status: str, code: str | None, seconds: float | None = None) -> None:
        """One answered request; `code` is that of its error, `seconds` the time to answer where it was measured."""
        self.requests.labels(route, status).inc()
        if code is not None:
            self.errors.labels(code).inc()
        if seconds is not None:
            self.request_seconds.labels(route).observe(seconds)

    def item(self, model: str, result: ItemResult) -> None:
        """Count the result of one video."""
        if result.score is not None:
            self.items.labels(model, "scored").inc()
            self._rewards.labels(model).observe(result.score.reward)
            for warning in result.warnings:
                self._warnings.labels(model, warning.code).inc()
        if result.error is not None:
            self.items.labels(model, "failed").inc()
            self.item_errors.labels(result.error.code).inc()

    def verdict(self, model: str, verdict: str) -> None:
        """Count the verdict over one pair."""
        self._verdicts.labels(model, verdict).inc()

    def batch(self, model: str, budget: int, tokens: int, requests: int) -> None:
        """Count one forward pass of at most `budget` tokens."""
        self._fill.labels(model).observe(tokens / budget)
        self._batch_tokens.labels(model).inc(tokens)
        self._batch_requests.labels(model).inc(requests)

    def watch(
        self, model: str, admission: Admission, scheduler: Scheduler, caches: Callable[[], Sequence[CacheCount]]
    ) -> None:
        """Reads the queue and the caches of a model at every scrape."""
        self._queues[model] = admission, scheduler
        self._caches[model] = caches
        for code in WarningCode:
            self._warnings.labels(model, code)  # created at 0, as those of jobs

    def watch_engine(self, bodies: ByteCapacity, caches: Callable[[], Sequence[CacheCount]]) -> None:
        """Reads what all models share at every scrape."""
        self._bodies = bodies
        self._caches["all"] = caches

    def watch_jobs(self, items_waiting: Callable[[], int]) -> None:
        """Reads how many items of jobs wait at every scrape."""
        self._job_items_waiting = items_waiting

    def collect(self) -> Iterator[Metric]:
        """Called by the registry at every scrape."""
        yield from self._collect_caches()
        tokens = GaugeMetricFamily(
            "identity_reward_waiting_tokens",
            "Tokens of accepted, unanswered work",
            labels=["model", "priority"],
        )
        requests = GaugeMetricFamily(
            "identity_reward_waiting_requests", "Requests waiting for a forward", labels=["model"]
        )
        rate = GaugeMetricFamily("identity_reward_drain_tokens_per_second", "Measured throughput", labels=["model"])
        for model, (admission, scheduler) in self._queues.items():
            for priority in PRIORITIES:
                tokens.add_metric([model, priority], admission.waiting_tokens(priority))
            requests.add_metric([model], scheduler.num_tasks)
            rate.add_metric([model], admission.throughput.tokens_per_s)
        yield from (tokens, requests, rate)
        bodies = GaugeMetricFamily("identity_reward_body_bytes", "Bodies of unanswered requests")
        bodies.add_metric([], self._bodies.bytes if self._bodies else 0)
        yield bodies
        jobs = GaugeMetricFamily("identity_reward_job_items_waiting", "Items of jobs without a result")
        jobs.add_metric([], self._job_items_waiting())
        yield jobs

    def _collect_caches(self) -> Iterator[Metric]:
        labels = ["model", "cache"]
        hits = CounterMetricFamily("identity_reward_cache_hits", "Found in a cache", labels=labels)
        misses = CounterMetricFamily("identity_reward_cache_misses", "Computed, not found in a cache", labels=labels)
        evictions = CounterMetricFamily("identity_reward_cache_evictions", "Evicted to free memory", labels=labels)
        size = GaugeMetricFamily("identity_reward_cache_bytes", "Bytes that a cache holds", labels=labels)
        for model, counts in self._caches.items():
            for count in counts():
                hits.add_metric([model, count.name], count.hits)
                misses.add_metric([model, count.name], count.misses)
                evictions.add_metric([model, count.name], count.evictions)
                size.add_metric([model, count.name], count.num_bytes)
        yield from (hits, misses, evictions, size)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
