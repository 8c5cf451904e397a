"""Who is let in: room in tokens and bytes, a fair part of it for everybody, rates, and when to come back."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from identity_reward_client.errors import Overloaded, RateLimited
from identity_reward_client.wire.headers import PRIORITIES, Priority

from .call import Call

# How full the room may be for a request of this class to be let in: the rest is kept for the more urgent.
_SHARES: dict[Priority, float] = {"rollout": 1.0, "interactive": 0.75, "bulk": 0.5}
# A caller holds at most so many times the room that is left to its class (dynamic thresholds: Choudhury and Hahne,
# IEEE/ACM ToN 1998): alone, 8/9 of all that the class may have; so a newcomer finds room.
_ALPHA = 8.0
_MAX_RETRY_S = 60
# by which the predicted wait is taken longer: work that ends too late is lost
_MARGIN = 1.25


class Drain:
    """How fast tokens are worked off, smoothed over the busy time of some seconds. Safe from several threads."""

    def __init__(self, tokens_per_s: float = 10_000.0, window_s: float = 10.0):
        self._window_s = window_s
        self._tokens = tokens_per_s * window_s / 10  # a guess that a second of work outweighs
        self._seconds = window_s / 10

    @property
    def tokens_per_s(self) -> float:
        return self._tokens / self._seconds

    def worked(self, tokens: float, seconds: float) -> None:
        keep = math.exp(-seconds / self._window_s)
        self._tokens = self._tokens * keep + tokens
        self._seconds = self._seconds * keep + max(seconds, 1e-6)


class Admission:
    """The room of one model's queue, in tokens, from before a request is decoded until it is answered."""

    def __init__(self, max_tokens: int, drain: Drain | None = None):
        self._max_tokens = max_tokens
        self.drain = drain or Drain()
        self._tokens = 0
        self._by_caller: Counter[tuple[Priority, str]] = Counter()
        self._by_class: Counter[Priority] = Counter()
        self._lock = threading.Lock()

    @property
    def tokens(self) -> int:
        return self._tokens

    def waiting(self, priority: Priority) -> int:
        """Tokens let in and not answered yet, of one class."""
        return self._by_class[priority]

    @contextmanager
    def admit(self, call: Call, tokens: int) -> Iterator[None]:
        """Room for `tokens`; without room, or when the answer would come too late, Overloaded."""
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
        """Seconds in which all that waits is worked off."""
        return self._tokens / self.drain.tokens_per_s

    def check_room(self, call: Call) -> None:
        """Overloaded when no request of that call, of any size, would be let in now: for before a body is read."""
        room = self._room(call.priority)
        if self._tokens >= room:
            raise self._overloaded(self._tokens - room + 1)
        self._check_in_time(call, 0)

    def _room(self, priority: Priority) -> float:
        return _SHARES[priority] * self._max_tokens

    def _add(self, call: Call, tokens: int) -> None:
        self._tokens += tokens
        self._by_caller[call.priority, call.client] += tokens
        self._by_class[call.priority] += tokens

    def _check(self, call: Call, tokens: int, held: int) -> None:
        if not self._tokens:
            return  # or a request over the whole room would never be served
        room = self._room(call.priority)
        over = self._tokens + tokens - room
        if over > 0:
            raise self._overloaded(over)
        fair = _ALPHA * (room - self._tokens)
        if held and held + tokens > fair:
            raise self._overloaded(held + tokens - fair, f"{call.client} has {held} of them, ")
        self._check_in_time(call, tokens)

    def _check_in_time(self, call: Call, tokens: int) -> None:
        urgent = PRIORITIES[: PRIORITIES.index(call.priority) + 1]
        ahead = sum(map(self.waiting, urgent)) + tokens
        late_s = _MARGIN * ahead / self.drain.tokens_per_s - call.remaining_s
        if late_s > 0 and self._tokens:
            raise self._overloaded(late_s * self.drain.tokens_per_s, "too many to answer in the time that is left, ")

    def _overloaded(self, too_many: float, why: str = "") -> Overloaded:
        seconds = _retry_s(too_many / self.drain.tokens_per_s)
        return Overloaded(
            f"{self._tokens} tokens of work are waiting, {why}and the queue holds {self._max_tokens}, some of it for "
            f"more urgent calls; try again in {seconds} s",
            retry_after_s=seconds,
        )


def _retry_s(wait_s: float) -> int:
    return min(max(math.ceil(wait_s), 1), _MAX_RETRY_S)


class ByteRoom:
    """Memory for requests' bodies, from their first byte until they are answered."""

    def __init__(self, max_bytes: int, wait_s: Callable[[], float] = lambda: 1.0):
        """`wait_s`: in which time what is held is answered."""
        self._max_bytes = max_bytes
        self._wait_s = wait_s
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        return self._bytes

    def check(self, count: int, mine: int = 0) -> None:
        """Overloaded when there is no room for `count` more; a body larger than all of it, of which `mine` bytes are
        here, is let in alone."""
        if self._bytes > mine and self._bytes + count > self._max_bytes:
            seconds = _retry_s(self._wait_s())
            raise Overloaded(
                f"requests of {self._bytes} bytes are being answered and {count} more would be over "
                f"{self._max_bytes} (max_waiting_bytes); try again in {seconds} s",
                retry_after_s=seconds,
            )

    def take(self, count: int, mine: int = 0) -> None:
        with self._lock:
            self.check(count, mine)
            self._bytes += count

    def give_back(self, count: int) -> None:
        with self._lock:
            self._bytes -= count


class HeldBytes:
    """What one request holds of the room, as its body grows."""

    def __init__(self, room: ByteRoom | None):
        self._room = room
        self._count = 0

    def check(self, count: int) -> None:
        """Overloaded when a body of `count` bytes would find no room now."""
        if self._room is not None:
            self._room.check(count - self._count, self._count)

    def grow_to(self, count: int) -> None:
        """Overloaded when there is no room for the rest."""
        if count > self._count:
            if self._room is not None:
                self._room.take(count - self._count, self._count)
            self._count = count

    def release(self) -> None:
        if self._room is not None:
            self._room.give_back(self._count)
        self._count = 0


class ClientRates:
    """Videos a second for each client: a bucket of `burst` that fills at `per_s`. A larger group waits for a full one.

    Clients that have been quiet long enough for a full bucket are forgotten.
    """

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic):
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # client -> (videos left, when)
        self._lock = threading.Lock()

    def take(self, client: str, videos: int) -> None:
        """RateLimited, with the time after which the same request passes."""
        with self._lock:
            now = self._clock()
            left, since = self._buckets.get(client, (float(self._burst), now))
            left = min(left + (now - since) * self._per_s, self._burst)
            missing = min(videos, self._burst) - left
            if missing > 0:
                seconds = math.ceil(missing / self._per_s)
                raise RateLimited(
                    f"{client} may send {self._per_s:g} videos a second, {self._burst} at once; try again in "
                    f"{seconds} s",
                    retry_after_s=seconds,
                )
            self._buckets[client] = left - videos, now
            if len(self._buckets) > 1024:
                self._buckets = {
                    key: (left, since)
                    for key, (left, since) in self._buckets.items()
                    if left + (now - since) * self._per_s < self._burst
                }
