"""Waiting for conditions in tests of an event loop."""

import asyncio
import time
from collections.abc import Callable

LIMIT_S = 60.0


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        await asyncio.sleep(0.005)
