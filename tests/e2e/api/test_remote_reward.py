"""RemoteReward with a real server process, and the example that simulates a training run with it."""

import re
import subprocess
import sys

import numpy as np
import pytest

from identity_reward_client import HttpRewardClient, SyncRewardClient
from service.local import LocalRewardClient
from tests.e2e.load.faults import noise_clip
from tests.support.metrics import is_idle
from tests.support.paths import ROOT
from tests.support.waiting import GENEROUS_S, wait_until
from trainer.rewards import RemoteReward, RewardSource
from trainer.types import RolloutGroup


@pytest.fixture(scope="module")
def local():
    with SyncRewardClient(LocalRewardClient(["tiny", "arcface"])) as client:
        yield client


def local_rewards(local, group: RolloutGroup, model: str) -> list[float | None]:
    answer = local.score_group(group.references, list(group.videos), fps=group.fps, model=model)
    return [item.reward for item in answer.items]


def test_a_step_has_the_rewards_of_the_local_client(server, local):
    sets = [[noise_clip(1)[0]], [noise_clip(2)[0], noise_clip(3)[0]]]
    groups = [
        RolloutGroup(f"g{n}", sets[n % 2], [noise_clip(10 * n + g) for g in range(3)], fps=8) for n in range(1, 9)
    ]
    broken = noise_clip(99).astype(np.float32)
    groups.append(RolloutGroup("with a bad clip", sets[0], [noise_clip(98), broken, noise_clip(97)], fps=8))
    with RemoteReward.http(server.url, model="tiny", max_in_flight=3) as reward:
        for group in groups:
            reward.submit(group)
        step = reward.collect()
    expected_PG = np.array([local_rewards(local, group, "tiny") for group in groups], dtype=float)
    assert step.valid_PG.sum() == 26
    assert [(error.item, error.code) for error in step.errors] == [(("with a bad clip", 1), "invalid_request")]
    assert step.rewards_PG == pytest.approx(expected_PG, abs=1e-6, nan_ok=True)


def test_two_models_of_one_service_are_added_to_one_reward(server, local, clip_frames, reference_jpeg):
    client = HttpRewardClient(server.url, priority="rollout")
    sources = [RewardSource("faces", client, "arcface"), RewardSource("tiny", client, "tiny", weight=0.25)]
    with_face = RolloutGroup("face", [reference_jpeg], [clip_frames, clip_frames[::-1].copy()], fps=12)
    without = RolloutGroup("no face", [noise_clip(5)[0]], [clip_frames], fps=12)
    with RemoteReward(sources) as reward:
        reward.submit(with_face)
        reward.submit(without)
        step = reward.collect()
    faces, tiny = (np.array(local_rewards(local, with_face, model)) for model in ("arcface", "tiny"))
    assert step.rewards_PG[0] == pytest.approx(faces + 0.25 * tiny, abs=1e-6)
    assert step.valid_PG.tolist() == [[True, True], [False, False]]
    assert step.error_counts == {"reference_without_face": 1}
    assert np.isfinite(step.components["tiny"][1, 0]), "kept, though its item is not valid"


def test_closing_waits_for_no_score_and_leaves_the_service_idle(slow_server):
    reward = RemoteReward.http(slow_server.url, model="slow")
    with slow_server.gate.closed():
        for n in range(8):
            reward.submit(RolloutGroup(str(n), [noise_clip(1)[0]], [noise_clip(8 * n + g) for g in range(8)], fps=8))
        slow_server.gate.wait_for_batch()
        reward.close()
        wait_until(lambda: is_idle(slow_server.url), "nothing is held for it while the model is still busy")


def test_the_example_simulates_a_run(server):
    sizes = {"steps": 2, "groups": 3, "videos": 2, "frames": 9, "height": 48, "width": 64, "rollout-s": 0.5}
    options = [f"--{name}={value}" for name, value in sizes.items()]
    command = [sys.executable, "examples/rollout_rewards.py", "--url", server.url, "--model", "tiny", *options]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS_S)
    assert completed.returncode == 0, completed.stderr
    head, *steps = completed.stdout.splitlines()
    assert head.split()[:2] == ["step", "rollout"]
    assert len(steps) == 2
    assert all(re.search(r" 6/6 .* 6$", line) for line in steps), completed.stdout
