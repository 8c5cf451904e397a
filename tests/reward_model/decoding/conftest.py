"""Pools of real worker processes, which end with the test."""

import pytest

from reward_model.decoding.pool import DecodePool


@pytest.fixture
def make_pool():
    made = []

    def make(workers=1, **options) -> DecodePool:
        made.append(DecodePool(workers, **options))
        made[-1].start()
        made[-1].wait_ready()
        return made[-1]

    yield make
    for pool in made:
        pool.close()
