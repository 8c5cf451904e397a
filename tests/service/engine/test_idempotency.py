import asyncio

import pytest

from identity_reward_client.errors import Conflict, Overloaded
from service.engine.idempotency import Idempotency
from tests.service.scheduling.tasks import FakeClock
from tests.support.waiting import until


class Computation:
    """Ends when `may_end` is set, and counts how often it was started and cancelled."""

    def __init__(self, error=None):
        self.num_started = self.num_cancelled = 0
        self.may_end = asyncio.Event()
        self.error = error

    async def __call__(self):
        self.num_started += 1
        number = self.num_started
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        if self.error:
            raise self.error
        return number


async def test_repeats_join_the_running_computation_and_later_ones_get_its_result():
    idempotency, compute = Idempotency(60), Computation()
    calls = [asyncio.create_task(idempotency.run("me", "k", "content", compute)) for _ in range(3)]
    await asyncio.sleep(0)
    compute.may_end.set()
    assert await asyncio.gather(*calls) == [1, 1, 1]
    assert await idempotency.run("me", "k", "content", compute) == 1
    assert compute.num_started == 1


async def test_other_content_is_a_conflict_and_clients_have_their_own_keys():
    idempotency, compute = Idempotency(60), Computation()
    compute.may_end.set()
    await idempotency.run("me", "k", "content", compute)
    with pytest.raises(Conflict, match="another request"):
        await idempotency.run("me", "k", "other", compute)
    assert await idempotency.run("you", "k", "other", compute) == 2


async def test_an_error_is_not_cached():
    idempotency, compute = Idempotency(60), Computation(Overloaded("full"))
    compute.may_end.set()
    with pytest.raises(Overloaded):
        await idempotency.run("me", "k", "content", compute)
    compute.error = None
    assert await idempotency.run("me", "k", "content", compute) == 2


async def test_a_cancelled_call_does_not_cancel_the_computation_of_another():
    idempotency, compute = Idempotency(60), Computation()
    first, second = (asyncio.create_task(idempotency.run("me", "k", "content", compute)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    compute.may_end.set()
    assert await second == 1
    assert compute.num_cancelled == 0


async def test_the_computation_is_cancelled_with_its_last_call_and_a_repeat_starts_again():
    idempotency, compute = Idempotency(60), Computation()
    first = asyncio.create_task(idempotency.run("me", "k", "content", compute))
    await until(lambda: compute.num_started == 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    again = asyncio.create_task(idempotency.run("me", "k", "content", compute))
    await until(lambda: compute.num_started == 2)
    assert (compute.num_started, compute.num_cancelled) == (2, 1)
    compute.may_end.set()
    assert await again == 2
    assert len(idempotency) == 1


async def test_results_are_kept_for_their_lifetime(monkeypatch):
    clock = FakeClock(monkeypatch, "service.engine.idempotency")
    idempotency, compute = Idempotency(60), Computation()
    compute.may_end.set()
    await idempotency.run("me", "k", "content", compute)
    clock.now += 59
    assert await idempotency.run("me", "k", "content", compute) == 1
    clock.now += 2
    assert await idempotency.run("me", "k", "other", compute) == 2


async def test_the_number_of_results_is_bounded():
    idempotency, compute = Idempotency(60), Computation()
    compute.may_end.set()
    for number in range(5000):
        await idempotency.run("me", str(number), "content", compute)
    assert len(idempotency) <= 1024
