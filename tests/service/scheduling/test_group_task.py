import math

import pytest

from identity_reward_client.errors import DeadlineExceeded, NotReady
from reward_model.types import Price, Score
from service.scheduling.item_result import ItemResult
from tests.service.scheduling.tasks import group_task

SCORED = ItemResult(score=Score(0.5, {}))


def test_tokens_count_the_shared_part_once():
    task = group_task(1.0, 2.0, shared=3)
    task.prices = [Price(3, 10), Price(4, 20)]
    assert task.tokens == 34


def test_chunks_stay_within_the_budget_and_keep_the_order():
    task = group_task(*range(5), shared=2)
    task.prepared = dict.fromkeys((0, 1, 3, 4))
    assert task.chunks(4) == [[0, 1], [3, 4]]
    assert task.chunks(3) == [[0], [1], [3], [4]]
    assert task.chunks(1) == [[0], [1], [3], [4]], "a video over the budget is a chunk of its own"


def test_results_are_set_in_the_order_of_the_videos():
    reported = []
    task = group_task(1.0, 2.0, on_result=lambda index, result: reported.append(index))
    failed = ItemResult(error=NotReady("later"))
    task.add_result(1, failed)
    task.add_result(0, SCORED)
    task.finish(task.queued_at, 0.25)
    assert task.future.result(0) == [SCORED, failed]
    assert reported == [1, 0]
    assert task.forward_s == 0.25


def test_a_missing_result_is_a_missed_deadline():
    task = group_task(1.0, 2.0)
    task.add_result(0, SCORED)
    task.finish(task.queued_at, 0.0)
    with pytest.raises(DeadlineExceeded):
        task.future.result(0)


def test_the_future_is_set_once():
    task = group_task(1.0)
    task.fail(NotReady("first"))
    task.add_result(0, SCORED)
    task.finish(0.0, 0.0)
    task.fail(NotReady("second"))
    with pytest.raises(NotReady, match="first"):
        task.future.result(0)


def test_a_task_expires_at_its_deadline():
    assert not group_task(1.0).expire()
    task = group_task(1.0, deadline=-math.inf)
    assert task.expire()
    with pytest.raises(DeadlineExceeded):
        task.future.result(0)
