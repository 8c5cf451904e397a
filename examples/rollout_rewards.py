"""Play the sampling half of a GRPO run: groups of clips go to a service as they finish, rewards are there at the end.

    python examples/rollout_rewards.py --url http://127.0.0.1:3000     # a running service
    python examples/rollout_rewards.py --serve                         # one on `tiny`, for as long as it takes

The clips are the example pictures, moved about; making them stands for sampling, and --rollout-s for its length.
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


def clip(picture: Image.Image, draw: np.random.Generator, frames: int, height: int, width: int) -> np.ndarray:
    """uint8 [T, H, W, 3]: the camera moves over the picture on a way of its own, through a little noise."""
    scale = draw.uniform(1.2, 2.0) * max(width / picture.width, height / picture.height)
    wide = np.asarray(picture.resize((round(picture.width * scale), round(picture.height * scale))))
    room = np.array(wide.shape[:2]) - (height, width)
    ends = draw.integers(0, room + 1, (2, 2))
    noise = draw.integers(0, 12, (height, width, 3), dtype=np.uint8)
    corners_T2 = np.rint(np.linspace(*ends, frames)).astype(int)
    return np.stack([np.maximum(wide[y : y + height, x : x + width], noise) for y, x in corners_T2])


def rollout(step: int, given: argparse.Namespace) -> Iterator[RolloutGroup]:
    """Groups of a step, each when it is finished: --rollout-s spread evenly over them."""
    begin = time.monotonic()
    for n in range(given.groups):
        name = PEOPLE[n % len(PEOPLE)]
        path = HERE / f"references/{name}.jpg"
        draw = np.random.default_rng([step, n])
        with Image.open(path) as picture:
            clips = [clip(picture, draw, given.frames, given.height, given.width) for _ in range(given.videos)]
        time.sleep(max(begin + given.rollout_s * (n + 1) / given.groups - time.monotonic(), 0))
        yield RolloutGroup(f"{name}-{n}", [path], clips, fps=FPS, prompt=f"{name} walks through a garden")


def play(step: int, reward: RemoteReward, given: argparse.Namespace) -> str:
    begin = time.monotonic()
    for group in rollout(step, given):
        reward.submit(group)
    sampled_s = time.monotonic() - begin
    try:
        rewards, said = reward.collect(), ""
    except NoRewards as error:
        rewards, said = error.step, f"  {error}"
    return line(step, sampled_s, rewards) + said


def line(step: int, sampled_s: float, rewards: StepRewards) -> str:
    valid = rewards.rewards_PG[rewards.valid_PG]
    mean = f"{valid.mean():8.4f}" if valid.size else "       -"
    found = group_advantages(rewards.rewards_PG, rewards.valid_PG)
    errors = ", ".join(f"{count} x {code}" for code, count in rewards.error_counts.items())
    return (
        f"{step:>4} {sampled_s:>9.2f} {rewards.scoring_s:>8.2f} {rewards.hidden_s:>8.2f} {rewards.waited_s:>10.2f} "
        f"{valid.size:>5}/{rewards.valid_PG.size:<4} {mean} {int(found.used_PG.sum()):>6}  {errors}"
    ).rstrip()


HEAD = "step rollout s reward s hidden s not hidden     valid  reward   used"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="of a running service")
    where.add_argument("--serve", action="store_true", help="start one on tiny, and stop it at the end")
    parser.add_argument("--model", help="of the service; its default when not given")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--groups", type=int, default=16, help="of a step")
    parser.add_argument("--videos", type=int, default=8, help="of a group")
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--width", type=int, default=416)
    parser.add_argument("--rollout-s", type=float, default=16.0, help="seconds of sampling a step, at least")
    parser.add_argument(
        "--step-wait-s", type=float, default=600.0, help="seconds that a step waits for rewards at most"
    )
    return parser.parse_args()


def main() -> int:
    given = arguments()
    try:
        with service("--model", "tiny") if given.serve else nullcontext(given.url) as url:
            print(HEAD, flush=True)
            with RemoteReward.http(url, model=given.model, step_wait_s=given.step_wait_s) as reward:
                for step in range(given.steps):
                    print(play(step, reward, given), flush=True)
    except (DemoFailed, RewardError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
