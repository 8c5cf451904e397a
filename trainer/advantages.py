"""From rewards to GRPO advantages. Shapes: P groups, G items of a group. Numpy only, float64.

Identity-GRPO (arXiv 2510.14256) equation 7: A_i = (r_i - mean(r)) / std(r) over an item's group. The paper leaves open
which standard deviation; the released trainer takes the population's (divided by G, not G - 1), adds 1e-4 to it, and
clamps advantages to [-5, 5]: the defaults here. Items without a reward take no part, and change nothing for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from identity_reward_client import preference

from .types import ItemKey

EPS = 1e-4  # in units of reward; damps groups whose rewards hardly differ
CLIP_MAX = 5.0


@dataclass(frozen=True, eq=False)
class Advantages:
    """`used_PG` says which items the loss may take: index with it, since unused advantages are NaN."""

    advantages_PG: np.ndarray  # float64 in [-clip_max, clip_max]; NaN where not used
    used_PG: np.ndarray  # bool
    too_small: int  # groups dropped: fewer than two valid rewards
    flat: int  # groups dropped: valid rewards all equal, nothing to prefer
    clipped: int  # items

    def by_item(self, keys_P: Sequence[str]) -> dict[ItemKey, float]:
        """The advantages of the items that the loss may take."""
        if len(keys_P) != len(self.used_PG):
            raise ValueError(f"{len(keys_P)} keys for {len(self.used_PG)} groups")
        return {(keys_P[p], g): float(self.advantages_PG[p, g]) for p, g in np.argwhere(self.used_PG).tolist()}


def group_advantages(rewards_PG, valid_PG=None, *, eps: float = EPS, clip_max: float = CLIP_MAX) -> Advantages:
    """Equation 7 over the valid items of each group. Without `valid_PG`, what is not NaN is valid.

    ValueError for shapes that differ, and for a reward that is said to be valid and is not a finite number.
    """
    rewards_PG, valid_PG = _checked(rewards_PG, valid_PG)
    if eps < 0 or not clip_max > 0:
        raise ValueError(f"eps can't be negative and clip_max must be positive, got {eps} and {clip_max}")
    raw_PG = np.full(rewards_PG.shape, np.nan)
    too_small = flat = 0
    for p, valid_G in enumerate(valid_PG):
        rewards_N = rewards_PG[p, valid_G]
        if len(rewards_N) < 2:
            too_small += 1
        elif is_flat(rewards_N):
            flat += 1
        else:
            raw_PG[p, valid_G] = (rewards_N - rewards_N.mean()) / (rewards_N.std() + eps)
    used_PG = ~np.isnan(raw_PG)
    clipped = int((np.abs(raw_PG[used_PG]) > clip_max).sum())
    return Advantages(np.clip(raw_PG, -clip_max, clip_max), used_PG, too_small, flat, clipped)


def is_flat(rewards_N: np.ndarray) -> bool:
    """Whether all are equal: exactly, where a standard deviation is off by rounding, or as far as that can tell."""
    return rewards_N.min() == rewards_N.max() or rewards_N.std() == 0


def win_rate_advantages(
    rewards_PG,
    valid_PG=None,
    *,
    theta: float = preference.THETA,
    preference_scale: float = 1.0,
    eps: float = EPS,
    clip_max: float = CLIP_MAX,
) -> Advantages:
    """Equation 7 on win rates instead of rewards.

    A win rate is bounded, so one outlier can't flatten its group's other differences. It is normalised like a reward
    (its mean over a group is 1/2), so that clip range and learning rate carry over; that stretches a group of near ties
    to full size, as equation 7 does.
    """
    rewards_PG, valid_PG = _checked(rewards_PG, valid_PG)
    rates_PG = np.full(rewards_PG.shape, np.nan)
    for p, valid_G in enumerate(valid_PG):
        if valid_G.sum() >= 2:
            rates_PG[p, valid_G] = win_rates(rewards_PG[p, valid_G], theta, preference_scale)
    # a single valid item has nobody to beat, so no rate: its group is dropped as too small all the same
    return group_advantages(rates_PG, eps=eps, clip_max=clip_max)


def win_rates(rewards_N, theta: float = preference.THETA, preference_scale: float = 1.0) -> np.ndarray:
    """Mean over the others of P(win) + P(tie) / 2 under Bradley-Terry-with-Ties; in [0, 1], mean 1/2. N >= 2.

    `preference_scale` is that of the model which gave the rewards (`ModelInfo.preference_scale`).
    """
    rewards_N = np.asarray(rewards_N, dtype=np.float64)
    if rewards_N.ndim != 1 or len(rewards_N) < 2 or not np.isfinite(rewards_N).all():
        raise ValueError(f"win rates need two or more finite rewards in a row, got {rewards_N}")
    win_NN, tie_NN = preference.matrices(preference_scale * rewards_N, theta)
    gain_NN = win_NN + tie_NN / 2
    np.fill_diagonal(gain_NN, 0.0)
    return gain_NN.sum(axis=1) / (len(rewards_N) - 1)


def _checked(rewards_PG, valid_PG) -> tuple[np.ndarray, np.ndarray]:
    rewards_PG = np.asarray(rewards_PG, dtype=np.float64)
    valid_PG = ~np.isnan(rewards_PG) if valid_PG is None else np.asarray(valid_PG)
    if rewards_PG.ndim != 2 or valid_PG.shape != rewards_PG.shape or valid_PG.dtype != bool:
        raise ValueError(
            f"rewards are [P, G] with a bool mask of that shape; got {rewards_PG.shape} and {valid_PG.dtype} "
            f"{valid_PG.shape}"
        )
    if not np.isfinite(rewards_PG[valid_PG]).all():
        raise ValueError("a reward that is said to be valid is NaN or infinite")
    return rewards_PG, valid_PG
