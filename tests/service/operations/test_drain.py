import asyncio
from contextlib import suppress

import pytest

from identity_reward_client.errors import NotReady
from service.operations.drain import InFlight


async def test_a_drain_waits_for_earlier_requests_and_not_for_later_ones():
    """A crowd of five callers never pauses, so that at every moment some request is running."""
    in_flight = InFlight()
    release, draining = asyncio.Event(), asyncio.Event()
    refused = 0

    async def early() -> str:
        async with in_flight.limited(60):
            await release.wait()
        return "answered"

    async def late():
        nonlocal refused
        while True:
            with suppress(NotReady):
                async with in_flight.limited(60):
                    await asyncio.sleep(0)
            if draining.is_set():
                refused += 1

    answer = asyncio.create_task(early())
    await asyncio.sleep(0)
    drain = asyncio.create_task(in_flight.drained(60))
    await asyncio.sleep(0)
    draining.set()
    crowd = [asyncio.create_task(late()) for _ in range(5)]
    while refused < 20:
        await asyncio.sleep(0)
        assert not drain.done()
    release.set()
    async with asyncio.timeout(30):  # far below the drain's own limit
        await drain
    assert await answer == "answered"
    for task in crowd:
        task.cancel()


async def test_requests_that_outlast_the_drain_are_not_ready():
    in_flight = InFlight()

    async def hang():
        async with in_flight.limited(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await in_flight.drained(0.1)
        with pytest.raises(NotReady):
            await task


async def test_a_requests_own_limit_is_a_timeout_even_during_a_drain():
    in_flight = InFlight()

    async def hang():
        async with in_flight.limited(0.05):
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    drain = asyncio.create_task(in_flight.drained(60))
    with pytest.raises(TimeoutError):
        await task
    await drain


async def test_without_requests_a_drain_returns_at_once():
    async with asyncio.timeout(30):
        await InFlight().drained(60)
