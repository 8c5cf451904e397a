"""Rewards of a rollout over all processes, their advantages, and what the journal says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from accelerate.utils import gather_object

from ..advantages import (
    Advantages,
    Bool,
    Float64,
    global_std_advantages,
    group_advantages,
    per_reward_advantages,
    win_rate_advantages,
)
from ..config import AdvantageConfig
from ..types import StepRewards


@dataclass(frozen=True, eq=False)
class RolloutRewards:
    """Rewards of P groups, those of all processes, in the order of the rollout; see `StepRewards`."""

    rewards_PG: Float64
    valid_PG: Bool
    components: Mapping[str, Float64]
    # means over the groups that have the value, of each guard's value by name
    guard_values: Mapping[str, float]

    def journal(self) -> dict[str, float]:
        """Means for the journal; what has no value is left out."""
        values = {"missing": float((~self.valid_PG).sum())}
        if self.valid_PG.any():
            values["reward"] = float(self.rewards_PG[self.valid_PG].mean())
        spreads = [row[valid].std() for row, valid in zip(self.rewards_PG, self.valid_PG, strict=True) if valid.any()]
        if spreads:
            values["reward_std"] = float(np.mean(spreads))
        for name, part in self.components.items():
            if len(self.components) > 1 and not np.isnan(part).all():
                values[f"reward_{name}"] = float(np.nanmean(part))
        return values | dict(self.guard_values)


def gathered(step: StepRewards, guard_values: Sequence[Mapping[str, float]], index: int, count: int) -> RolloutRewards:
    """The rewards of all processes. Process `index` of `count` has groups index, index + count, ... of the rollout;
    `guard_values` has the values of each of its groups."""
    rows = [
        (
            index + p * count,
            step.rewards_PG[p],
            step.valid_PG[p],
            {name: part[p] for name, part in step.components.items()},
            dict(guard_values[p]),
        )
        for p in range(len(step.keys_P))
    ]
    rows = sorted(gather_object(rows), key=lambda row: row[0])
    names = list(rows[0][3])
    guards: dict[str, list[float]] = {}
    for *_, values in rows:
        for name, value in values.items():
            guards.setdefault(name, []).append(value)
    return RolloutRewards(
        np.stack([row[1] for row in rows]),
        np.stack([row[2] for row in rows]),
        {name: np.stack([row[3][name] for row in rows]) for name in names},
        {name: float(np.mean(values)) for name, values in guards.items()},
    )


def advantages_of(rewards: RolloutRewards, weights: Mapping[str, float], config: AdvantageConfig) -> Advantages:
    """The advantages by the configuration's name."""
    bounds = {"eps": config.eps, "clip_max": config.clip_max}
    if config.kind == "per-reward":
        return per_reward_advantages(rewards.components, weights, rewards.valid_PG, **bounds)
    if config.kind == "win-rate":
        return win_rate_advantages(
            rewards.rewards_PG,
            rewards.valid_PG,
            theta=config.theta,
            preference_scale=config.preference_scale,
            **bounds,
        )
    named = {"group": group_advantages, "global-std": global_std_advantages}
    return named[config.kind](rewards.rewards_PG, rewards.valid_PG, **bounds)
