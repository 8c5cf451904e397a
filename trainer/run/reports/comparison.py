"""Rewards of the same prompts and noise under two policies: difference, interval, win probability.

Suffixes: N pairs of videos, C prompts, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from identity_reward_client import preference
from reward_model.data.seeding import generator

NUM_RESAMPLES = 4000


@dataclass(frozen=True)
class RewardComparison:
    """Rewards after training against those before, over pairs in which both have a reward."""

    # pairs of videos
    count: int
    before: float
    after: float
    # after - before, and its 2.5 % and 97.5 % quantiles over resamples of whole prompts
    difference: float
    low: float
    high: float
    # mean of P(after wins) + P(tie) / 2 under Bradley-Terry-with-Ties
    win_probability: float
    # share of pairs with a higher reward after, equal ones counted half
    win_share: float

    def __str__(self) -> str:
        interval = f"95 % {self.low:+.4f} to {self.high:+.4f}"
        return (
            f"{self.before:.4f} -> {self.after:.4f} ({self.difference:+.4f}, {interval}), "
            f"win probability {self.win_probability:.3f}, {self.win_share:.0%} of {self.count} videos better"
        )


def compare_rewards(
    before_N: ArrayLike,
    after_N: ArrayLike,
    prompts_N: Sequence[str],
    *,
    theta: float = preference.THETA,
    preference_scale: float = 1.0,
    seed: int = 0,
) -> RewardComparison | None:
    """Paired comparison; None where no pair has both rewards (NaN is a missing one).

    The interval is a percentile bootstrap over prompts, since videos of one prompt are not independent.
    `preference_scale` is that of the reward model (`ModelInfo.preference_scale`). ValueError for different lengths.
    """
    before, after = np.asarray(before_N, np.float64), np.asarray(after_N, np.float64)
    if not before.shape == after.shape == (len(prompts_N),):
        raise ValueError(f"{before.shape} rewards before, {after.shape} after, of {len(prompts_N)} videos")
    both = np.isfinite(before) & np.isfinite(after)
    if not both.any():
        return None
    before, after, difference_N = before[both], after[both], (after - before)[both]
    _, prompt_N = np.unique(np.array(prompts_N, dtype=str)[both], return_inverse=True)
    size_C, sum_C = np.bincount(prompt_N).astype(np.float64), np.bincount(prompt_N, difference_N)
    even = np.full(len(size_C), 1 / len(size_C))
    count_RC = generator(seed, "bootstrap").multinomial(len(size_C), even, size=NUM_RESAMPLES).astype(np.float64)
    low, high = np.quantile((count_RC @ sum_C) / (count_RC @ size_C), [0.025, 0.975])
    win_N, tie_N, _ = preference.probabilities(preference_scale * difference_N, theta)
    return RewardComparison(
        count=int(both.sum()),
        before=float(before.mean()),
        after=float(after.mean()),
        difference=float(difference_N.mean()),
        low=float(low),
        high=float(high),
        win_probability=float(np.mean(win_N + tie_N / 2)),
        win_share=float(np.mean((np.sign(difference_N) + 1) / 2)),
    )
