import numpy as np
import pytest

from identity_reward_client import preference
from trainer.run.reports.comparison import compare_rewards

PROMPTS = [f"p{n // 2}" for n in range(40)]


def rewards(seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1.0, len(PROMPTS))


def test_a_constant_gain_has_an_interval_of_no_width():
    before = rewards(1)
    comparison = compare_rewards(before, before + 0.25, PROMPTS)
    assert comparison.difference == pytest.approx(0.25)
    assert (comparison.low, comparison.high) == pytest.approx((0.25, 0.25))
    win, tie, _ = preference.probabilities(0.25)
    assert comparison.win_probability == pytest.approx(win + tie / 2)
    assert comparison.win_share == 1.0
    assert (comparison.count, comparison.after - comparison.before) == (40, pytest.approx(0.25))


def test_the_interval_is_that_of_prompts_and_not_of_videos():
    """Videos of one prompt that gain the same are one observation."""
    gain_N = np.repeat(np.random.default_rng(2).normal(0.2, 1.0, 20), 2)
    by_prompt = compare_rewards(np.zeros(40), gain_N, PROMPTS)
    by_video = compare_rewards(np.zeros(40), gain_N, [str(n) for n in range(40)])
    standard_error = gain_N[::2].std() / np.sqrt(20)
    assert by_prompt.high - by_prompt.low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert by_video.high - by_video.low < 0.8 * (by_prompt.high - by_prompt.low)


def test_equal_rewards_are_even():
    comparison = compare_rewards(rewards(3), rewards(3), PROMPTS)
    assert (comparison.win_share, comparison.win_probability) == (0.5, pytest.approx(0.5))


def test_only_pairs_with_both_rewards_count():
    before, after = rewards(4), rewards(4) + 1
    before[:3], after[2:5] = np.nan, np.nan
    assert compare_rewards(before, after, PROMPTS).count == 35
    assert compare_rewards(np.full(40, np.nan), after, PROMPTS) is None
    with pytest.raises(ValueError, match=r"of 2 videos"):
        compare_rewards(before, after, ["a", "b"])


def test_the_same_inputs_give_the_same_text():
    first, second = (compare_rewards(rewards(5), rewards(6, 0.5), PROMPTS, preference_scale=2.0) for _ in range(2))
    assert str(first) == str(second)
    assert "win probability" in str(first)
