"""What the pretrained policy generates, and what a reward sees of it.

`python -m examples.people_policy.checks.generated --json OUT`

Groups of videos of new casts, judged by ground truth and by a reward: shares of each kind, mean reward
of each kind, the spread of rewards within groups (without one GRPO has nothing to learn from), and how often of two
videos of a group the one with fewer wrong key frames has the higher reward. Seconds are those of this machine and load.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from identity_reward_client import Frames, HttpRewardClient, SyncRewardClient, local_client
from reward_model.data.seeding import generator
from trainer.policies.base import Conditioning
from trainer.prompts import Prompt

from ..ground_truth import KINDS, Truth, judge
from ..make_prompts import PROMPTS, TRUTH, read_truth, write_prompts
from ..policy import PeoplePolicy, load_policy
from ..sampling import sample_latents
from ..scene import CLIP_SIZE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="face-tracks")
    parser.add_argument("--url", help="of a service that scores; this process does if absent")
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--videos", type=int, default=8, help="of a group")
    parser.add_argument("--seed", type=int, default=90, help="of the casts")
    parser.add_argument("--weights", help="those that ship if absent")
    parser.add_argument("--json", type=Path, help="file for the result")
    args = parser.parse_args()
    policy = load_policy(weights=args.weights)
    with TemporaryDirectory() as folder:
        write_prompts(Path(folder), args.groups, args.seed)
        rows = [json.loads(line) for line in (Path(folder) / PROMPTS).read_text().splitlines()]
        own = read_truth(Path(folder) / TRUTH)
        prompts = [Prompt(r["id"], r["prompt"], tuple(Path(folder) / path for path in r["references"])) for r in rows]
        with SyncRewardClient(HttpRewardClient(args.url) if args.url else local_client([args.model])) as client:
            groups = [
                check_group(policy, client, args.model, prompt, own[prompt.key], args.videos) for prompt in prompts
            ]
    policy.close()
    result = {"model": args.model, "videos": args.videos, "cores": os.cpu_count(), **summarize(groups)}
    print(json.dumps(result, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def check_group(
    policy: PeoplePolicy, client: SyncRewardClient, model: str, prompt: Prompt, own_PC: np.ndarray, num_videos: int
) -> dict[str, Any]:
    """Truth, rewards (NaN where there is none) and seconds of a group."""
    seconds = {}
    start = time.monotonic()
    conditioning: Conditioning = {k: v.expand(num_videos, *v.shape[1:]) for k, v in policy.encode([prompt]).items()}
    rng = generator("policy check", prompt.key)
    shape = (num_videos, *policy.latent_shape(conditioning))
    latents = sample_latents(policy, conditioning, torch.from_numpy(rng.standard_normal(shape, np.float32)))
    seconds["sample"] = time.monotonic() - start
    start = time.monotonic()
    videos = policy.decode(latents, conditioning)
    seconds["decode"] = time.monotonic() - start
    start = time.monotonic()
    frames = [Frames(video, fps=CLIP_SIZE.fps) for video in videos]
    items = client.score_group(list(prompt.references), frames, model=model, prompt=prompt.text).items
    seconds["score"] = time.monotonic() - start
    rewards = np.array([item.scored.reward if item.scored else np.nan for item in items])
    return {
        "truth": judge(latents.numpy(), np.repeat(own_PC[None], num_videos, 0)),
        "rewards": rewards,
        "seconds": seconds,
        "load": os.getloadavg()[0],
    }


def summarize(groups: list[dict[str, Any]]) -> dict[str, Any]:
    truths: list[Truth] = [group["truth"] for group in groups]
    kinds = np.concatenate([truth.kinds for truth in truths])
    rewards = np.concatenate([group["rewards"] for group in groups])
    agreements = [agreement(group["truth"], group["rewards"]) for group in groups]
    # the first group starts the renderers and loads the model
    warm = groups[1:] or groups
    return {
        "groups": len(groups),
        "without_reward": int(np.isnan(rewards).sum()),
        "ground_truth": {
            f"{people} people": mean_summary([truth for truth in truths if truth.states.shape[1] == people])
            for people in (1, 2)
        },
        "mean_reward": {kind: mean_of(rewards[kinds == kind]) for kind in KINDS},
        "reward": mean_of(rewards),
        "spread_in_groups": mean_of(np.array([np.nanstd(group["rewards"]) for group in groups])),
        "pairs_in_which_reward_agrees_with_truth": mean_of(np.array(agreements)),
        "seconds_per_video": {
            name: round(float(np.median([g["seconds"][name] / len(g["rewards"]) for g in warm])), 3)
            for name in ("sample", "decode", "score")
        },
        "load": round(float(np.mean([group["load"] for group in groups])), 1),
    }


def agreement(truth: Truth, rewards: np.ndarray) -> float:
    """Share of a group's pairs with different numbers of right key frames whose rewards are in that order."""
    right = (truth.states == "right").mean((1, 2))
    a, b = np.triu_indices(len(right), 1)
    order = np.sign(right[a] - right[b]) * np.sign(rewards[a] - rewards[b])
    order = order[(right[a] != right[b]) & np.isfinite(order)]
    return float((order > 0).mean()) if order.size else np.nan


def mean_of(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)]
    return round(float(values.mean()), 4) if values.size else None


def mean_summary(truths: list[Truth]) -> dict[str, float]:
    summaries = [truth.summary() for truth in truths]
    return {name: round(float(np.mean([s[name] for s in summaries])), 4) for name in summaries[0]} if summaries else {}


if __name__ == "__main__":
    main()
