import asyncio
import time
from contextlib import suppress

import pytest

from identity_reward_client.errors import NotReady
from service.operations.drain import InFlight


async def test_a_drain_waits_for_what_came_before_it_and_not_for_the_crowd_that_comes():
    in_flight = InFlight()
    crowd_is_there = True
    answered = []

    async def taken():
        async with in_flight.limited(10):
            await asyncio.sleep(0.2)
        answered.append(True)

    async def crowd(number: int):
        await asyncio.sleep(0.005 * number)
        while crowd_is_there:
            with suppress(NotReady):
                async with in_flight.limited(10):
                    await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(taken()), *(asyncio.create_task(crowd(number)) for number in range(5))]
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await in_flight.drained(5)
    assert answered
    assert time.monotonic() - began < 2
    crowd_is_there = False
    await asyncio.gather(*tasks)


async def test_what_is_not_done_when_the_drain_ends_is_told_so():
    in_flight = InFlight()

    async def slow():
        async with in_flight.limited(10):
            await asyncio.sleep(10)

    task = asyncio.create_task(slow())
    await asyncio.sleep(0.01)
    await in_flight.drained(0.1)
    with pytest.raises(NotReady):
        await task
