"""GRPO on the random models, in this process and in several; the reward is the brightness of a clip.

python -m tests.trainer.helpers.wan_runs OUT PROMPTS_FILE model=NAME KEY=VALUE...
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file

from identity_reward_client import FakeRewardClient
from identity_reward_client.inputs.tensors import from_pixels
from tests.trainer.helpers.runs import run as run_with
from trainer.policies.base import VideoPolicy
from trainer.policies.load import load_policy
from trainer.prompts import read_prompts

FIELDS = {
    "sampling__num_steps": 3, "sampling__guidance": 2.0, "sampling__batch": 2, "optimizer__learning_rate": 1e-2,
    "adapter__rank": 4, "adapter__alpha": 4, "group_size": 2, "groups_per_update": 2, "micro_batch": 2, "steps": 2,
}  # fmt: skip


def brightness(references, video, prompt) -> float:
    return float(from_pixels(video.frames).mean())


def run(out: Path, prompts, model: str, policy_options: dict, options=None, **fields) -> VideoPolicy:
    """Trains `model`, vace or phantom, for two steps, and returns the policy with its LoRA."""
    policies: list[VideoPolicy] = []

    def policy():
        policies.append(load_policy(f"trainer.policies.wan.{model}:load_policy", policy_options, torch.device("cpu")))
        policies[0].prepare_prompts(prompts)
        return policies[0]

    client = FakeRewardClient(reward=brightness)
    run_with(out, prompts, client=client, policy=policy, options=options, **{**FIELDS, **fields})
    return policies[0]


def trained_weights(policy: VideoPolicy) -> dict:
    return {name: p.detach().contiguous() for name, p in policy.network.named_parameters() if p.requires_grad}


def main(out: Path, prompts_file: Path, *arguments: str) -> None:
    """Trains, and writes the weights of this process to `rank-N.safetensors`."""
    options = {name: yaml.safe_load(text) for name, text in (argument.split("=", 1) for argument in arguments)}
    policy = run(out, read_prompts(prompts_file), options.pop("model"), options, gradient_checkpointing=True)
    save_file(trained_weights(policy), out / f"rank-{os.environ['RANK']}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
