"""GRPO advantages from rewards, in float64. Shapes: P groups, G items per group, N valid items of one group.

Identity-GRPO (arXiv 2510.14256) equation 7: A_i = (r_i - mean(r)) / std(r) over an item's group. The paper does not say
which standard deviation; the released trainer takes that of the population (divided by G, not G - 1), adds 1e-4 to it,
and clamps advantages to [-5, 5], which are the defaults here. Items without a reward have no influence on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from identity_reward_client import preference

from .types import ItemKey

# in units of the reward; damps groups whose rewards hardly differ
EPS = 1e-4
CLIP_MAX = 5.0

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Advantages:
    """Advantages of a step. The loss uses the items of `used_PG`; the advantages of the others are NaN."""

    # in [-clip_max, clip_max]
    advantages_PG: Float64
    used_PG: Bool
    # groups dropped because fewer than two of their rewards are valid
    too_small: int
    # groups dropped because all of their valid rewards are equal
    flat: int
    # items whose advantage was clamped
    clipped: int

    def by_item(self, keys_P: Sequence[str]) -> dict[ItemKey, float]:
        """The advantages that are used, by key of the item. ValueError for another number of keys than groups."""
        if len(keys_P) != len(self.used_PG):
            raise ValueError(f"{len(keys_P)} keys for {len(self.used_PG)} groups")
        return {(keys_P[p], g): float(self.advantages_PG[p, g]) for p, g in np.argwhere(self.used_PG).tolist()}


def group_advantages(
    rewards_PG: ArrayLike, valid_PG: ArrayLike | None = None, *, eps: float = EPS, clip_max: float = CLIP_MAX
) -> Advantages:
    """Equation 7 over the valid items of each group.

    Args:
        rewards_PG: float [P, G].
        valid_PG: bool [P, G]; if None, the rewards that are not NaN are valid.
        eps: added to the standard deviation.
        clip_max: bound of the absolute advantage.

    Raises:
        ValueError: the shapes differ, or a valid reward is not a finite number.
    """
    rewards, valid = _check(rewards_PG, valid_PG)
    if eps < 0 or not clip_max > 0:
        raise ValueError(f"eps cannot be negative and clip_max must be positive, got {eps} and {clip_max}")
    raw_PG = np.full(rewards.shape, np.nan)
    too_small = flat = 0
    for p, valid_G in enumerate(valid):
        rewards_N = rewards[p, valid_G]
        if len(rewards_N) < 2:
            too_small += 1
        elif is_flat(rewards_N):
            flat += 1
        else:
            raw_PG[p, valid_G] = (rewards_N - rewards_N.mean()) / (rewards_N.std() + eps)
    used_PG = ~np.isnan(raw_PG)
    clipped = int((np.abs(raw_PG[used_PG]) > clip_max).sum())
    return Advantages(np.clip(raw_PG, -clip_max, clip_max), used_PG, too_small, flat, clipped)


def is_flat(rewards_N: Float64) -> bool:
    """Whether all rewards are equal. Rounding can make the deviation of equal rewards positive, so both are checked."""
    return bool(rewards_N.min() == rewards_N.max() or rewards_N.std() == 0)


def win_rate_advantages(
    rewards_PG: ArrayLike,
    valid_PG: ArrayLike | None = None,
    *,
    theta: float = preference.THETA,
    preference_scale: float = 1.0,
    eps: float = EPS,
    clip_max: float = CLIP_MAX,
) -> Advantages:
    """Equation 7 on win rates instead of rewards; arguments and errors as of `group_advantages` and `win_rates`.

    A win rate is bounded, so that one outlier does not flatten the other differences in its group. It is normalised
    like a reward (its mean over a group is 1/2), so that clip range and learning rate carry over; a group of near ties
    is stretched to full size, as by equation 7.
    """
    rewards, valid = _check(rewards_PG, valid_PG)
    rates_PG = np.full(rewards.shape, np.nan)
    for p, valid_G in enumerate(valid):
        if valid_G.sum() >= 2:
            rates_PG[p, valid_G] = win_rates(rewards[p, valid_G], theta, preference_scale)
    # a single valid item has no other to win against, and so no rate: group_advantages drops its group as too small
    return group_advantages(rates_PG, eps=eps, clip_max=clip_max)


def win_rates(rewards_N: ArrayLike, theta: float = preference.THETA, preference_scale: float = 1.0) -> Float64:
    """Mean over the other items of P(win) + P(tie) / 2 under Bradley-Terry-with-Ties: [N] in [0, 1], with mean 1/2.

    `preference_scale` is that of the model that computed the rewards (`ModelInfo.preference_scale`). ValueError for
    fewer than two rewards, and for rewards that are not finite.
    """
    rewards = np.asarray(rewards_N, dtype=np.float64)
    if rewards.ndim != 1 or len(rewards) < 2 or not np.isfinite(rewards).all():
        raise ValueError(f"win rates need two or more finite rewards in a row, got {rewards}")
    win_NN, tie_NN = preference.matrices(preference_scale * rewards, theta)
    gain_NN = win_NN + tie_NN / 2
    np.fill_diagonal(gain_NN, 0.0)
    rates_N: Float64 = gain_NN.sum(axis=1) / (len(rewards) - 1)
    return rates_N


def _check(rewards_PG: ArrayLike, valid_PG: ArrayLike | None) -> tuple[Float64, Bool]:
    rewards = np.asarray(rewards_PG, dtype=np.float64)
    valid = ~np.isnan(rewards) if valid_PG is None else np.asarray(valid_PG)
    if rewards.ndim != 2 or valid.shape != rewards.shape or valid.dtype != bool:
        raise ValueError(
            f"rewards are [P, G] with a bool mask of that shape; got {rewards.shape} and {valid.dtype} {valid.shape}"
        )
    if not np.isfinite(rewards[valid]).all():
        raise ValueError("a valid reward is NaN or infinite")
    return rewards, valid
