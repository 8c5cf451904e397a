"""The same key and content: one run of the work, the same answer for everybody who asks."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from identity_reward_client.errors import Conflict

T = TypeVar("T")
_MAX_ANSWERS = 1024


@dataclass(eq=False)
class _Entry:
    content: str
    task: asyncio.Task[Any]
    ends_at: float
    waiters: int = 0


class Idempotency:
    """Used from one event loop. A work that fails is forgotten, so that a retry runs it again; one that everybody who
    waited for has left is cancelled."""

    def __init__(self, lifetime_s: float):
        self._lifetime_s = lifetime_s
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def run(self, client: str, key: str, content: str, work: Callable[[], Awaitable[T]]) -> T:
        """`work`'s answer, or that of the same client's earlier call with this key. Conflict if its content differs."""
        self._forget_old()
        entry = self._entries.get((client, key))
        if entry is not None and entry.content != content:
            raise Conflict("this Idempotency-Key stands for another request; a key is for one request and its repeats")
        if entry is None:
            task = asyncio.ensure_future(work())
            entry = self._entries[client, key] = _Entry(content, task, time.monotonic() + self._lifetime_s)
            task.add_done_callback(lambda task: self._done(client, key, task))
        entry.waiters += 1
        try:
            return await asyncio.shield(entry.task)
        finally:
            entry.waiters -= 1
            if not entry.waiters and not entry.task.done():
                entry.task.cancel()
                self._drop(client, key, entry.task)  # now: a repeat that comes next must not join what is ending

    def _done(self, client: str, key: str, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._drop(client, key, task)

    def _drop(self, client: str, key: str, task: asyncio.Task[Any]) -> None:
        entry = self._entries.get((client, key))
        if entry is not None and entry.task is task:
            del self._entries[client, key]

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            if not oldest.task.done() or (oldest.ends_at > now and len(self._entries) < _MAX_ANSWERS):
                return
            del self._entries[key]
