"""How much of the reward's time hides behind a rollout: `python -m benchmarks.reward_overlap [--rollout-s 1 4]`.

A service process with `tiny` on loopback. The rollout is a wait, as for a policy on its own device, in which groups of
8 clips of 33x240x416 finish one after the other. Ours sends each as it finishes; the peer sends all of them when the
rollout is over, as the released trainer does. Both through the same client, new clips each time.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np

from trainer.rewards import RemoteReward
from trainer.types import RolloutGroup, StepRewards

from .support import harness
from .support.clips import FPS, synthetic_clip
from .support.service_process import service

VIDEOS = 8
ROUNDS = 5


def groups(number: int, seed: int) -> list[RolloutGroup]:
    """One coarse moving picture a group; its clips are shifted in colour."""
    images = [np.random.default_rng(person).integers(0, 256, (128, 128, 3), dtype=np.uint8) for person in (0, 1)]
    made = []
    for n in range(number):
        first = synthetic_clip(seed * number + n)
        made.append(RolloutGroup(str(n), images, [first ^ np.uint8(9 * v) for v in range(VIDEOS)], fps=FPS))
    return made


def as_they_finish(reward: RemoteReward, step: list[RolloutGroup], rollout_s: float) -> StepRewards:
    begin = time.monotonic()
    for n, group in enumerate(step, 1):
        time.sleep(max(begin + rollout_s * n / len(step) - time.monotonic(), 0))
        reward.submit(group)
    return reward.collect()


def at_the_end(reward: RemoteReward, step: list[RolloutGroup], rollout_s: float) -> StepRewards:
    time.sleep(rollout_s)
    for group in step:
        reward.submit(group)
    return reward.collect()


def measure(given: argparse.Namespace) -> list[harness.Row]:
    rows = []
    with service("--model", "tiny") as served, RemoteReward.http(served.url, max_in_flight=given.groups) as reward:
        step = groups(given.groups, 0)
        ours, peer = as_they_finish(reward, step, 0.0), at_the_end(reward, step, 0.0)
        harness.gate(bool(ours.valid_PG.all() and peer.valid_PG.all()), "rewards are missing")
        worst = float(np.abs(ours.rewards_PG - peer.rewards_PG).max())
        harness.gate(worst <= 1e-6, f"rewards depend on when they were asked for, by {worst:.2g}")
        seed = 1
        for rollout_s in given.rollout_s:
            # rollout and what was waited for after it, and what was waited alone
            steps: tuple[list[float], list[float]] = ([], [])
            waits: tuple[list[float], list[float]] = ([], [])
            hidden = []
            for _ in range(ROUNDS):
                for k, play in enumerate((as_they_finish, at_the_end)):
                    step, seed = groups(given.groups, seed), seed + 1
                    begin = time.monotonic()
                    overlap = play(reward, step, rollout_s)
                    steps[k].append(time.monotonic() - begin)
                    waits[k].append(overlap.waited_s)
                    if play is as_they_finish:
                        hidden.append(overlap.hidden_s / overlap.scoring_s)
            name = f"rollout of {rollout_s:g} s, {given.groups} groups"
            share = round(median(hidden), 3)
            rows.append(harness.row(f"{name}: waited", "s", "sent at the end", *waits, hidden_share=share))
            rows.append(harness.row(f"{name}: step", "s", "sent at the end", *steps))
            print(f"{name}: {share:.0%} of the reward's time is hidden", flush=True)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollout-s", type=float, nargs="+", default=[1.0, 4.0], help="seconds of sampling a step")
    parser.add_argument("--groups", type=int, default=8, help=f"of a step, {VIDEOS} clips each")
    harness.main("reward_overlap", measure, parser)
