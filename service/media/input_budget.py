"""Budget of bytes and time for the media of one request that come from URLs and paths."""

from __future__ import annotations

import math
from threading import Lock

from identity_reward_client.errors import LimitExceeded


class InputBudget:
    """As many bytes in all as a request body may have. Thread-safe."""

    def __init__(self, max_bytes: int, deadline: float = math.inf):
        """`deadline` on time.monotonic()."""
        self.deadline = deadline
        self._max_bytes = max_bytes
        self._used = 0
        self._lock = Lock()

    def check(self, num_bytes: int, label: str) -> None:
        """Raise LimitExceeded, whose message starts with `label`, if `num_bytes` more would exceed the budget."""
        with self._lock:
            self._check(num_bytes, label)

    def use(self, num_bytes: int, label: str) -> None:
        """Take `num_bytes` from the budget; raises as `check` does."""
        with self._lock:
            self._check(num_bytes, label)
            self._used += num_bytes

    def _check(self, num_bytes: int, label: str) -> None:
        if self._used + num_bytes > self._max_bytes:
            raise LimitExceeded(
                f"{label}: the files behind the request's URLs and paths exceed {self._max_bytes} bytes in all",
                details={"limit": "max_body_bytes", "maximum": self._max_bytes},
            )
