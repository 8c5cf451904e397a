import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.qwen.runner.windows import plan_tower

GRID = st.tuples(st.integers(1, 3), *[st.integers(1, 14).map(lambda n: 2 * n)] * 2)


@settings(max_examples=50, deadline=None)
@given(grids=st.lists(GRID, min_size=1, max_size=5))
def test_tower_plan_is_a_permutation_with_few_calls(grids):
    plan = plan_tower(grids)
    units = sum(t * h * w for t, h, w in grids) // 4
    assert sorted(plan.order_U.tolist()) == list(range(units))
    assert torch.equal(plan.order_U[plan.restore_U], torch.arange(units))
    assert sorted(plan.slices_N.tolist()) == list(range(4 * units))
    assert sum(n * length for n, length in plan.windows.classes) == 4 * units
    assert max(length for _, length in plan.windows.classes) <= 64
    if len(grids) == 1:
        assert len(plan.windows.classes) <= 4
