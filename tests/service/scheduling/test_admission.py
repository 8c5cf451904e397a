import time
from contextlib import ExitStack

import pytest

from identity_reward_client.errors import Overloaded
from service.scheduling.admission import Admission
from service.scheduling.call import Call
from service.scheduling.throughput import Throughput


def call(client="a", priority="interactive", within_s=1000.0) -> Call:
    return Call(client=client, priority=priority, deadline=time.monotonic() + within_s)


def fill(stack, admission, caller, step=10) -> int:
    """Admit `caller` in steps until it is refused; returns the tokens that it holds."""
    held = 0
    try:
        while held < 10_000:
            stack.enter_context(admission.admit(caller, step))
            held += step
    except Overloaded:
        return held
    return held


def test_capacity_is_released_after_success_and_after_errors():
    admission = Admission(100)
    with admission.admit(call(), 30):
        assert admission.tokens == admission.waiting_tokens("interactive") == 30
    with pytest.raises(ValueError, match="x"), admission.admit(call(), 30):
        raise ValueError("x")
    assert admission.tokens == admission.waiting_tokens("interactive") == 0
    assert not admission._by_caller


@pytest.mark.parametrize(("priority", "capacity"), [("rollout", 900), ("interactive", 675), ("bulk", 450)])
def test_a_single_caller_leaves_capacity_for_another_client(priority, capacity):
    admission = Admission(900)
    with ExitStack() as stack:
        assert fill(stack, admission, call("greedy", priority), 5) == pytest.approx(capacity * 8 / 9, abs=10)
        assert fill(stack, admission, call("newcomer", priority)) > 0


def test_rollouts_find_capacity_however_many_less_urgent_callers_there_are():
    admission = Admission(900)
    with ExitStack() as stack:
        for number in range(50):
            fill(stack, admission, call(f"bulk {number}", "bulk"))
        assert admission.tokens == 450
        for number in range(50):
            fill(stack, admission, call(f"person {number}"))
        assert admission.tokens == 670
        assert fill(stack, admission, call("trainer", "rollout")) >= 200


def test_a_request_over_the_whole_capacity_is_served_alone():
    admission = Admission(100)
    with admission.admit(call(), 500), pytest.raises(Overloaded), admission.admit(call("b"), 1):
        pass
    with admission.admit(call(), 1), pytest.raises(Overloaded), admission.admit(call("b"), 500):
        pass


def test_retry_after_follows_the_measured_throughput():
    throughput = Throughput(tokens_per_s=10)
    admission = Admission(100, throughput)
    with admission.admit(call(), 75):
        with pytest.raises(Overloaded) as caught, admission.admit(call("b", "rollout"), 75):
            pass
        assert caught.value.retry_after_s == 5
        with pytest.raises(Overloaded) as caught, admission.admit(call("b", "rollout"), 100_000):
            pass
        assert caught.value.retry_after_s == 60
        for _ in range(100):
            throughput.record(1000, 1.0)
        with pytest.raises(Overloaded) as caught, admission.admit(call("b", "rollout"), 75):
            pass
        assert caught.value.retry_after_s == 1


def test_a_request_that_would_miss_its_deadline_is_refused_at_once():
    admission = Admission(1000, Throughput(tokens_per_s=10))
    with admission.admit(call("a", "interactive"), 500):  # 50 s of work
        with (
            pytest.raises(Overloaded, match="before this request's deadline") as caught,
            admission.admit(call("b", within_s=20), 1),
        ):
            pass
        assert caught.value.retry_after_s == pytest.approx(43, abs=2), "a quarter is added to the 50 s"
        with pytest.raises(Overloaded, match="before this request's deadline"):
            admission.check_capacity(call("b", within_s=20))
        with admission.admit(call("b", within_s=70), 1):
            pass
        with admission.admit(call("trainer", "rollout", within_s=20), 1):
            pass  # less urgent tasks don't delay it


def test_a_full_queue_is_reported_before_a_body_is_read():
    admission = Admission(100)
    admission.check_capacity(call("b", "bulk"))
    with admission.admit(call(), 75):
        admission.check_capacity(call("b", "rollout"))
        for priority in ("interactive", "bulk"):
            with pytest.raises(Overloaded):
                admission.check_capacity(call("b", priority))
    admission.check_capacity(call("b", "bulk"))
