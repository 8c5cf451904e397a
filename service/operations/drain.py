"""Shutdown without losses: running requests are answered, new ones are refused with Retry-After."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from ..errors import stopping_error


class InFlight:
    """Running requests, each with a time limit, which a drain shortens. Belongs to one event loop.

    A drain does not wait for requests that begin during it: under constant traffic there is always another.
    """

    def __init__(self) -> None:
        self._timers: set[asyncio.Timeout] = set()
        self._drain_ends_at: float | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def limited(self, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError after `seconds`, or NotReady when a drain ends the request earlier."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        timer = asyncio.timeout_at(ends_at if self._drain_ends_at is None else min(ends_at, self._drain_ends_at))
        if self._drain_ends_at is None:
            self._timers.add(timer)
            self._idle.clear()
        try:
            async with timer:
                yield
        except TimeoutError:
            if timer.expired() and loop.time() < ends_at:
                raise stopping_error() from None
            raise
        finally:
            self._timers.discard(timer)
            if not self._timers:
                self._idle.set()

    async def drained(self, timeout_s: float) -> None:
        """Returns when every request from before the drain has ended; after `timeout_s` they are cancelled."""
        self._drain_ends_at = asyncio.get_running_loop().time() + timeout_s
        for timer in self._timers:
            ends_at = timer.when()
            if ends_at is not None and ends_at > self._drain_ends_at and not timer.expired():
                timer.reschedule(self._drain_ends_at)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s + 1)


def on_stop_signal(drain: Callable[[], Awaitable[None]]) -> None:
    """On SIGTERM or SIGINT, runs `drain` first and the previously installed handler after it.

    During the drain the port still answers: readiness is false and new work is refused with a time to try again. A
    second signal skips the drain. Call this in the event loop, after the server has installed its handlers.
    """
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    draining: list[asyncio.Task[None]] = []

    def end(number: int) -> None:
        handler = previous[signal.Signals(number)]
        if callable(handler):
            handler(number, None)

    async def drain_then_end(number: int) -> None:
        try:
            await drain()
        finally:
            end(number)

    def begin(number: int) -> None:
        if draining:
            end(number)
        else:
            draining.append(loop.create_task(drain_then_end(number)))

    def on_signal(number: int, _: object) -> None:
        loop.call_soon_threadsafe(begin, number)

    for number in previous:
        signal.signal(number, on_signal)
