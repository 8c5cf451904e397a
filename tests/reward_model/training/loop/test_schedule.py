import pytest

from reward_model.training.configs.base import OptimizerConfig
from reward_model.training.loop.schedule import rate_factor

OPTIONS = OptimizerConfig(schedule="cosine", warmup=0.1)


def test_rate_warms_up_linearly_and_decays_as_a_half_cosine():
    path = [rate_factor(step, 100, OPTIONS) for step in range(100)]
    assert path[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert path[10] == 1
    assert path[55] == pytest.approx(0.5)
    assert path[99] < 0.001
    constant = OPTIONS.model_copy(update={"schedule": "constant_with_warmup"})
    assert rate_factor(99, 100, constant) == 1
