import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainer.advantages import (
    global_std_advantages,
    group_advantages,
    per_reward_advantages,
    win_rate_advantages,
    win_rates,
)

VARIANTS = pytest.mark.parametrize("advantages", [group_advantages, win_rate_advantages])
# thousandths: no two are so close that rounding decides whether they differ
rewards = st.lists(st.integers(-5000, 5000).map(lambda n: n / 1000), min_size=2, max_size=9)


@st.composite
def masked(draw):
    """(rewards_G, valid_G)."""
    rewards_G = np.array(draw(rewards))
    valid_G = np.array(draw(st.lists(st.booleans(), min_size=len(rewards_G), max_size=len(rewards_G))))
    return rewards_G, valid_G


def advantages_of(advantages, rewards_G, valid_G=None, **options):
    return advantages([rewards_G], None if valid_G is None else [valid_G], **options)


def test_advantages_follow_equation_7():
    # mean 2.5, population standard deviation sqrt(1.25)
    result = advantages_of(group_advantages, [1.0, 2.0, 3.0, 4.0], eps=0.0)
    assert result.advantages_PG[0] == pytest.approx([-1.3416407865, -0.4472135955, 0.4472135955, 1.3416407865])
    # as released: 1e-4 is added to the deviation
    released = advantages_of(group_advantages, [3.10, 2.90, 3.00, 3.05, 2.95, 3.20, 2.80, 3.00])
    expected = [
        0.872110,
        -0.872110,
        0.0,
        0.436055,
        -0.436055,
        1.744221,
        -1.744221,
        0.0,
    ]
    assert released.advantages_PG[0] == pytest.approx(expected, abs=1e-6)


def test_win_rates_match_hand_computed_values():
    # theta 5: equal rewards win 1/6, tie 2/3; a difference of ln 5 wins 1/2, loses 1/26
    assert win_rates([0.0, 0.0]) == pytest.approx([0.5, 0.5])
    assert win_rates([np.log(5), 0.0]) == pytest.approx([0.5 + 6 / 13 / 2, 0.5 - 6 / 13 / 2])
    assert win_rates([2 * np.log(5), 0.0], preference_scale=0.5) == pytest.approx(win_rates([np.log(5), 0.0]))


@VARIANTS
def test_missing_items_have_no_influence(advantages):
    complete = advantages_of(advantages, [0.1, 0.5, 0.2])
    with_gaps = advantages_of(advantages, [np.nan, 0.1, np.nan, 0.5, 0.2])
    assert with_gaps.used_PG.tolist() == [[False, True, False, True, True]]
    assert np.isnan(with_gaps.advantages_PG[0, [0, 2]]).all()
    assert with_gaps.advantages_PG[0, [1, 3, 4]].tolist() == complete.advantages_PG[0].tolist()


@VARIANTS
def test_groups_without_differences_are_dropped_and_counted(advantages):
    result = advantages([[0.3, 0.3, 0.3], [np.nan, 0.7, np.nan], [np.nan] * 3, [0.1, 0.2, np.nan]])
    assert result.used_PG.tolist() == [[False] * 3, [False] * 3, [False] * 3, [True, True, False]]
    assert (result.too_small, result.flat) == (2, 1)
    assert result.by_item(["a", "b", "c", "d"]).keys() == {("d", 0), ("d", 1)}


def test_equal_rewards_are_flat_despite_rounding():
    assert group_advantages([[0.1] * 3, [1e16 + 2] * 3]).flat == 2
    assert group_advantages([[0.0, 5e-324]], eps=0.0).flat == 1


def test_outliers_are_clamped_and_counted():
    rewards_G = [0.0] * 40 + [1.0]
    result = advantages_of(group_advantages, rewards_G, eps=0.0)
    assert result.advantages_PG[0, -1] == 5.0
    assert result.clipped == 1
    assert advantages_of(group_advantages, rewards_G, eps=0.0, clip_max=10.0).advantages_PG[0, -1] == pytest.approx(
        40**0.5
    )


def test_outlier_does_not_flatten_the_win_rates_of_others():
    near_G, far_G = [0.0, 1.0, 2.0], [0.0, 1.0, 200.0]

    def gap(advantages, rewards_G):
        low, high, _ = advantages_of(advantages, rewards_G).advantages_PG[0]
        return high - low

    assert gap(win_rate_advantages, far_G) > 0.3 * gap(win_rate_advantages, near_G)
    assert gap(group_advantages, far_G) < 0.02 * gap(group_advantages, near_G)


@pytest.mark.parametrize(
    ("rewards_PG", "valid_PG", "message"),
    [
        ([1.0, 2.0], None, r"\[P, G\]"),
        ([[1.0, 2.0]], [[True]], "mask of that shape"),
        ([[1.0, 2.0]], [[1, 1]], "bool mask"),
        ([[1.0, np.nan]], [[True, True]], "NaN or infinite"),
        ([[1.0, np.inf]], None, "NaN or infinite"),
    ],
)
@VARIANTS
def test_malformed_rewards_are_refused(advantages, rewards_PG, valid_PG, message):
    with pytest.raises(ValueError, match=message):
        advantages(rewards_PG, valid_PG)


