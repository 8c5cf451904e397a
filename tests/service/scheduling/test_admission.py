import time
from contextlib import ExitStack

import pytest

from identity_reward_client.errors import Overloaded, RateLimited
from service.scheduling.admission import Admission, ByteRoom, ClientRates, Drain
from service.scheduling.call import Call


def call(client="a", priority="interactive", within_s=1000.0) -> Call:
    return Call(client=client, priority=priority, deadline=time.monotonic() + within_s)


def fill(stack, admission, caller, step=10) -> int:
    """How many tokens `caller` gets, in steps."""
    got = 0
    try:
        while got < 10_000:
            stack.enter_context(admission.admit(caller, step))
            got += step
    except Overloaded:
        return got
    return got


def test_room_is_given_back_whatever_happens():
    admission = Admission(100)
    with admission.admit(call(), 30):
        assert admission.tokens == admission.waiting("interactive") == 30
    with pytest.raises(ValueError, match="x"), admission.admit(call(), 30):
        raise ValueError("x")
    assert admission.tokens == admission.waiting("interactive") == 0
    assert not admission._by_caller


@pytest.mark.parametrize(("priority", "room"), [("rollout", 900), ("interactive", 675), ("bulk", 450)])
def test_a_caller_alone_leaves_room_for_a_newcomer(priority, room):
    admission = Admission(900)
    with ExitStack() as stack:
        assert fill(stack, admission, call("greedy", priority), 5) == pytest.approx(room * 8 / 9, abs=10)
        assert fill(stack, admission, call("newcomer", priority)) > 0


def test_however_many_others_there_are_rollouts_find_room():
    admission = Admission(900)
    with ExitStack() as stack:
        for number in range(50):
            fill(stack, admission, call(f"bulk {number}", "bulk"))
        assert admission.tokens == 450
        for number in range(50):
            fill(stack, admission, call(f"person {number}"))
        assert admission.tokens == 670
        assert fill(stack, admission, call("trainer", "rollout")) >= 200


def test_a_request_over_the_whole_room_is_served_alone():
    admission = Admission(100)
    with admission.admit(call(), 500), pytest.raises(Overloaded), admission.admit(call("b"), 1):
        pass
    with admission.admit(call(), 1), pytest.raises(Overloaded), admission.admit(call("b"), 500):
        pass


def test_overload_says_when_to_come_back_by_the_measured_rate():
    drain = Drain(tokens_per_s=10)
    admission = Admission(100, drain)
    with admission.admit(call(), 75):
        with pytest.raises(Overloaded) as caught, admission.admit(call("b", "rollout"), 75):
            pass
        assert caught.value.retry_after_s == 5
        with pytest.raises(Overloaded) as caught, admission.admit(call("b", "rollout"), 100_000):
            pass
        assert caught.value.retry_after_s == 60
        for _ in range(100):
            drain.worked(1000, 1.0)
        with pytest.raises(Overloaded) as caught, admission.admit(call("b", "rollout"), 75):
            pass
        assert caught.value.retry_after_s == 1


def test_who_would_be_answered_too_late_is_told_at_once():
    admission = Admission(1000, Drain(tokens_per_s=10))
    with admission.admit(call("a", "interactive"), 500):  # 50 s of work
        with (
            pytest.raises(Overloaded, match="in the time that is left") as caught,
            admission.admit(call("b", within_s=20), 1),
        ):
            pass
        assert caught.value.retry_after_s == pytest.approx(43, abs=2), "a quarter is added to the 50 s"
        with pytest.raises(Overloaded, match="in the time that is left"):
            admission.check_room(call("b", within_s=20))
        with admission.admit(call("b", within_s=70), 1):
            pass
        with admission.admit(call("trainer", "rollout", within_s=20), 1):
            pass  # it does not wait for those


def test_a_full_room_is_known_before_a_body_is_read():
    admission = Admission(100)
    admission.check_room(call("b", "bulk"))
    with admission.admit(call(), 75):
        admission.check_room(call("b", "rollout"))
        for priority in ("interactive", "bulk"):
            with pytest.raises(Overloaded):
                admission.check_room(call("b", priority))
    admission.check_room(call("b", "bulk"))


def test_the_drain_follows_the_work():
    drain = Drain(tokens_per_s=1_000_000, window_s=10)
    for _ in range(3):
        drain.worked(500, 1.0)
    assert drain.tokens_per_s < 400_000
    for _ in range(100):
        drain.worked(500, 1.0)
    assert drain.tokens_per_s == pytest.approx(500, rel=0.05)


def test_bytes_are_bounded_and_one_large_body_may_be_alone():
    room = ByteRoom(100, lambda: 7.2)
    room.take(500)
    with pytest.raises(Overloaded, match="max_waiting_bytes") as caught:
        room.take(1)
    assert caught.value.retry_after_s == 8
    room.give_back(500)
    room.take(60)
    room.take(40)
    assert room.bytes == 100


def test_rates_are_a_bucket_for_each_client():
    now = [0.0]
    rates = ClientRates(2.0, 10, lambda: now[0])
    rates.take("a", 8)
    rates.take("b", 10)
    with pytest.raises(RateLimited, match="a may send 2 videos a second") as caught:
        rates.take("a", 8)
    assert caught.value.retry_after_s == 3
    now[0] += 3
    rates.take("a", 8)


def test_a_group_over_the_burst_takes_a_full_bucket_and_its_debt_is_paid():
    now = [0.0]
    rates = ClientRates(1.0, 10, lambda: now[0])
    rates.take("a", 30)
    with pytest.raises(RateLimited) as caught:
        rates.take("a", 1)
    assert caught.value.retry_after_s == 21


def test_quiet_clients_are_forgotten():
    now = [0.0]
    rates = ClientRates(1.0, 10, lambda: now[0])
    for number in range(5000):
        now[0] += 1.0
        rates.take(f"client {number}", 1)
    assert len(rates._buckets) <= 1025


def test_a_debt_outlasts_a_crowd_of_other_clients():
    now = [0.0]
    rates = ClientRates(1.0, 10, lambda: now[0])
    rates.take("a", 64)
    now[0] += 20
    for number in range(1100):
        rates.take(f"client {number}", 1)
    with pytest.raises(RateLimited):
        rates.take("a", 1)
