"""Share of the scoring time that overlaps with the rollout: `python -m benchmarks.reward.overlap [--rollout-s 1 4]`.

A service process with the model `tiny` runs on loopback. The rollout is simulated by waiting, as for a policy on its
own device; groups of 8 clips of 33x240x416 finish one after another. Ours sends each group when it is finished. The
peer sends all groups after the rollout, as the released trainer does. Both use the same client and new clips in every
round.

Gate: every video has a reward, and both ways give the same rewards to 1e-6.

With `--config CONFIG` the trainer itself runs, too, on that configuration and on the models of `--model`. Its steps
send groups as they finish and after the rollout in turn; the policy and the service share this machine. Gate: every
video has a reward.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from reward_model.training.loop.journal import read_metrics
from trainer.config import read_grpo_config
from trainer.rewards import RemoteReward
from trainer.run.start import start
from trainer.types import RolloutGroup, StepRewards

from ..support import harness
from ..support.clips import FPS, synthetic_clip
from ..support.service_process import service

VIDEOS = 8
ROUNDS = 5


def groups(number: int, seed: int) -> list[RolloutGroup]:
    """`number` groups of synthetic clips; the clips of a group differ in colour only."""
    images = [np.random.default_rng(person).integers(0, 256, (128, 128, 3), dtype=np.uint8) for person in (0, 1)]
    result = []
    for n in range(number):
        first = synthetic_clip(seed * number + n)
        result.append(RolloutGroup(str(n), images, [first ^ np.uint8(9 * v) for v in range(VIDEOS)], fps=FPS))
    return result


def as_they_finish(reward: RemoteReward, step: list[RolloutGroup], rollout_s: float) -> StepRewards:
    """Send each group when it finishes; the groups finish at equal intervals."""
    begin = time.monotonic()
    for n, group in enumerate(step, 1):
        time.sleep(max(begin + rollout_s * n / len(step) - time.monotonic(), 0))
        reward.submit(group)
    return reward.collect()


def at_the_end(reward: RemoteReward, step: list[RolloutGroup], rollout_s: float) -> StepRewards:
    """Send all groups after the rollout."""
    time.sleep(rollout_s)
    for group in step:
        reward.submit(group)
    return reward.collect()


def measure(arguments: argparse.Namespace) -> list[harness.Row]:
    rows = []
    with service("--model", "tiny") as served, RemoteReward.http(served.url, max_in_flight=arguments.groups) as reward:
        step = groups(arguments.groups, 0)
        ours, peer = as_they_finish(reward, step, 0.0), at_the_end(reward, step, 0.0)
        harness.gate(bool(ours.valid_PG.all() and peer.valid_PG.all()), "rewards are missing")
        difference = float(np.abs(ours.rewards_PG - peer.rewards_PG).max())
        harness.gate(difference <= 1e-6, f"rewards of the two ways differ by {difference:.2g}, over 1e-6")
        seed = 1
        for rollout_s in arguments.rollout_s:
            # seconds of the whole step, and seconds of waiting after the rollout; ours and the peer's
            steps: tuple[list[float], list[float]] = ([], [])
            waits: tuple[list[float], list[float]] = ([], [])
            hidden = []
            for _ in range(ROUNDS):
                for side, play in enumerate((as_they_finish, at_the_end)):
                    step, seed = groups(arguments.groups, seed), seed + 1
                    begin = time.monotonic()
                    rewards = play(reward, step, rollout_s)
                    steps[side].append(time.monotonic() - begin)
                    waits[side].append(rewards.waited_s)
                    if play is as_they_finish:
                        hidden.append(rewards.hidden_s / rewards.scoring_s)
            name = f"rollout of {rollout_s:g} s, {arguments.groups} groups"
            share = round(median(hidden), 3)
            rows.append(harness.row(f"{name}: waited", "s", "sent at the end", *waits, hidden_share=share))
            rows.append(harness.row(f"{name}: step", "s", "sent at the end", *steps))
            print(f"{name}: {share:.0%} of the reward's time overlaps with the rollout", flush=True)
    return rows


class InTurn(RemoteReward):
    """Sends the groups of step 0, 2, ... as they are submitted, and those of the other steps in `collect`."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._held: list[RolloutGroup] = []
        self._completed = 0

    def submit(self, group: RolloutGroup) -> None:
        if self._completed % 2 == 0:
            super().submit(group)
        else:
            self._held.append(group)

    def collect(self) -> StepRewards:
        for group in self._held:
            super().submit(group)
        self._held.clear()
        self._completed += 1
        return super().collect()


def measure_trainer(arguments: argparse.Namespace) -> list[harness.Row]:
    """Seconds of whole steps of the trainer, and of waiting for rewards in them. The first two steps warm up."""
    models = [part for name in arguments.model for part in ("--model", name)]
    with service(*models) as served, TemporaryDirectory() as folder:
        fixed = {
            "rewards.url": served.url, "rewards.max_in_flight": 1024, "steps": 2 * ROUNDS + 2,
            "data.evaluation_prompts": "null", "tracking.draw_every": 0,
        }  # fmt: skip
        settings = [*arguments.set, *(f"{key}={value}" for key, value in fixed.items())]
        config = read_grpo_config(arguments.config, settings)
        start(config, Path(folder) / "run", reward_type=InTurn)
        lines = read_metrics(Path(folder) / "run")[2:]
    harness.gate(not any(line["missing"] for line in lines), "rewards are missing")
    ours, peer = lines[::2], lines[1::2]
    hidden = median((line["scoring_s"] - line["waited_s"]) / line["scoring_s"] for line in ours)
    name = f"trainer, {Path(arguments.config).stem}"
    seconds = {part: [[line[key] for line in side] for side in (ours, peer)]
               for part, key in (("waited", "waited_s"), ("step", "seconds"))}  # fmt: skip
    return [
        harness.row(f"{name}: waited", "s", "sent at the end", *seconds["waited"], hidden_share=round(hidden, 3)),
        harness.row(f"{name}: step", "s", "sent at the end", *seconds["step"]),
    ]


def main(arguments: argparse.Namespace) -> list[harness.Row]:
    return [*measure(arguments), *(measure_trainer(arguments) if arguments.config else ())]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollout-s", type=float, nargs="+", default=[1.0, 4.0], help="seconds of sampling per step")
    parser.add_argument("--groups", type=int, default=8, help=f"groups per step, {VIDEOS} clips each")
    parser.add_argument("--config", help="run the trainer on this configuration, or on one that ships")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a field of that configuration")
    parser.add_argument("--model", nargs="+", default=["tiny"], help="models of the service for the trainer")
    harness.main("reward.overlap", main, parser)
