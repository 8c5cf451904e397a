"""Weighted fair queue over priority classes, and equal shares for the clients of a class.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) on two levels. A member that was idle starts at the
current virtual time: a rare caller is served next, and idle clients accumulate no credit. Every backlogged class gets
its share, so none starves. Costs are tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterable
from typing import Generic, TypeVar

from identity_reward_client.wire.headers import PRIORITIES, Priority

# shares of the model's tokens while every class is backlogged
WEIGHTS: dict[Priority, int] = {"rollout": 90, "interactive": 9, "bulk": 1}
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class _VirtualClock(Generic[K]):
    """Virtual start times of the members of one level."""

    def __init__(self) -> None:
        self._now = 0.0
        self._starts: dict[K, float] = {}

    def enter(self, key: K) -> None:
        """Add a member that becomes backlogged."""
        self._starts[key] = max(self._starts.get(key, 0.0), self._now)

    def first(self, backlogged: Iterable[K]) -> K:
        """The member with the earliest start; the first of equals."""
        return min(backlogged, key=self._starts.__getitem__)

    def charge(self, key: K, cost: float) -> None:
        """Serve a member: advance the virtual time to its start, and its start by the cost."""
        self._now = self._starts[key]
        self._starts[key] += cost

    def forget(self, backlogged: Collection[K]) -> None:
        """Drop idle members that aren't ahead of the virtual time; drop all when none is backlogged."""
        self._starts = {
            key: start for key, start in self._starts.items() if key in backlogged or (backlogged and start > self._now)
        }


class _PriorityClass(Generic[T]):
    """Backlogged clients of one class, each with its items and their costs in order of arrival."""

    def __init__(self) -> None:
        self.backlog: dict[str, deque[tuple[T, float]]] = {}
        self.clock: _VirtualClock[str] = _VirtualClock()


class FairQueue(Generic[T]):
    """Queue of items with a cost, a priority class and a client. An item is in it at most once."""

    def __init__(self) -> None:
        self._classes: dict[Priority, _PriorityClass[T]] = {priority: _PriorityClass() for priority in PRIORITIES}
        self._clock: _VirtualClock[Priority] = _VirtualClock()
        self._len = 0

    def __len__(self) -> int:
        return self._len

    def push(self, item: T, cost: float, priority: Priority, client: str) -> None:
        """Add an item behind the others of its client."""
        members = self._classes[priority]
        if not members.backlog:
            self._clock.enter(priority)
        if client not in members.backlog:
            members.backlog[client] = deque()
            members.clock.enter(client)
        members.backlog[client].append((item, cost))
        self._len += 1

    def peek(self) -> T:
        """The item that `pop` would return. IndexError when empty."""
        priority, client = self._next()
        return self._classes[priority].backlog[client][0][0]

    def pop(self) -> T:
        """Remove and return the next item. IndexError when empty."""
        priority, client = self._next()
        members = self._classes[priority]
        item, cost = members.backlog[client].popleft()
        self._clock.charge(priority, cost / WEIGHTS[priority])
        members.clock.charge(client, cost)
        self._removed(members, client)
        return item

    def remove(self, item: T, priority: Priority, client: str) -> bool:
        """Remove a cancelled item without charging for it; returns whether it was in the queue."""
        members = self._classes[priority]
        for entry in members.backlog.get(client, ()):
            if entry[0] is item:
                members.backlog[client].remove(entry)
                self._removed(members, client)
                return True
        return False

    def drain(self) -> list[T]:
        """Remove and return all items in their order."""
        return [self.pop() for _ in range(self._len)]

    def _next(self) -> tuple[Priority, str]:
        if not self._len:
            raise IndexError("the queue is empty")
        priority = self._clock.first(p for p in PRIORITIES if self._classes[p].backlog)
        members = self._classes[priority]
        return priority, members.clock.first(members.backlog)

    def _removed(self, members: _PriorityClass[T], client: str) -> None:
        self._len -= 1
        if not members.backlog[client]:
            del members.backlog[client]
            members.clock.forget(members.backlog)
            self._clock.forget([p for p in PRIORITIES if self._classes[p].backlog])
