import numpy as np
import pytest

from identity_reward_client.preference import tie_band
from reward_model.faces.spread import member_spread


def test_members_that_differ_by_a_tie_band_have_a_spread_of_one():
    rewards_M = np.array([2.0 - tie_band(), 2.0 + tie_band()], np.float32)
    assert member_spread(rewards_M, 1.0) == pytest.approx(1.0)
    assert member_spread(rewards_M, 8.5) == pytest.approx(8.5)
    assert member_spread(rewards_M, 1.0, 2.0) == pytest.approx(2.0)
    assert member_spread(np.full(4, 3.0), 1.0) == 0


def test_one_member_has_no_spread():
    assert member_spread(np.array([3.0]), 1.0) is None
