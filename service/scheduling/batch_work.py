"""One request's distinct videos on their way through a model's queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from identity_reward_client.errors import DeadlineExceeded
from identity_reward_client.wire.headers import PRIORITIES
from reward_model.types import Price, Score

from .call import Call

Outcome = Score | Exception


@dataclass(frozen=True)
class Done:
    """What became of a work: a score or an error for each item, in order."""

    outcomes: list[Outcome]
    queue_s: float
    forward_s: float


@dataclass(eq=False)
class Work:
    """`resolve` is run once, for what all items need (the references); `prepare(resolved, number)` for each item gives
    what the scorer's forward takes. Both run in worker threads. `known` hears of outcomes as they come, from any
    thread."""

    call: Call
    # one for each item; the largest `shared` is paid once
    prices: list[Price]
    resolve: Callable[[], Any]
    prepare: Callable[[Any, int], Any]
    known: Callable[[int, Outcome], None] = lambda number, outcome: None

    future: Future[Done] = field(default_factory=Future)
    queued_at: float = field(default_factory=time.monotonic)
    # when its preparation began and was complete
    begun_at: float = 0.0
    prepared_at: float = 0.0
    resolved: Any = None
    # batches that were taken while it was ready and not taken
    passed: int = 0
    # still to be prepared
    pending: int = 0
    items: dict[int, Any] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    _claimed: bool = False
    _claiming: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.pending = len(self.prices)

    @property
    def tokens(self) -> int:
        return max(price.shared for price in self.prices) + sum(price.own for price in self.prices)

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return PRIORITIES.index(self.call.priority)

    def expired(self) -> bool:
        """True, and the future has the error, when an answer would come too late to be of use."""
        if self.call.remaining_s > 0:
            return False
        self.fail(DeadlineExceeded("the time for this request was over before its turn came", retry_after_s=1))
        return True

    def claim(self) -> bool:
        """True for one caller alone, who then sets the future; never when nobody waits for it any more."""
        with self._claiming:
            claimed, self._claimed = self._claimed, True
        return not claimed and self.future.set_running_or_notify_cancel()

    def fail(self, error: Exception) -> None:
        """Unless it has its result already."""
        if self.claim():
            self.future.set_exception(error)

    def settle(self, number: int, outcome: Outcome) -> None:
        """The item's outcome is final."""
        self.items.pop(number, None)
        self.outcomes[number] = outcome
        self.known(number, outcome)

    def chunks(self, budget: int) -> list[list[int]]:
        """Numbers of the prepared items, as few lists as stay within `budget` tokens each."""
        made: list[list[int]] = []
        room = 0
        for number in sorted(self.items):
            price = self.prices[number]
            if not made or price.own > room:
                made.append([])
                room = budget - price.shared
            made[-1].append(number)
            room -= price.own
        return made
