"""Stopping without losing anything: what was taken is answered, what comes is told to come back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from ..errors import stopping


class InFlight:
    """Requests that are being answered, each with a time limit, which a drain brings forward. For one event loop.

    Those that come during a drain are refused at once and not waited for: a crowd of them never ends.
    """

    def __init__(self) -> None:
        self._timers: set[asyncio.Timeout] = set()
        self._ends_at: float | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def limited(self, seconds: float) -> AsyncIterator[None]:
        """TimeoutError after `seconds`; NotReady where a drain ended it earlier."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        timer = asyncio.timeout_at(ends_at if self._ends_at is None else min(ends_at, self._ends_at))
        if self._ends_at is None:
            self._timers.add(timer)
            self._idle.clear()
        try:
            async with timer:
                yield
        except TimeoutError:
            if timer.expired() and loop.time() < ends_at:
                raise stopping() from None
            raise
        finally:
            self._timers.discard(timer)
            if not self._timers:
                self._idle.set()

    async def drained(self, within_s: float) -> None:
        """Returns when nothing of before is in flight any more; what still is after `within_s` is ended."""
        self._ends_at = asyncio.get_running_loop().time() + within_s
        for timer in self._timers:
            ends_at = timer.when()
            if ends_at is not None and ends_at > self._ends_at and not timer.expired():
                timer.reschedule(self._ends_at)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), within_s + 1)


def on_stop_signal(drain: Callable[[], Awaitable[None]]) -> None:
    """`drain` runs when the process is told to stop; only when it is done, the handler that was there before does.

    So the port goes on answering during the drain: readiness says no, new work is refused with a time to come back.
    A second signal does not wait. To be called in the event loop, after the server has installed its handlers.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    draining: list[asyncio.Task[None]] = []

    def end(number: int) -> None:
        handler = before[signal.Signals(number)]
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

    for number in before:
        signal.signal(number, on_signal)
