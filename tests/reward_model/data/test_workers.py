import os
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing

import pytest

from reward_model.data.workers import results_of


def _start(value):
    os.environ["WORKER_TEST_VALUE"] = value


def _work(number):
    return number * 2, os.environ["WORKER_TEST_VALUE"]


def _exit(number):
    os._exit(1)


def test_every_task_gets_a_result_from_an_initialized_process():
    tasks = ((n,) for n in range(5))
    with closing(results_of(_work, tasks, 2, _start, ("started",))) as results:
        assert sorted(results) == [((n,), (2 * n, "started")) for n in range(5)]


def test_tasks_are_taken_lazily():
    yielded = []
    tasks = (yielded.append(n) or (n,) for n in range(100))
    with closing(results_of(_work, tasks, 1, _start, ("started",))) as results:
        next(results)
    assert len(yielded) <= 3


def test_death_of_a_process_is_an_error():
    with pytest.raises(BrokenProcessPool):
        list(results_of(_exit, [(1,)], 1))
