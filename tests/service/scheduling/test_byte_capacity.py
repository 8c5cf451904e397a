import pytest

from identity_reward_client.errors import Overloaded
from service.scheduling.byte_capacity import ByteCapacity, HeldBytes


def test_bytes_are_bounded_and_one_large_body_may_be_alone():
    capacity = ByteCapacity(100, lambda: 7.2)
    capacity.take(500)
    with pytest.raises(Overloaded, match="max_waiting_bytes") as caught:
        capacity.take(1)
    assert caught.value.retry_after_s == 8
    capacity.release(500)
    capacity.take(60)
    capacity.take(40)
    assert capacity.bytes == 100


def test_a_growing_body_holds_what_has_arrived_until_its_release():
    capacity = ByteCapacity(100)
    capacity.take(50)
    body = HeldBytes(capacity)
    with pytest.raises(Overloaded):
        body.check(60)
    body.grow_to(20)
    body.grow_to(50)
    assert capacity.bytes == 100
    with pytest.raises(Overloaded):
        body.grow_to(51)
    body.release()
    assert capacity.bytes == 50
