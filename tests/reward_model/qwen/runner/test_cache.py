import torch

from reward_model.qwen.runner.cache import TensorCache
from reward_model.types import CacheCount


def test_cache_stays_within_its_budgets_and_spills_to_the_host():
    cache = TensorCache("test", torch.device("cpu"), budget_bytes=400, host_budget_bytes=400)
    tensors = {str(n): torch.full((25,), float(n)) for n in range(8)}  # 100 bytes each
    for key, tensor in tensors.items():
        cache.put(key, tensor)
        assert cache.bytes <= 400
        assert cache.host_bytes <= 400
    assert (cache.bytes, cache.host_bytes, len(cache), cache.evictions) == (400, 400, 8, 4)
    assert torch.equal(cache.get("0"), tensors["0"])
    assert cache.get("0") is not None
    assert cache.get("missing") is None
    assert (cache.hits, cache.misses) == (2, 1)
    cache.put("large", torch.zeros(1000))
    assert cache.get("large") is None
    assert cache.count == CacheCount("test", hits=2, misses=2, evictions=cache.evictions, num_bytes=800)
    cache.clear()
    assert (cache.bytes, cache.host_bytes, len(cache)) == (0, 0, 0)
