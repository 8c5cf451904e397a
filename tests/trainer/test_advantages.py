import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainer.advantages import group_advantages, win_rate_advantages, win_rates

VARIANTS = pytest.mark.parametrize("advantages", [group_advantages, win_rate_advantages])
# thousandths: no two so near that rounding decides what they are
rewards = st.lists(st.integers(-5000, 5000).map(lambda n: n / 1000), min_size=2, max_size=9)


@st.composite
def masked(draw):
    """(rewards_G, valid_G)."""
    rewards_G = np.array(draw(rewards))
    valid_G = np.array(draw(st.lists(st.booleans(), min_size=len(rewards_G), max_size=len(rewards_G))))
    return rewards_G, valid_G


def one(advantages, rewards_G, valid_G=None, **options):
    return advantages([rewards_G], None if valid_G is None else [valid_G], **options)


def test_equation_7_in_numbers():
    # mean 2.5, population standard deviation sqrt(1.25)
    found = one(group_advantages, [1.0, 2.0, 3.0, 4.0], eps=0.0)
    assert found.advantages_PG[0] == pytest.approx([-1.3416407865, -0.4472135955, 0.4472135955, 1.3416407865])
    # as released: 1e-4 is added to the deviation
    released = one(group_advantages, [3.10, 2.90, 3.00, 3.05, 2.95, 3.20, 2.80, 3.00])
    wanted = [0.872110, -0.872110, 0.0, 0.436055, -0.436055, 1.744221, -1.744221, 0.0]  # 0.1 / (sqrt(0.013125) + 1e-4)
    assert released.advantages_PG[0] == pytest.approx(wanted, abs=1e-6)


def test_win_rates_in_numbers():
    # theta 5: equal rewards win 1/6, tie 2/3; a difference of ln 5 wins 1/2, loses 1/26
    assert win_rates([0.0, 0.0]) == pytest.approx([0.5, 0.5])
    assert win_rates([np.log(5), 0.0]) == pytest.approx([0.5 + 6 / 13 / 2, 0.5 - 6 / 13 / 2])
    assert win_rates([2 * np.log(5), 0.0], preference_scale=0.5) == pytest.approx(win_rates([np.log(5), 0.0]))


@VARIANTS
def test_missing_items_are_not_used_and_change_nothing(advantages):
    whole = one(advantages, [0.1, 0.5, 0.2])
    holed = one(advantages, [np.nan, 0.1, np.nan, 0.5, 0.2])
    assert holed.used_PG.tolist() == [[False, True, False, True, True]]
    assert np.isnan(holed.advantages_PG[0, [0, 2]]).all()
    assert holed.advantages_PG[0, [1, 3, 4]].tolist() == whole.advantages_PG[0].tolist()


@VARIANTS
def test_groups_with_nothing_to_compare_are_dropped_and_counted(advantages):
    found = advantages([[0.3, 0.3, 0.3], [np.nan, 0.7, np.nan], [np.nan] * 3, [0.1, 0.2, np.nan]])
    assert found.used_PG.tolist() == [[False] * 3, [False] * 3, [False] * 3, [True, True, False]]
    assert (found.too_small, found.flat) == (2, 1)
    assert found.by_item(["a", "b", "c", "d"]).keys() == {("d", 0), ("d", 1)}


def test_equal_rewards_are_flat_whatever_their_mean_rounds_to():
    assert group_advantages([[0.1] * 3, [1e16 + 2] * 3]).flat == 2
    assert group_advantages([[0.0, 5e-324]], eps=0.0).flat == 1


def test_outliers_are_clamped_and_counted():
    rewards_G = [0.0] * 40 + [1.0]
    found = one(group_advantages, rewards_G, eps=0.0)
    assert found.advantages_PG[0, -1] == 5.0
    assert found.clipped == 1
    assert one(group_advantages, rewards_G, eps=0.0, clip_max=10.0).advantages_PG[0, -1] == pytest.approx(40**0.5)


