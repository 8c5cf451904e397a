import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_reward_client import preference
from identity_reward_client.preference import Preference

differences = st.floats(-300, 300)
thetas = st.floats(1.001, 1000)


def test_equal_rewards_at_theta_5_are_one_sixth_two_thirds_one_sixth():
    p_a, p_tie, p_b = preference.probabilities(0.0)
    assert (p_a, p_tie, p_b) == pytest.approx((1 / 6, 2 / 3, 1 / 6), abs=1e-15)
    assert -math.log(p_a) == pytest.approx(1.7918, abs=5e-5)
    assert -math.log(p_tie) == pytest.approx(0.4055, abs=5e-5)


def test_tie_band_at_theta_5_is_1_526():
    assert preference.tie_band(5) == pytest.approx(1.526, abs=5e-4)
    assert preference.tie_band(2) == preference.tie_band(1.5) == 0


@given(differences, thetas)
def test_probabilities_sum_to_one_and_mirror(d, theta):
    p_a, p_tie, p_b = preference.probabilities(d, theta)
    assert p_a + p_tie + p_b == pytest.approx(1, abs=1e-12)
    assert preference.probabilities(-d, theta) == pytest.approx((p_b, p_tie, p_a), abs=1e-15)


@given(differences, thetas)
def test_win_probability_is_the_shifted_sigmoid(d, theta):
    direct = 1 / (1 + math.exp(min(-(d - math.log(theta)), 700)))
    assert preference.probabilities(d, theta)[0] == pytest.approx(direct, rel=1e-9, abs=1e-300)


@given(differences, thetas)
def test_verdict_is_the_likeliest_outcome(d, theta):
    p_a, p_tie, p_b = preference.probabilities(d, theta)
    outcome = preference.verdict(d, theta)
    if d == 0:
        assert outcome is Preference.TIE
    else:
        chance = {Preference.A: p_a, Preference.TIE: p_tie, Preference.B: p_b}[outcome]
        assert chance == max(p_a, p_tie, p_b)


@pytest.mark.parametrize(("d", "outcome"), [(1.52, "tie"), (1.53, "A"), (-1.52, "tie"), (-1.53, "B")], ids=str)
def test_verdict_changes_at_the_tie_band(d, outcome):
    assert preference.verdict(d) == outcome


def test_matrices_hold_every_pair_and_leave_missing_rewards_missing():
    rewards = [0.0, 2.0, float("nan")]
    win, tie = preference.matrices(rewards)
    assert win[1, 0] == preference.probabilities(2.0)[0]
    assert win[0, 1] == preference.probabilities(2.0)[2]
    assert tie[0, 1] == pytest.approx(tie[1, 0]) == preference.probabilities(2.0)[1]
    assert win[0, 0] == pytest.approx(1 / 6)
    assert np.isnan(win[2]).all()
    assert np.isnan(tie[:, 2]).all()


@pytest.mark.parametrize("theta", [1, 0.5, -3, float("nan"), float("inf")], ids=str)
def test_theta_must_be_finite_and_above_one(theta):
    with pytest.raises(ValueError, match="theta"):
        preference.probabilities(0.0, theta)
