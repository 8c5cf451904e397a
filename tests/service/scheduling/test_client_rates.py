import pytest

from identity_reward_client.errors import RateLimited
from service.scheduling.client_rates import ClientRates


def test_each_client_has_a_token_bucket():
    now = [0.0]
    rates = ClientRates(2.0, 10, lambda: now[0])
    rates.take("a", 8)
    rates.take("b", 10)
    with pytest.raises(RateLimited, match="a may send 2 videos a second") as caught:
        rates.take("a", 8)
    assert caught.value.retry_after_s == 3
    now[0] += 3
    rates.take("a", 8)


def test_a_group_over_the_burst_needs_a_full_bucket_and_overdraws_it():
    now = [0.0]
    rates = ClientRates(1.0, 10, lambda: now[0])
    rates.take("a", 30)
    with pytest.raises(RateLimited) as caught:
        rates.take("a", 1)
    assert caught.value.retry_after_s == 21


def test_full_buckets_are_dropped():
    now = [0.0]
    rates = ClientRates(1.0, 10, lambda: now[0])
    for number in range(5000):
        now[0] += 1.0
        rates.take(f"client {number}", 1)
    assert len(rates._buckets) <= 1025


def test_an_overdrawn_bucket_is_kept_while_full_ones_are_dropped():
    now = [0.0]
    rates = ClientRates(1.0, 10, lambda: now[0])
    rates.take("a", 64)
    now[0] += 20
    for number in range(1100):
        rates.take(f"client {number}", 1)
    with pytest.raises(RateLimited):
        rates.take("a", 1)
