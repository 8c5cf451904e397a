"""A factory of pools with real worker processes; pools are closed after the test."""

import pytest

from reward_model.decoding.pool import DecodePool


@pytest.fixture
def make_pool():
    pools = []

    def make(workers=1, **options) -> DecodePool:
        pools.append(DecodePool(workers, **options))
        pools[-1].start()
        pools[-1].wait_ready()
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()
