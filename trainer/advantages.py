"""GRPO advantages from rewards, in float64. Shapes: P groups, G items per group, N valid items of one group.

Identity-GRPO (arXiv 2510.14256) equation 7: A_i = (r_i - mean(r)) / std(r) over an item's group. The paper does not say
which standard deviation; the released trainer takes that of the population (divided by G, not G - 1), adds 1e-4 to it,
and clamps advantages to [-5, 5], which are the defaults here. Items without a reward have no influence on the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from identity_reward_client import preference

from .types import ItemKey

# in units of the reward; damps groups whose rewards hardly differ
EPS = 1e-4
CLIP_MAX = 5.0

AdvantageName = Literal["group", "global-std", "win-rate", "per-reward"]

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
    return _clipped(*_normalized(rewards, valid, eps), clip_max)


def global_std_advantages(
    rewards_PG: ArrayLike, valid_PG: ArrayLike | None = None, *, eps: float = EPS, clip_max: float = CLIP_MAX
) -> Advantages:
    """Equation 7 with the standard deviation of all valid rewards of the step, as `global_std` of flow_grpo.

    Groups whose rewards differ little get small advantages instead of stretched ones. Arguments and errors as of
    `group_advantages`.
    """
    rewards, valid = _check(rewards_PG, valid_PG)
    std = float(rewards[valid].std()) if valid.any() else None
    return _clipped(*_normalized(rewards, valid, eps, std), clip_max)


def per_reward_advantages(
    components: Mapping[str, ArrayLike],
    weights: Mapping[str, float],
    valid_PG: ArrayLike,
    *,
    eps: float = EPS,
    clip_max: float = CLIP_MAX,
) -> Advantages:
    """Equation 7 for every reward apart, then the sum weighted by `weights` (GDPO, arXiv 2601.05242).

    A reward of large spread does not drown the others. One that is equal for a whole group adds 0 there; the group is
    flat where all of them are.

    Args:
        components: float [P, G] by name of the reward, as `StepRewards.components`; weight 0 leaves one out.
        weights: by the same names.
        valid_PG: bool [P, G], False for an item that lacks a reward with a weight.
        eps, clip_max: as of `group_advantages`; the sum is clamped.

    Raises:
        ValueError: as `group_advantages`; no weight other than 0.
    """
    total_PG: Float64 | None = None
    counts: list[tuple[int, int]] = []
    for name, weight in weights.items():
        if not weight:
            continue
        rewards, valid = _check(components[name], valid_PG)
        raw_PG, too_small, flat = _normalized(rewards, valid, eps)
        counts.append((too_small, flat))
        part_PG = weight * raw_PG
        if total_PG is None:
            total_PG = part_PG
            continue
        # NaN in both: no reward of the group has a spread
        total_PG = np.where(np.isnan(total_PG), part_PG, total_PG + np.nan_to_num(part_PG))
    if total_PG is None:
        raise ValueError("at least one reward needs a weight other than 0")
    too_small = counts[0][0]
    dropped = int(np.isnan(total_PG).all(axis=1).sum())
    return _clipped(total_PG, too_small, dropped - too_small, clip_max)


def _normalized(rewards: Float64, valid: Bool, eps: float, std: float | None = None) -> tuple[Float64, int, int]:
    """Equation 7 with the deviation of each group, or `std` in its place: NaN for items that are not used; the numbers
    of groups that are too small, and flat."""
    if eps < 0:
        raise ValueError(f"eps cannot be negative, got {eps}")
    raw_PG = np.full(rewards.shape, np.nan)
    too_small = flat = 0
    for p, valid_G in enumerate(valid):
        rewards_N = rewards[p, valid_G]
        if len(rewards_N) < 2:
            too_small += 1
        elif is_flat(rewards_N):
            flat += 1
        else:
            raw_PG[p, valid_G] = (rewards_N - rewards_N.mean()) / ((rewards_N.std() if std is None else std) + eps)
    return raw_PG, too_small, flat


def _clipped(raw_PG: Float64, too_small: int, flat: int, clip_max: float) -> Advantages:
    if not clip_max > 0:
        raise ValueError(f"clip_max must be positive, got {clip_max}")
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
