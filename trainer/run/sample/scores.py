"""Rewards of the files of `pairs`, and the comparison of both sides. N videos, in the order of the prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from identity_reward_client.messages import ModelInfo
from reward_model.training.loop.state import write_atomically
from trainer.rewards import NoRewards, RemoteReward
from trainer.rewards.service import reward_sources
from trainer.types import Float64, ItemError, RolloutGroup

from ..reports.comparison import RewardComparison, compare_rewards
from ..reports.contact_sheet import SheetRow, reward_text, write_sheet
from .pairs import SIDES, SamplePlan, Side
from .video_files import read_mp4

COMPARISON, SHEET = "comparison.json", "contact_sheet.png"


@dataclass(frozen=True, eq=False)
class PairScores:
    """Rewards [N] by source and side, NaN for missing ones."""

    rewards: Mapping[str, Mapping[Side, Float64]]
    # by source; None where no pair has both rewards
    comparisons: Mapping[str, RewardComparison | None]
    errors: tuple[ItemError, ...]

    def missing(self, source: str) -> int:
        """Videos without a reward, of both sides."""
        return sum(int(np.isnan(values).sum()) for values in self.rewards[source].values())


def score_pairs(plan: SamplePlan, models: Mapping[str, ModelInfo], token: str | None = None) -> PairScores:
    """Has all files scored by the service of the configuration. What failed is missing."""
    config = plan.config.rewards
    with RemoteReward(
        reward_sources(config, token),
        max_in_flight=config.max_in_flight,
        step_wait_s=config.step_wait_s,
        drop_on=config.drop_on,
    ) as reward:
        for index, prompt in enumerate(plan.prompts):
            for side in SIDES:
                # without a rate the service takes that of the file
                group = RolloutGroup(
                    f"{side} {prompt.key}", prompt.references, plan.paths(side, index), config.fps, prompt.text
                )
                reward.submit(group)
        try:
            step = reward.collect()
        except NoRewards as error:
            step = error.step
    rewards: dict[str, dict[Side, Float64]] = {
        name: {side: values[offset :: len(SIDES)].ravel() for offset, side in enumerate(SIDES)}
        for name, values in step.components.items()
    }
    prompts_N = [prompt.key for prompt in plan.prompts for _ in range(plan.videos)]
    comparisons = {
        name: compare_rewards(
            sides["before"], sides["after"], prompts_N, preference_scale=models[name].preference_scale
        )
        for name, sides in rewards.items()
    }
    return PairScores(rewards, comparisons, step.errors)


def write_comparison(plan: SamplePlan, models: Mapping[str, ModelInfo], scores: PairScores) -> Path:
    """Writes the rewards of every video, what failed, and the comparisons; missing rewards are null."""
    content: dict[str, Any] = {
        "adapter": str(plan.adapter),
        "prompts": [prompt.key for prompt in plan.prompts],
        "videos": plan.videos,
        "models": {name: {"name": model.name, "fingerprint": model.fingerprint} for name, model in models.items()},
        "comparisons": {
            name: None if comparison is None else asdict(comparison) for name, comparison in scores.comparisons.items()
        },
        "rewards": {
            name: {side: [None if np.isnan(value) else value for value in values.tolist()]
                   for side, values in sides.items()}
            for name, sides in scores.rewards.items()
        },
        "errors": [asdict(error) for error in scores.errors],
    }  # fmt: skip
    write_atomically(path := plan.out / COMPARISON, json.dumps(content, indent=1) + "\n")
    return path


def draw_sheet(plan: SamplePlan, scores: PairScores | None) -> Path:
    """The first video of the first prompts, before and after; with the reward of the first source with a weight."""
    rewards = None
    if scores is not None:
        rewards = scores.rewards[next(source.name for source in plan.config.rewards.sources if source.weight)]
    rows = []
    for index, prompt in enumerate(plan.prompts[: max(plan.config.evaluation.sheet_prompts, 1)]):
        captions = [
            side if rewards is None else f"{side}: {reward_text(rewards[side][index * plan.videos])}" for side in SIDES
        ]
        clips = [read_mp4(plan.path(side, index, 0)) for side in SIDES]
        rows.append(SheetRow(f"{prompt.key}: {prompt.text}", prompt.references, clips, captions))
    write_sheet(path := plan.out / SHEET, rows)
    return path
