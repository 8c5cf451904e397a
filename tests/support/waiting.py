"""Waiting for conditions instead of sleeping. Limits are generous: they end a test that hangs, and measure nothing."""

import asyncio
import inspect
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

GENEROUS_S = 120.0
_POLL_S = 0.005

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    what: str = "the condition is true",
    timeout_s: float = GENEROUS_S,
    running: subprocess.Popen | None = None,
) -> T:
    """Return the first truthy value of `condition`; fail with `what` at the limit, or if the process `running` ends."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert running is None or running.poll() is None, running.stderr and running.stderr.read()
        assert time.monotonic() < deadline, f"after {timeout_s:g} s still not: {what}"
        time.sleep(_POLL_S)
    return value


async def until(
    condition: Callable[[], T | Awaitable[T]], what: str = "the condition is true", timeout_s: float = GENEROUS_S
) -> T:
    """As `wait_until`, while the event loop runs; `condition` may be a coroutine function."""
    deadline = time.monotonic() + timeout_s
    while True:
        value: Any = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"after {timeout_s:g} s still not: {what}"
        await asyncio.sleep(_POLL_S)
