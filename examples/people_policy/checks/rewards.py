"""What rewards see of the world's mistakes: `python -m examples.people_policy.checks.rewards --json OUT`.

Renders clips of each kind of `world` with the same casts and scenes, scores them in this process, and prints mean
rewards, and the share of casts whose right clip gets more than that of the kind. A kind that a reward does not see is
one that GRPO with this reward cannot unlearn.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from identity_reward_client import Frames, SyncRewardClient, local_client
from reward_model.data.people.appearance.person_code import person_code, person_from_code
from reward_model.data.people.appearance.sampling import sample_person
from reward_model.data.people.rendering.factory import open_renderer
from reward_model.data.seeding import generator

from ..scene import CLIP_SIZE, NUM_KEY_FRAMES, render_clip, sample_portraits, scene_seed
from ..world import SHARES, sample_casts, sample_clips

POOL = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="face-tracks,arcface", help="names, separated by commas")
    parser.add_argument("--casts", type=int, default=16, help="of each number of people")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the result")
    args = parser.parse_args()
    models = args.models.split(",")
    rewards = {people: score_kinds(models, people, args.casts, args.seed) for people in (1, 2)}
    result = {
        "casts": args.casts,
        "seed": args.seed,
        "models": {
            model: {f"{people} people": summarize(rewards[people][model]) for people in rewards} for model in models
        },
    }
    for model in models:
        for people, kinds in result["models"][model].items():
            print(f"{model}, {people}")
            for kind, row in kinds.items():
                print(
                    f"  {kind:10} mean {row['mean']:8.3f}  right wins {row['right_wins']:.3f}  ({row['count']} clips)"
                )
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def score_kinds(models: list[str], num_people: int, num_casts: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """{model: {kind: rewards of the casts}}; NaN where a clip has no reward."""
    rng = generator(seed, "reward check", num_people)
    codes_NC = np.stack([person_code(sample_person(seed, f"check {n}")) for n in range(POOL)])
    casts = sample_casts(rng, codes_NC, num_casts, num_people)
    clips = {kind: sample_clips(rng, casts, np.repeat(kind, num_casts), NUM_KEY_FRAMES) for kind in SHARES}
    rewards: dict[str, dict[str, list[float]]] = {model: {kind: [] for kind in SHARES} for model in models}
    renderer = open_renderer()
    with SyncRewardClient(local_client(models=models)) as client:
        for n in range(num_casts):
            scene = scene_seed(f"check {seed} {num_people} {n}")
            people = [person_from_code(code, "") for code in casts.own_BPC[n]]
            references = [portrait.render(renderer) for portrait in sample_portraits(scene, people)]
            videos = [Frames(render_clip(renderer, scene, clips[kind][n]), fps=CLIP_SIZE.fps) for kind in SHARES]
            for model in models:
                items = client.score_group(references, videos, model=model).items
                for kind, item in zip(SHARES, items, strict=True):
                    rewards[model][kind].append(item.scored.reward if item.scored else float("nan"))
    renderer.close()
    return rewards


def summarize(rewards: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Of each kind its mean, and the share of casts in which the right clip gets more than it."""
    right = np.array(rewards["right"])
    rows = {}
    for kind, values_of_kind in rewards.items():
        values = np.array(values_of_kind)
        both = np.isfinite(values) & np.isfinite(right)
        wins = (right > values) + 0.5 * (right == values)
        rows[kind] = {
            "mean": float(values[both].mean()),
            "right_wins": float(wins[both].mean()),
            "count": int(both.sum()),
        }
    return rows


if __name__ == "__main__":
    main()