def test_an_outlier_does_not_flatten_the_others_win_rates():
    near_G, far_G = [0.0, 1.0, 2.0], [0.0, 1.0, 200.0]

    def gap(advantages, rewards_G):
        low, high, _ = one(advantages, rewards_G).advantages_PG[0]
        return high - low

    assert gap(win_rate_advantages, far_G) > 0.3 * gap(win_rate_advantages, near_G)
    assert gap(group_advantages, far_G) < 0.02 * gap(group_advantages, near_G)


@pytest.mark.parametrize(
    ("rewards_PG", "valid_PG", "says"),
    [
        ([1.0, 2.0], None, r"\[P, G\]"),
        ([[1.0, 2.0]], [[True]], "mask of that shape"),
        ([[1.0, 2.0]], [[1, 1]], "bool mask"),
        ([[1.0, np.nan]], [[True, True]], "NaN or infinite"),
        ([[1.0, np.inf]], None, "NaN or infinite"),
    ],
)
@VARIANTS
def test_what_is_no_table_of_rewards_is_refused(advantages, rewards_PG, valid_PG, says):
    with pytest.raises(ValueError, match=says):
        advantages(rewards_PG, valid_PG)


@VARIANTS
@given(case=masked(), shift=st.integers(-100, 100))
def test_a_shift_of_all_rewards_changes_nothing(advantages, case, shift):
    rewards_G, valid_G = case
    before, after = one(advantages, rewards_G, valid_G), one(advantages, rewards_G + shift, valid_G)
    assert after.used_PG.tolist() == before.used_PG.tolist()
    assert after.advantages_PG == pytest.approx(before.advantages_PG, abs=1e-6, nan_ok=True)


@given(case=masked(), scale=st.floats(1e-3, 1e3))
def test_the_scale_of_rewards_changes_nothing(case, scale):
    rewards_G, valid_G = case
    before = one(group_advantages, rewards_G, valid_G, eps=0.0)
    after = one(group_advantages, rewards_G * scale, valid_G, eps=0.0)
    assert after.advantages_PG == pytest.approx(before.advantages_PG, abs=1e-6, nan_ok=True)


@VARIANTS
@given(case=masked(), data=st.data())
def test_items_in_another_order_keep_their_advantages(advantages, case, data):
    rewards_G, valid_G = case
    order = np.array(data.draw(st.permutations(range(len(rewards_G)))))
    straight = one(advantages, rewards_G, valid_G).advantages_PG[0]
    assert one(advantages, rewards_G[order], valid_G[order]).advantages_PG[0] == pytest.approx(
        straight[order], abs=1e-9, nan_ok=True
    )


@VARIANTS
@given(case=masked(), other=st.floats(-1e6, 1e6) | st.just(np.nan))
def test_what_stands_in_a_masked_place_is_never_looked_at(advantages, case, other):
    rewards_G, valid_G = case
    before = one(advantages, rewards_G, valid_G)
    after = one(advantages, np.where(valid_G, rewards_G, other), valid_G)
    np.testing.assert_array_equal(after.advantages_PG, before.advantages_PG)


@VARIANTS
@given(case=masked())
def test_used_advantages_are_ordered_like_rewards_and_centred(advantages, case):
    rewards_G, valid_G = case
    found = one(advantages, rewards_G, valid_G)
    used_G = found.used_PG[0]
    assume(used_G.any())
    assert not (used_G & ~valid_G).any()
    used = found.advantages_PG[0, used_G]
    assert np.isfinite(used).all()
    assert used.mean() == pytest.approx(0, abs=1e-6)
    order = np.argsort(rewards_G[used_G], kind="stable")
    assert (np.diff(used[order]) >= -1e-9).all()


@given(rewards, st.floats(1.01, 50), st.floats(0.1, 10))
def test_win_rates_lie_between_0_and_1_and_share_out_one_half(values, theta, scale):
    rates = win_rates(values, theta, scale)
    assert ((rates >= 0) & (rates <= 1)).all()
    assert rates.mean() == pytest.approx(0.5)
