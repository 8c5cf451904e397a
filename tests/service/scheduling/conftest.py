from concurrent.futures import ThreadPoolExecutor

import pytest

from service.scheduling.scheduler import Scheduler


@pytest.fixture
def make_scheduler(scorer):
    made = []

    def make(batch_tokens: int = 4, threads: int = 2, **options) -> Scheduler:
        pool = ThreadPoolExecutor(threads)
        made.append((Scheduler(scorer, pool, batch_tokens, **options), pool))
        return made[-1][0]

    yield make
    scorer.open.set()
    for scheduler, pool in made:
        scheduler.close()
        pool.shutdown()
