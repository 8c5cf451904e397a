import numpy as np
import pytest

from identity_reward_client.errors import LimitExceeded, ReferenceSetNotFound
from reward_model.types import ReferenceSet
from service.media.reference_store import ReferenceStore

A, B, C = (("sha256:" + name, "upright") for name in "abc")


def a_set(value: int) -> ReferenceSet:
    return ReferenceSet((np.full((10, 10, 3), value, np.uint8),))


def test_the_least_recently_used_set_is_evicted():
    store = ReferenceStore(2 * 300)
    store.put(A, a_set(1))
    store.put(B, a_set(2))
    store.get(A)
    store.put(C, a_set(3))
    assert store.get(A).images[0][0, 0, 0] == 1
    assert store.get(C).images[0][0, 0, 0] == 3
    with pytest.raises(ReferenceSetNotFound, match="PUT its images"):
        store.get(B)


def test_a_set_larger_than_the_store_is_refused_and_evicts_nothing():
    store = ReferenceStore(400)
    store.put(A, a_set(1))
    with pytest.raises(LimitExceeded, match="600 bytes"):
        store.put(B, ReferenceSet(a_set(1).images * 2))
    assert store.get(A)


def test_a_set_that_is_stored_twice_counts_once():
    store = ReferenceStore(600)
    for _ in range(5):
        store.put(A, a_set(1))
    store.put(B, a_set(2))
    assert store.get(A)
    assert store.get(B)
