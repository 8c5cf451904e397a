"""RemoteReward on a real server process, and the example that plays a training run with it."""

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from identity_reward_client import HttpRewardClient, SyncRewardClient
from service.local import LocalRewardClient
from tests.e2e.load.faults import noise
from trainer.rewards import RemoteReward
from trainer.step import RewardSource
from trainer.types import RolloutGroup

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def local():
    with SyncRewardClient(LocalRewardClient(["tiny", "arcface"])) as client:
        yield client


def truth(local, group: RolloutGroup, model: str) -> list[float | None]:
    answer = local.score_group(group.references, list(group.videos), fps=group.fps, model=model)
    return [item.reward for item in answer.items]


def test_a_step_has_the_numbers_of_the_local_client(server, local):
    sets = [[noise(1)[0]], [noise(2)[0], noise(3)[0]]]
    step = [RolloutGroup(f"g{n}", sets[n % 2], [noise(10 * n + g) for g in range(3)], fps=8) for n in range(1, 9)]
    broken = noise(99).astype(np.float32)
    step.append(RolloutGroup("with a bad clip", sets[0], [noise(98), broken, noise(97)], fps=8))
    with RemoteReward.http(server.url, model="tiny", max_in_flight=3) as reward:
        for group in step:
            reward.submit(group)
        found = reward.collect()
    wanted_PG = np.array([truth(local, group, "tiny") for group in step], dtype=float)
    assert found.valid_PG.sum() == 26
    assert [(error.item, error.code) for error in found.errors] == [(("with a bad clip", 1), "invalid_request")]
    assert found.rewards_PG == pytest.approx(wanted_PG, abs=1e-6, nan_ok=True)


def test_two_models_of_one_service_are_one_reward(server, local, clip_frames, reference_jpeg):
    client = HttpRewardClient(server.url, priority="rollout")
    sources = [RewardSource("faces", client, "arcface"), RewardSource("tiny", client, "tiny", weight=0.25)]
    with_face = RolloutGroup("face", [reference_jpeg], [clip_frames, clip_frames[::-1].copy()], fps=12)
    without = RolloutGroup("no face", [noise(5)[0]], [clip_frames], fps=12)
    with RemoteReward(sources) as reward:
        reward.submit(with_face)
        reward.submit(without)
        found = reward.collect()
    faces, tiny = (np.array(truth(local, with_face, model)) for model in ("arcface", "tiny"))
    assert found.rewards_PG[0] == pytest.approx(faces + 0.25 * tiny, abs=1e-6)
    assert found.valid_PG.tolist() == [[True, True], [False, False]]
    assert found.error_counts == {"reference_without_face": 1}
    assert np.isfinite(found.components["tiny"][1, 0]), "kept, though its item is not valid"


def test_closing_under_load_leaves_a_service_that_answers(server, http):
    reward = RemoteReward.http(server.url, model="tiny")
    for n in range(8):
        reward.submit(RolloutGroup(str(n), [noise(1)[0]], [noise(8 * n + g) for g in range(8)], fps=8))
    begin = time.monotonic()
    reward.close()
    assert time.monotonic() - begin < 3
    assert http.get("/v1/models").status_code == 200


def test_the_example_plays_a_run(server):
    sizes = {"steps": 2, "groups": 3, "videos": 2, "frames": 9, "height": 48, "width": 64, "rollout-s": 0.5}
    options = [f"--{name}={value}" for name, value in sizes.items()]
    command = [sys.executable, "examples/rollout_rewards.py", "--url", server.url, "--model", "tiny", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    head, *steps = done.stdout.splitlines()
    assert head.split()[:2] == ["step", "rollout"]
    assert len(steps) == 2
    assert all(re.search(r" 6/6 .* 6$", line) for line in steps), done.stdout
