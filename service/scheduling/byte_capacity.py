"""Memory for the bodies of requests, shared by all transports."""

from __future__ import annotations

import threading
from collections.abc import Callable

from identity_reward_client.errors import Overloaded

from .admission import retry_seconds


class ByteCapacity:
    """Bytes of request bodies, from their first byte to the response. Thread-safe."""

    def __init__(self, max_bytes: int, wait_s: Callable[[], float] = lambda: 1.0):
        """`wait_s` predicts in how many seconds the held bytes are released."""
        self._max_bytes = max_bytes
        self._wait_s = wait_s
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def check(self, num_bytes: int, held: int = 0) -> None:
        """Raise Overloaded if `num_bytes` more don't fit.

        A body larger than the whole capacity is admitted if it is alone: `held` of the bytes are its own already.
        """
        if self._bytes > held and self._bytes + num_bytes > self._max_bytes:
            seconds = retry_seconds(self._wait_s())
            raise Overloaded(
                f"bodies of {self._bytes} bytes are being processed and {num_bytes} more would exceed "
                f"{self._max_bytes} (max_waiting_bytes); try again in {seconds} s",
                retry_after_s=seconds,
            )

    def take(self, num_bytes: int, held: int = 0) -> None:
        """Hold `num_bytes` more; raises Overloaded as `check` does."""
        with self._lock:
            self.check(num_bytes, held)
            self._bytes += num_bytes

    def release(self, num_bytes: int) -> None:
        """Stop holding `num_bytes`."""
        with self._lock:
            self._bytes -= num_bytes


class HeldBytes:
    """Bytes that one request holds as its body arrives; without a capacity, nothing is counted."""

    def __init__(self, capacity: ByteCapacity | None):
        self._capacity = capacity
        self._bytes = 0

    def check(self, num_bytes: int) -> None:
        """Raise Overloaded if a body of `num_bytes` in all doesn't fit now."""
        if self._capacity is not None:
            self._capacity.check(num_bytes - self._bytes, self._bytes)

    def grow_to(self, num_bytes: int) -> None:
        """Hold `num_bytes` in all; raises Overloaded if the rest doesn't fit."""
        if num_bytes > self._bytes:
            if self._capacity is not None:
                self._capacity.take(num_bytes - self._bytes, self._bytes)
            self._bytes = num_bytes

    def release(self) -> None:
        """Stop holding anything."""
        if self._capacity is not None:
            self._capacity.release(self._bytes)
        self._bytes = 0
