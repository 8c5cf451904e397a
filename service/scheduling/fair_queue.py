"""Whose turn it is: classes of urgency by weight, and within a class every client alike.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) on two levels. Whoever was idle starts at the present
virtual time, so that a rare caller is served next, and nobody saves up credit; whoever is backlogged gets its share
and no class starves. Pure; costs are tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterable
from typing import Generic, TypeVar

from identity_reward_client.wire.headers import PRIORITIES, Priority

# of the model's tokens, while every class has work waiting
WEIGHTS: dict[Priority, int] = {"rollout": 90, "interactive": 9, "bulk": 1}
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class _Shares(Generic[K]):
    """Virtual start times of one level's members."""

    def __init__(self) -> None:
        self._now = 0.0
        self._starts: dict[K, float] = {}

    def enter(self, key: K) -> None:
        """Call when `key` begins to wait."""
        self._starts[key] = max(self._starts.get(key, 0.0), self._now)

    def first(self, waiting: Iterable[K]) -> K:
        """The earliest start; the first of equals."""
        return min(waiting, key=self._starts.__getitem__)

    def charge(self, key: K, cost: float) -> None:
        self._now = self._starts[key]
        self._starts[key] += cost

    def forget(self, waiting: Collection[K]) -> None:
        """Drops members that neither wait nor are ahead of the others; when nobody waits, all of them."""
        self._starts = {
            key: start for key, start in self._starts.items() if key in waiting or (waiting and start > self._now)
        }


class _Class(Generic[T]):
    def __init__(self) -> None:
        self.clients: dict[str, deque[tuple[T, float]]] = {}
        self.shares: _Shares[str] = _Shares()


class FairQueue(Generic[T]):
    """Items are compared by identity or equality of their own; an item is in the queue at most once."""

    def __init__(self) -> None:
        self._classes: dict[Priority, _Class[T]] = {priority: _Class() for priority in PRIORITIES}
        self._shares: _Shares[Priority] = _Shares()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, item: T, cost: float, priority: Priority, client: str) -> None:
        one = self._classes[priority]
        if not one.clients:
            self._shares.enter(priority)
        if client not in one.clients:
            one.clients[client] = deque()
            one.shares.enter(client)
        one.clients[client].append((item, cost))
        self._count += 1

    def peek(self) -> T:
        """What `pop` would give. IndexError when nothing waits."""
        priority, client = self._turn()
        return self._classes[priority].clients[client][0][0]

    def pop(self) -> T:
        priority, client = self._turn()
        one = self._classes[priority]
        item, cost = one.clients[client].popleft()
        self._shares.charge(priority, cost / WEIGHTS[priority])
        one.shares.charge(client, cost)
        self._left(one, client)
        return item

    def remove(self, item: T, priority: Priority, client: str) -> bool:
        """Takes an item out that nobody waits for any more; False when it is not here."""
        one = self._classes[priority]
        for entry in one.clients.get(client, ()):
            if entry[0] is item:
                one.clients[client].remove(entry)
                self._left(one, client)
                return True
        return False

    def drain(self) -> list[T]:
        """Everything, in turn; the queue is empty then."""
        return [self.pop() for _ in range(self._count)]

    def _turn(self) -> tuple[Priority, str]:
        if not self._count:
            raise IndexError("nothing waits")
        priority = self._shares.first(p for p in PRIORITIES if self._classes[p].clients)
        one = self._classes[priority]
        return priority, one.shares.first(one.clients)

    def _left(self, one: _Class[T], client: str) -> None:
        self._count -= 1
        if not one.clients[client]:
            del one.clients[client]
            one.shares.forget(one.clients)
            self._shares.forget([p for p in PRIORITIES if self._classes[p].clients])
