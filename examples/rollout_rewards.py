"""Simulate the sampling half of a GRPO run: a service scores each group of clips while the next one is sampled.

    python examples/rollout_rewards.py --url http://127.0.0.1:3000     # a running service
    python examples/rollout_rewards.py --serve                         # starts one with the model `tiny`

The clips are views of the example images; --rollout-s is the time that sampling would take.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from demo import DemoFailed, service
from PIL import Image

from identity_reward_client import RewardError
from trainer.advantages import group_advantages
from trainer.rewards import NoRewards, RemoteReward
from trainer.types import RolloutGroup, StepRewards

HERE = Path(__file__).resolve().parent
PEOPLE = ("anna", "bea", "carl")
FPS = 10


def clip(image: Image.Image, rng: np.random.Generator, frames: int, height: int, width: int) -> np.ndarray:
    """uint8 [T, H, W, 3]: a camera that moves over the image along a random line, with a little noise."""
    scale = rng.uniform(1.2, 2.0) * max(width / image.width, height / image.height)
    pixels_HWC = np.asarray(image.resize((round(image.width * scale), round(image.height * scale))))
    max_corner = np.array(pixels_HWC.shape[:2]) - (height, width)
    ends = rng.integers(0, max_corner + 1, (2, 2))
    noise = rng.integers(0, 12, (height, width, 3), dtype=np.uint8)
    corners_T2 = np.rint(np.linspace(*ends, frames)).astype(int)
    return np.stack([np.maximum(pixels_HWC[y : y + height, x : x + width], noise) for y, x in corners_T2])


def rollout(step: int, args: argparse.Namespace) -> Iterator[RolloutGroup]:
    """The groups of a step, at equal intervals over --rollout-s."""
    begin = time.monotonic()
    for n in range(args.groups):
        name = PEOPLE[n % len(PEOPLE)]
        path = HERE / f"references/{name}.jpg"
        rng = np.random.default_rng([step, n])
        with Image.open(path) as image:
            clips = [clip(image, rng, args.frames, args.height, args.width) for _ in range(args.videos)]
        time.sleep(max(begin + args.rollout_s * (n + 1) / args.groups - time.monotonic(), 0))
        yield RolloutGroup(f"{name}-{n}", [path], clips, fps=FPS, prompt=f"{name} walks through a garden")


def run_step(step: int, reward: RemoteReward, args: argparse.Namespace) -> str:
    begin = time.monotonic()
    for group in rollout(step, args):
        reward.submit(group)
    sampled_s = time.monotonic() - begin
    try:
        rewards, note = reward.collect(), ""
    except NoRewards as error:
        rewards, note = error.step, f"  {error}"
    return table_row(step, sampled_s, rewards) + note


def table_row(step: int, sampled_s: float, rewards: StepRewards) -> str:
    valid = rewards.rewards_PG[rewards.valid_PG]
    mean = f"{valid.mean():8.4f}" if valid.size else "       -"
    advantages = group_advantages(rewards.rewards_PG, rewards.valid_PG)
    errors = ", ".join(f"{count} x {code}" for code, count in rewards.error_counts.items())
    return (
        f"{step:>4} {sampled_s:>9.2f} {rewards.scoring_s:>8.2f} {rewards.hidden_s:>8.2f} {rewards.waited_s:>10.2f} "
        f"{valid.size:>5}/{rewards.valid_PG.size:<4} {mean} {int(advantages.used_PG.sum()):>6}  {errors}"
    ).rstrip()


HEADER = "step rollout s reward s hidden s not hidden     valid  reward   used"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="address of a running service")
    where.add_argument("--serve", action="store_true", help="start one with the model tiny, and stop it at the end")
    parser.add_argument("--model", help="model of the service; its default if absent")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--groups", type=int, default=16, help="groups per step")
    parser.add_argument("--videos", type=int, default=8, help="videos per group")
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--width", type=int, default=416)
    parser.add_argument("--rollout-s", type=float, default=16.0, help="seconds of sampling per step, at least")
    parser.add_argument(
        "--step-wait-s", type=float, default=600.0, help="seconds that a step waits for rewards at most"
    )
    return parser.parse_args()


def main() -> int:
    args = arguments()
    try:
        with service("--model", "tiny") if args.serve else nullcontext(args.url) as url:
            print(HEADER, flush=True)
            with RemoteReward.http(url, model=args.model, step_wait_s=args.step_wait_s) as reward:
                for step in range(args.steps):
                    print(run_step(step, reward, args), flush=True)
    except (DemoFailed, RewardError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
