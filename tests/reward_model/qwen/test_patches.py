import threading

import pytest
import torch

from identity_reward_client.errors import InvalidMedia
from reward_model.qwen.patches import ReferencePatches


def test_concurrent_requests_for_one_image_prepare_it_once():
    cache, prepared = ReferencePatches(budget_bytes=40), []
    gate = threading.Event()

    def prepare(value, wait=False):
        def work():
            if wait:
                gate.wait(5)
            prepared.append(value)
            return torch.full((4,), float(value))

        return work

    results = []
    threads = [threading.Thread(target=lambda: results.append(cache.get("a", prepare(1, wait=True)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert prepared == [1]
    assert len({result.data_ptr() for result in results}) == 1
    cache.get("b", prepare(2))
    cache.get("a", prepare(1))  # used again: b is now the least recently used
    cache.get("c", prepare(3))  # 48 bytes: b is evicted
    cache.get("a", prepare(1))
    cache.get("b", prepare(2))
    assert prepared == [1, 2, 3, 2]


def test_error_is_raised_and_not_cached():
    cache = ReferencePatches()

    def fail():
        raise InvalidMedia("broken")

    for _ in range(2):
        with pytest.raises(InvalidMedia, match="broken"):
            cache.get("a", fail)
    assert torch.equal(cache.get("a", lambda: torch.ones(1)), torch.ones(1))
