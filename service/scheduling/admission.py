"""Admission of requests to one model's queue, bounded in tokens."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from identity_reward_client.errors import Overloaded
from identity_reward_client.wire.headers import PRIORITIES, Priority

from .call import Call
from .throughput import Throughput

# Fraction of the capacity that requests of a class may fill: the rest is reserved for more urgent classes.
_CLASS_SHARES: dict[Priority, float] = {"rollout": 1.0, "interactive": 0.75, "bulk": 0.5}
# A caller holds at most this multiple of its class's free capacity (dynamic thresholds: Choudhury and Hahne,
# IEEE/ACM ToN 1998). A caller that is alone gets 8/9 of it, so that another caller finds capacity.
_ALPHA = 8.0
_MAX_RETRY_S = 60
# safety factor of the predicted wait: work that misses its deadline is wasted
_WAIT_MARGIN = 1.25


class Admission:
    """Capacity of one model's queue in tokens. A request holds its tokens until its results are complete."""

    def __init__(self, max_tokens: int, throughput: Throughput | None = None):
        self._max_tokens = max_tokens
        self.throughput = throughput or Throughput()
        self._tokens = 0
        self._by_caller: Counter[tuple[Priority, str]] = Counter()
        self._by_class: Counter[Priority] = Counter()
        self._lock = threading.Lock()

    @property
    def tokens(self) -> int:
        """Tokens admitted and not yet released."""
        return self._tokens

    def waiting_tokens(self, priority: Priority) -> int:
        """Tokens of one class that are admitted and not yet released."""
        return self._by_class[priority]

    @contextmanager
    def admit(self, call: Call, tokens: int) -> Iterator[None]:
        """Hold `tokens` inside the block. Raises Overloaded without capacity, or if the deadline would be missed."""
        caller = call.priority, call.client
        with self._lock:
            self._check(call, tokens, self._by_caller[caller])
            self._add(call, tokens)
        try:
            yield
        finally:
            with self._lock:
                self._add(call, -tokens)
                if not self._by_caller[caller]:
                    del self._by_caller[caller]

    @property
    def wait_s(self) -> float:
        """Predicted seconds until all admitted tokens are processed."""
        return self._tokens / self.throughput.tokens_per_s

    def check_capacity(self, call: Call) -> None:
        """Raise Overloaded if no request of that call could be admitted now, whatever its size."""
        capacity = self._capacity(call.priority)
        if self._tokens >= capacity:
            raise self._overloaded(self._tokens - capacity + 1)
        self._check_deadline(call, 0)

    def _capacity(self, priority: Priority) -> float:
        return _CLASS_SHARES[priority] * self._max_tokens

    def _add(self, call: Call, tokens: int) -> None:
        self._tokens += tokens
        self._by_caller[call.priority, call.client] += tokens
        self._by_class[call.priority] += tokens

    def _check(self, call: Call, tokens: int, held: int) -> None:
        if not self._tokens:
            return  # otherwise a request larger than the whole capacity would never be served
        capacity = self._capacity(call.priority)
        excess = self._tokens + tokens - capacity
        if excess > 0:
            raise self._overloaded(excess)
        fair = _ALPHA * (capacity - self._tokens)
        if held and held + tokens > fair:
            raise self._overloaded(held + tokens - fair, f"{call.client} has {held} of them, ")
        self._check_deadline(call, tokens)

    def _check_deadline(self, call: Call, tokens: int) -> None:
        classes = PRIORITIES[: PRIORITIES.index(call.priority) + 1]
        ahead = sum(map(self.waiting_tokens, classes)) + tokens
        late_s = _WAIT_MARGIN * ahead / self.throughput.tokens_per_s - call.remaining_s
        if late_s > 0 and self._tokens:
            excess = late_s * self.throughput.tokens_per_s
            raise self._overloaded(excess, "too many to finish before this request's deadline, ")

    def _overloaded(self, excess: float, reason: str = "") -> Overloaded:
        seconds = retry_seconds(excess / self.throughput.tokens_per_s)
        return Overloaded(
            f"{self._tokens} tokens of work are waiting, {reason}and the queue holds {self._max_tokens}, some of it "
            f"reserved for more urgent calls; try again in {seconds} s",
            retry_after_s=seconds,
        )


def retry_seconds(wait_s: float) -> int:
    """Whole seconds after which a refused caller should retry."""
    return min(max(math.ceil(wait_s), 1), _MAX_RETRY_S)
