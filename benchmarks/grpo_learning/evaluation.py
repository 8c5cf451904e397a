"""Videos of held-out casts from fixed noise, judged by the rewards of the service and by ground truth.

N videos: `VIDEOS` of each prompt, in the order of the prompts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from examples.people_policy.ground_truth import judge
from examples.people_policy.make_prompts import PROMPTS, TRUTH, read_truth
from examples.people_policy.policy import load_policy
from identity_reward_client.transports.http import HttpRewardClient
from trainer.config import GrpoConfig
from trainer.noise import Noise
from trainer.prompts import Prompt, read_prompts
from trainer.rewards import RemoteReward
from trainer.rewards.sources import RewardSource
from trainer.rollout import decode, sample_latents
from trainer.types import RolloutGroup

# the trained reward, and rewards that are only watched
MODELS = ("face-tracks", "arcface", "compact")
VIDEOS = 2
_NOISE_SEED = 0


@dataclass(frozen=True)
class Judged:
    """Rewards [N] by model, None where one is missing; kinds [N] and mean distances [N] by ground truth."""

    prompts: list[str]
    rewards: dict[str, list[float | None]]
    kinds: list[str]
    distances: list[float]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)) + "\n")

    @classmethod
    def load(cls, path: Path) -> Judged:
        return cls(**json.loads(path.read_text()))

    def values(self) -> dict[str, np.ndarray]:
        """float64 [N] by name: rewards, NaN where missing; whether a video is `right` and `exchanged`; distances."""
        kinds = np.array(self.kinds)
        return {
            **{name: np.array([np.nan if x is None else x for x in row]) for name, row in self.rewards.items()},
            "right": (kinds == "right").astype(float),
            "exchanged": (kinds == "exchanged").astype(float),
            "distance": np.array(self.distances),
        }


def judged(config: GrpoConfig, casts: Path, url: str, adapter: Path | None) -> Judged:
    """Samples the held-out prompts of the folder `casts` with the policy, with or without an adapter."""
    prompts, truth = read_prompts(casts / PROMPTS), read_truth(casts / TRUTH)
    policy = load_policy(adapter=None if adapter is None else str(adapter))
    torch.set_grad_enabled(False)
    kinds: list[str] = []
    distances: list[float] = []
    try:
        with RemoteReward([_source(name, url) for name in MODELS]) as reward:
            for prompt in prompts:
                latents, conditioning = sample_latents(
                    policy, policy.network, prompt, VIDEOS, Noise(_NOISE_SEED, -1), config.sampling,
                    config.evaluation_sampling,
                )  # fmt: skip
                clips = decode(policy, latents, conditioning, config.sampling.batch)
                reward.submit(RolloutGroup(prompt.key, prompt.references, clips, policy.fps, prompt.text))
                shown = judge(latents.numpy(), np.repeat(truth[prompt.key][None], VIDEOS, 0))
                kinds += shown.kinds.tolist()
                distances += shown.distances.mean((1, 2)).tolist()
            rewards = reward.collect()
    finally:
        policy.close()
        torch.set_grad_enabled(True)
    return Judged(_repeated(prompts), {name: _json(values) for name, values in rewards.components.items()}, kinds,
                  distances)  # fmt: skip


def _source(name: str, url: str) -> RewardSource:
    return RewardSource(name, HttpRewardClient(url, timeout_s=600.0), name, float(name == MODELS[0]))


def _repeated(prompts: Sequence[Prompt]) -> list[str]:
    return [prompt.key for prompt in prompts for _ in range(VIDEOS)]


def _json(rewards_PG: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else value for value in rewards_PG.ravel().tolist()]
