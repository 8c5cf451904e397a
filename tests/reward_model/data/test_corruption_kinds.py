import pytest

from reward_model.data.corruption_kinds import quality


def test_quality_is_the_weighted_sum_of_severities():
    assert quality({}) == 0.0
    assert quality({"drift": 0.5, "resolution": 1.0}) == pytest.approx(-(0.8 * 0.5 + 0.5))
