"""Time that one request spends in each stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from identity_reward_client.messages import Timing

from ..operations.metrics import Metrics
from ..operations.tracing import Stage, no_stage


class StageClock:
    """Seconds spent in each stage of one request, for its response, metrics and spans; threads add up. Thread-safe."""

    def __init__(self, metrics: Metrics, model: str, trace: Stage = no_stage):
        self._trace = trace
        self._started = time.monotonic()
        self._spans: list[tuple[str, float]] = []
        self._metrics = metrics
        self._model = model

    def add(self, stage: str, seconds: float, ago_s: float = 0.0) -> None:
        """Record a stage that took `seconds` and ended `ago_s` ago."""
        self._trace(stage, seconds, ago_s)
        self._spans.append((stage, seconds))
        getattr(self._metrics, f"{stage}_seconds").labels(self._model).observe(seconds)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Record the time inside the block."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(stage, time.monotonic() - started)

    def timing(self) -> Timing:
        """Milliseconds by stage, and since the clock was made."""
        sums = {f"{stage}_ms": 0.0 for stage, _ in self._spans}
        for stage, seconds in self._spans:
            sums[f"{stage}_ms"] += 1000 * seconds
        return Timing(**sums, total_ms=1000 * (time.monotonic() - self._started))
