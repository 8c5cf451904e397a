"""Measured throughput of a model."""

from __future__ import annotations

import math


class Throughput:
    """Tokens per second of busy time, smoothed over some seconds. Thread-safe."""

    def __init__(self, tokens_per_s: float = 10_000.0, window_s: float = 10.0):
        self._window_s = window_s
        # the initial guess has the weight of a tenth of the window
        self._tokens = tokens_per_s * window_s / 10
        self._seconds = window_s / 10

    @property
    def tokens_per_s(self) -> float:
        """Current estimate; the initial guess before anything is recorded."""
        return self._tokens / self._seconds

    def record(self, tokens: float, seconds: float) -> None:
        """Add work that took `seconds` of busy time."""
        decay = math.exp(-seconds / self._window_s)
        self._tokens = self._tokens * decay + tokens
        self._seconds = self._seconds * decay + max(seconds, 1e-6)