@VARIANTS
@given(case=masked(), shift=st.integers(-100, 100))
def test_shift_of_all_rewards_has_no_influence(advantages, case, shift):
    rewards_G, valid_G = case
    before, after = advantages_of(advantages, rewards_G, valid_G), advantages_of(advantages, rewards_G + shift, valid_G)
    assert after.used_PG.tolist() == before.used_PG.tolist()
    assert after.advantages_PG == pytest.approx(before.advantages_PG, abs=1e-6, nan_ok=True)


@given(case=masked(), scale=st.floats(1e-3, 1e3))
def test_scale_of_rewards_has_no_influence(case, scale):
    rewards_G, valid_G = case
    before = advantages_of(group_advantages, rewards_G, valid_G, eps=0.0)
    after = advantages_of(group_advantages, rewards_G * scale, valid_G, eps=0.0)
    assert after.advantages_PG == pytest.approx(before.advantages_PG, abs=1e-6, nan_ok=True)


@VARIANTS
@given(case=masked(), data=st.data())
def test_order_of_items_has_no_influence(advantages, case, data):
    rewards_G, valid_G = case
    order = np.array(data.draw(st.permutations(range(len(rewards_G)))))
    straight = advantages_of(advantages, rewards_G, valid_G).advantages_PG[0]
    assert advantages_of(advantages, rewards_G[order], valid_G[order]).advantages_PG[0] == pytest.approx(
        straight[order], abs=1e-9, nan_ok=True
    )


@VARIANTS
@given(case=masked(), other=st.floats(-1e6, 1e6) | st.just(np.nan))
def test_values_of_masked_items_have_no_influence(advantages, case, other):
    rewards_G, valid_G = case
    before = advantages_of(advantages, rewards_G, valid_G)
    after = advantages_of(advantages, np.where(valid_G, rewards_G, other), valid_G)
    np.testing.assert_array_equal(after.advantages_PG, before.advantages_PG)


@VARIANTS
@given(case=masked())
def test_used_advantages_are_ordered_like_rewards_and_centred(advantages, case):
    rewards_G, valid_G = case
    result = advantages_of(advantages, rewards_G, valid_G)
    used_G = result.used_PG[0]
    assume(used_G.any())
    assert not (used_G & ~valid_G).any()
    used = result.advantages_PG[0, used_G]
    assert np.isfinite(used).all()
    assert used.mean() == pytest.approx(0, abs=1e-6)
    order = np.argsort(rewards_G[used_G], kind="stable")
    assert (np.diff(used[order]) >= -1e-9).all()


@given(rewards, st.floats(1.01, 50), st.floats(0.1, 10))
def test_win_rates_are_in_0_to_1_with_mean_one_half(values, theta, scale):
    rates = win_rates(values, theta, scale)
    assert ((rates >= 0) & (rates <= 1)).all()
    assert rates.mean() == pytest.approx(0.5)


def test_global_std_divides_by_the_spread_of_all_groups():
    rewards_PG = np.array([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0], [1.0, np.nan, 5.0], [np.nan, 3.0, np.nan]])
    result = global_std_advantages(rewards_PG, eps=0.0)
    std = np.nanstd(rewards_PG)
    assert result.advantages_PG[0] == pytest.approx([-1 / std, 0, 1 / std])
    assert result.advantages_PG[2, [0, 2]] == pytest.approx([-2 / std, 2 / std])
    assert (result.flat, result.too_small) == (1, 1)
    assert result.used_PG.tolist() == [[True] * 3, [False] * 3, [True, False, True], [False] * 3]


def test_per_reward_advantages_are_the_weighted_sum_of_those_of_each_reward():
    components = {
        "a": [[0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [0.1, 0.2, np.nan]],
        "b": [[900.0, 300.0, 0.0], [7.0, 8.0, 9.0], [1.0, 1.0, 1.0], [5.0, 9.0, 1.0]],
        "watched": [[np.nan] * 3] * 4,
    }
    weights = {"a": 2.0, "b": 0.5, "watched": 0.0}
    valid_PG = np.array([[True] * 3] * 3 + [[True, True, False]])
    result = per_reward_advantages(components, weights, valid_PG, clip_max=100)
    alone = {name: group_advantages(components[name], valid_PG, clip_max=100).advantages_PG for name in ("a", "b")}
    assert result.advantages_PG[0] == pytest.approx(2 * alone["a"][0] + 0.5 * alone["b"][0])
    # a reward that is equal for the whole group adds nothing
    assert result.advantages_PG[1] == pytest.approx(0.5 * alone["b"][1])
    assert result.advantages_PG[3, :2] == pytest.approx(2 * alone["a"][3, :2] + 0.5 * alone["b"][3, :2])
    assert result.used_PG.tolist() == [[True] * 3, [True] * 3, [False] * 3, [True, True, False]]
    assert (result.flat, result.too_small) == (1, 0)


def test_per_reward_advantages_do_not_depend_on_the_scale_of_a_reward():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 6))
    valid_PG, weights = np.ones((3, 6), bool), {"a": 1.0, "b": 1.0}
    plain = per_reward_advantages({"a": a, "b": b}, weights, valid_PG, eps=0.0)
    scaled = per_reward_advantages({"a": a, "b": 1000 * b}, weights, valid_PG, eps=0.0)
    assert scaled.advantages_PG == pytest.approx(plain.advantages_PG)


def test_per_reward_advantages_need_a_weight():
    with pytest.raises(ValueError, match="needs a weight other than 0"):
        per_reward_advantages({"a": [[0.0, 1.0]]}, {"a": 0.0}, np.ones((1, 2), bool))
