"""Responses by idempotency key: repeats of a call join its computation or get its response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from identity_reward_client.errors import Conflict

T = TypeVar("T")
_MAX_ENTRIES = 1024


@dataclass(eq=False)
class _Entry:
    digest: str
    task: asyncio.Task[Any]
    expires_at: float
    num_waiting: int = 0


class Idempotency:
    """Runs a computation once per client and key, for one event loop.

    A failed computation is forgotten, so that a retry runs it again. One that nobody waits for any more is cancelled.
    A dict rather than cachetools.TTLCache, which may evict a computation that still runs.
    """

    def __init__(self, lifetime_s: float):
        self._lifetime_s = lifetime_s
        # in order of arrival
        self._entries: dict[tuple[str, str], _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    async def run(self, client: str, key: str, digest: str, compute: Callable[[], Awaitable[T]]) -> T:
        """The result of `compute`, or of this client's earlier call with the key. Conflict if its digest differs."""
        self._drop_expired()
        entry = self._entries.get((client, key))
        if entry is not None and entry.digest != digest:
            raise Conflict(
                "this Idempotency-Key was used for another request; a key is for one request and its repeats"
            )
        if entry is None:
            task = asyncio.ensure_future(compute())
            entry = self._entries[client, key] = _Entry(digest, task, time.monotonic() + self._lifetime_s)
            task.add_done_callback(lambda task: self._on_done(client, key, task))
        entry.num_waiting += 1
        try:
            return await asyncio.shield(entry.task)
        finally:
            entry.num_waiting -= 1
            if not entry.num_waiting and not entry.task.done():
                entry.task.cancel()
                self._drop(client, key, entry.task)  # at once: the next repeat must not join a cancelled task

    def _on_done(self, client: str, key: str, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._drop(client, key, task)

    def _drop(self, client: str, key: str, task: asyncio.Task[Any]) -> None:
        entry = self._entries.get((client, key))
        if entry is not None and entry.task is task:
            del self._entries[client, key]

    def _drop_expired(self) -> None:
        now = time.monotonic()
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            if not oldest.task.done() or (oldest.expires_at > now and len(self._entries) < _MAX_ENTRIES):
                return
            del self._entries[key]
