import asyncio

import pytest

from identity_reward_client.errors import Conflict, Overloaded
from service.engine.idempotency import Idempotency


class Counted:
    """Work that ends when told to, and counts how often it was begun, ended and cancelled."""

    def __init__(self, error=None):
        self.begun = self.cancelled = 0
        self.go = asyncio.Event()
        self.error = error

    async def __call__(self):
        self.begun += 1
        number = self.begun
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        return number


async def test_a_repeat_joins_the_running_work_and_later_ones_get_its_answer():
    once, work = Idempotency(60), Counted()
    calls = [asyncio.create_task(once.run("me", "k", "content", work)) for _ in range(3)]
    await asyncio.sleep(0)
    work.go.set()
    assert await asyncio.gather(*calls) == [1, 1, 1]
    assert await once.run("me", "k", "content", work) == 1
    assert work.begun == 1


async def test_other_content_is_a_conflict_and_other_clients_keys_are_their_own():
    once, work = Idempotency(60), Counted()
    work.go.set()
    await once.run("me", "k", "content", work)
    with pytest.raises(Conflict, match="another request"):
        await once.run("me", "k", "other", work)
    assert await once.run("you", "k", "other", work) == 2


async def test_a_failure_is_not_repeated():
    once, work = Idempotency(60), Counted(Overloaded("full"))
    work.go.set()
    with pytest.raises(Overloaded):
        await once.run("me", "k", "content", work)
    work.error = None
    assert await once.run("me", "k", "content", work) == 2


async def test_one_who_leaves_does_not_take_the_work_from_the_other():
    once, work = Idempotency(60), Counted()
    first, second = (asyncio.create_task(once.run("me", "k", "content", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    work.go.set()
    assert await second == 1
    assert work.cancelled == 0


async def test_when_all_have_left_the_work_ends_and_a_repeat_begins_anew():
    once, work = Idempotency(60), Counted()
    first = asyncio.create_task(once.run("me", "k", "content", work))
    await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    again = asyncio.create_task(once.run("me", "k", "content", work))
    await asyncio.sleep(0.01)
    assert (work.begun, work.cancelled) == (2, 1)
    work.go.set()
    assert await again == 2
    assert len(once) == 1


async def test_answers_are_kept_for_their_lifetime():
    once, work = Idempotency(0.01), Counted()
    work.go.set()
    await once.run("me", "k", "content", work)
    await asyncio.sleep(0.02)
    assert await once.run("me", "k", "other", work) == 2


async def test_the_number_of_kept_answers_is_bounded():
    once, work = Idempotency(60), Counted()
    work.go.set()
    for number in range(5000):
        await once.run("me", str(number), "content", work)
    assert len(once) <= 1024
