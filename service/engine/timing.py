"""Where a request's time went."""

from __future__ import annotations

import time
from contextlib import contextmanager

from identity_reward_client.messages import Timing

from ..operations.metrics import Metrics
from ..operations.tracing import Stage, no_stage


class Clock:
    """Seconds spent in each stage of one request; stages of several threads add up."""

    def __init__(self, metrics: Metrics, model: str, trace: Stage = no_stage):
        self._trace = trace
        self._started = time.monotonic()
        self._spans: list[tuple[str, float]] = []  # appended to from several threads
        self._metrics = metrics
        self._model = model

    def add(self, stage: str, seconds: float, ago_s: float = 0.0) -> None:
        """A stage that took `seconds` and ended `ago_s` ago."""
        self._trace(stage, seconds, ago_s)
        self._spans.append((stage, seconds))
        getattr(self._metrics, f"{stage}_seconds").labels(self._model).observe(seconds)

    @contextmanager
    def of(self, stage: str):
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(stage, time.monotonic() - started)

    def timing(self) -> Timing:
        sums = {f"{stage}_ms": 0.0 for stage, _ in self._spans}
        for stage, seconds in self._spans:
            sums[f"{stage}_ms"] += 1000 * seconds
        return Timing(**sums, total_ms=1000 * (time.monotonic() - self._started))
