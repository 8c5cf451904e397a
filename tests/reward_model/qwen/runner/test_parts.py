"""The runner's rooms by themselves: the tower's bits, the plan's arithmetic, the caches' budgets."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.qwen.runner.cache import TensorCache
from reward_model.qwen.runner.config import RunnerConfig
from reward_model.qwen.runner.plan import lay_out, split
from reward_model.qwen.runner.rows import rows_for
from reward_model.qwen.runner.runner import Runner
from reward_model.qwen.runner.vision import VisionRunner
from reward_model.qwen.runner.windows import plan_tower
from reward_model.types import CacheCount

GRID = st.tuples(st.integers(1, 3), *[st.integers(1, 14).map(lambda n: 2 * n)] * 2)


@settings(max_examples=20, deadline=None)
@given(grids=st.lists(GRID, min_size=1, max_size=4))
def test_the_tower_is_bit_equal_to_transformers(model, grids):
    patches = torch.randn(sum(t * h * w for t, h, w in grids), 1176)
    with torch.inference_mode():
        theirs = model.body.visual(patches, torch.tensor(grids)).pooler_output
    ours = VisionRunner(model.body.visual, rows_for(torch.device("cpu"), None))(patches, grids)
    if len(patches) >= 64:
        assert torch.equal(ours, theirs)
    else:  # transformers gives a handful of rows to the matrix product as they are, which rounds otherwise
        assert (ours - theirs).abs().max() <= 1e-5


@settings(max_examples=50, deadline=None)
@given(grids=st.lists(GRID, min_size=1, max_size=5))
def test_a_tower_plan_is_a_permutation_with_few_calls(grids):
    plan = plan_tower(grids)
    units = sum(t * h * w for t, h, w in grids) // 4
    assert sorted(plan.order_U.tolist()) == list(range(units))
    assert torch.equal(plan.order_U[plan.restore_U], torch.arange(units))
    assert sorted(plan.slices_N.tolist()) == list(range(4 * units))
    assert sum(n * length for n, length in plan.windows.classes) == 4 * units
    assert max(length for _, length in plan.windows.classes) <= 64
    if len(grids) == 1:
        assert len(plan.windows.classes) <= 4


def test_a_group_pays_its_prefix_once(make):
    group = [make(video=n) for n in range(8)]
    prefix, suffix = group[0].prefix_length, len(group[0]) - group[0].prefix_length
    assert prefix > 20
    layout = lay_out(group, cached=set())
    assert layout.num_rows == prefix + 8 * suffix
    assert lay_out(group, cached={group[0].prefix_key}).num_rows == 8 * suffix
    assert list(split(group, prefix + 8 * suffix, set())) == [list(range(8))]


def test_a_large_group_is_split_between_suffixes_and_no_batch_is_over_budget(make):
    group = [make(video=n) for n in range(8)]
    prefix, suffix = group[0].prefix_length, len(group[0]) - group[0].prefix_length
    batches = list(split(group, prefix + 3 * suffix, set()))
    assert sorted(n for batch in batches for n in batch) == list(range(8))
    assert len(batches[0]) == 3
    known: set[str] = set()
    for batch in batches:
        assert lay_out([group[n] for n in batch], known).num_rows <= prefix + 3 * suffix
        known.add(group[0].prefix_key)


def test_groups_stay_whole_where_they_fit(make):
    groups = [[make(pictures=(p,), video=n) for n in range(3)] for p in (1, 2, 3)]
    mixed = [groups[g][n] for n in range(3) for g in range(3)]
    price = lay_out(groups[0], set()).num_rows
    batches = list(split(mixed, int(price * 1.5), set()))
    assert [{mixed[n].prefix_key for n in batch} for batch in batches] == [{g[0].prefix_key} for g in groups]


def test_prefix_keys_tell_order_and_pictures_apart(make):
    keys = {
        make(pictures=p, picture_grid=g).prefix_key
        for p in ((1, 2), (2, 1), (1,), (3,))
        for g in ((1, 8, 6), (1, 6, 8))
    }
    assert len(keys) == 8
    assert make(video=1).prefix_key == make(video=2, text=3).prefix_key


def test_what_is_computed_of_a_reference_is_computed_once(model, make):
    runner, calls = Runner(model.body), []
    vision = runner.vision
    runner.vision = lambda patches, grids: calls.append(list(grids)) or vision(patches, grids)
    group = [make(video=n) for n in range(4)]
    runner(group)
    assert calls == [[(1, 8, 6)] * 2 + [(2, 6, 10)] * 4]
    runner(group[:1])
    assert calls[1] == [(2, 6, 10)]
    assert runner.prefixes.hits == 1


def test_caches_stay_within_their_bytes_and_spill_to_the_host():
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


@pytest.mark.parametrize("budget", [0, 3000])
def test_small_caches_only_cost_time(model, make, budget):
    sequences = [make(pictures=(p, p + 1), video=n) for p in range(1, 4) for n in range(2)]
    expected = Runner(model.body)(sequences)
    config = RunnerConfig(feature_cache_bytes=budget, prefix_cache_bytes=budget, prefix_host_cache_bytes=budget)
    runner = Runner(model.body, config)
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(runner(sequences), expected, strict=True))


def test_positions_and_tokens_travel_with_their_rows(make):
    batch = [make(video=1, text=4), make(pictures=(3,), video=2)]
    layout = lay_out(batch, set())
    ids = np.concatenate([s.token_ids[a:b] for s, a, b in layout.sources])
    last = [s.token_ids[-1] for s in (batch[n] for n in layout.order)]
    assert ids[layout.reward_rows].tolist() == last
