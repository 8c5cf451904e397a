import threading

import pytest

from identity_reward_client.errors import LimitExceeded
from service.media.input_budget import InputBudget


def test_the_budget_is_shared_by_all_inputs():
    budget = InputBudget(10)
    budget.use(6, "video 0")
    budget.check(4, "video 1")
    with pytest.raises(LimitExceeded, match=r"^video 1: .* exceed 10 bytes") as caught:
        budget.use(5, "video 1")
    assert caught.value.details == {"limit": "max_body_bytes", "maximum": 10}
    budget.use(4, "video 1")


def test_checking_uses_nothing():
    budget = InputBudget(10)
    for _ in range(5):
        budget.check(10, "video")


def test_threads_never_exceed_the_budget_together():
    budget, accepted = InputBudget(100), []

    def use() -> None:
        for _ in range(100):
            try:
                budget.use(1, "video")
            except LimitExceeded:
                return
            accepted.append(1)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == 100
