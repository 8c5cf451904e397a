"""What one request may bring in from elsewhere: bytes in all, and until when."""

from __future__ import annotations

import math
from threading import Lock

from identity_reward_client.errors import LimitExceeded


class Allowance:
    """As much by URL and path together as a body may carry; shared by the threads that bring it in."""

    def __init__(self, max_bytes: int, deadline: float = math.inf):
        """`deadline` on time.monotonic()."""
        self.deadline = deadline
        self._max_bytes = max_bytes
        self._taken = 0
        self._lock = Lock()

    def check(self, count: int, what: str) -> None:
        """LimitExceeded where `count` bytes more would be too many."""
        with self._lock:
            self._check(count, what)

    def take(self, count: int, what: str) -> None:
        with self._lock:
            self._check(count, what)
            self._taken += count

    def _check(self, count: int, what: str) -> None:
        if self._taken + count > self._max_bytes:
            raise LimitExceeded(
                f"{what}: what the request brings in by URL and path is over {self._max_bytes} bytes",
                details={"limit": "max_body_bytes", "maximum": self._max_bytes},
            )
