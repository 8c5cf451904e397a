import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_reward_client.errors import InvalidRequest, Overloaded, ScoringFailed
from identity_reward_client.transports.retry import RetryPolicy


class World:
    """A clock that only sleeping advances, and an attempt that fails with the given errors."""

    def __init__(self, *errors):
        self.errors, self.attempts, self.now, self.slept = list(errors), 0, 0.0, []

    async def attempt(self):
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def run(self, policy, uniform=lambda: 1.0):
        return policy.run(self.attempt, clock=lambda: self.now, sleep=self.sleep, uniform=uniform)


async def test_waits_double_up_to_the_maximum():
    world = World(*[Overloaded("busy")] * 5)
    assert await world.run(RetryPolicy(max_attempts=6, base_s=1, max_delay_s=5)) == "done"
    assert world.slept == [1, 2, 4, 5, 5]


async def test_error_of_the_last_attempt_is_raised():
    last = Overloaded("third")
    world = World(Overloaded("first"), Overloaded("second"), last)
    with pytest.raises(Overloaded) as caught:
        await world.run(RetryPolicy(max_attempts=3))
    assert caught.value is last
    assert world.attempts == 3


@pytest.mark.parametrize("error", [InvalidRequest("no"), ScoringFailed("no"), ValueError("no")], ids=repr)
async def test_error_that_is_not_retryable_is_raised_at_once(error):
    world = World(error)
    with pytest.raises(type(error)):
        await world.run(RetryPolicy())
    assert (world.attempts, world.slept) == (1, [])


async def test_jitter_is_added_to_retry_after():
    world = World(Overloaded("busy", retry_after_s=30))
    await world.run(RetryPolicy(base_s=2), uniform=lambda: 0.5)
    assert world.slept == [31]


async def test_no_attempt_starts_after_the_deadline():
    world = World(*[Overloaded("busy", retry_after_s=4)] * 9)
    with pytest.raises(Overloaded):
        await world.run(RetryPolicy(max_attempts=99, base_s=0, deadline_s=10))
    assert world.slept == [4, 4]


async def test_retry_after_beyond_the_deadline_gives_up():
    world = World(Overloaded("busy", retry_after_s=1000))
    with pytest.raises(Overloaded):
        await world.run(RetryPolicy(deadline_s=10))
    assert world.slept == []


@given(failures=st.integers(1, 10_000), uniform=st.floats(0, 1), elapsed=st.floats(0, 1e6))
def test_delay_is_within_its_bounds_or_none(failures, uniform, elapsed):
    policy = RetryPolicy(max_attempts=10_000)
    delay = policy.delay_s(failures, Overloaded("busy"), elapsed, lambda: uniform)
    if delay is not None:
        assert 0 <= delay <= policy.max_delay_s
        assert elapsed + delay <= policy.deadline_s
        assert failures < policy.max_attempts


@pytest.mark.parametrize("fields", [{"max_attempts": 0}, {"base_s": -1}, {"deadline_s": -1}], ids=str)
def test_impossible_policies_are_refused(fields):
    with pytest.raises(ValueError, match="negative"):
        RetryPolicy(**fields)
