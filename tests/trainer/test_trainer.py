"""GRPO learns: 20 updates raise the exact reward of the toy policy on people that it was not trained on."""

import numpy as np
import pytest

from tests.trainer.helpers.runs import run
from tests.trainer.helpers.toy_policy import clip_reward, make_prompts

SETTINGS = {
    "steps": 20, "group_size": 8, "groups_per_update": 16, "micro_batch": 8, "sampling__batch": 8,
    "sampling__num_steps": 8, "evaluation_sampling__num_steps": 8, "adapter__rank": 32, "adapter__alpha": 32,
    "save_every": 20, "evaluate_every": 20,
}  # fmt: skip


class HeldOut:
    """The mean exact reward of 4 clips of each prompt, after each number of steps and for each weights."""

    def __init__(self, prompts):
        self.prompts = prompts
        self.rewards = {}

    def measure(self, number, weights, sample):
        of_prompts = [[clip_reward(prompt, clip) for clip in sample(prompt, 4)] for prompt in self.prompts]
        self.rewards[number, weights] = np.array(of_prompts).mean(1)
        return {}


@pytest.mark.parametrize("initial_noise", ["different", "same"])
def test_twenty_updates_raise_the_exact_reward(tmp_path, initial_noise):
    evaluation = HeldOut(make_prompts(tmp_path / "held-out", 64, seed=1))
    run(
        tmp_path / "run",
        make_prompts(tmp_path / "references", 320),
        options={"evaluation": evaluation},
        sampling__initial_noise=initial_noise,
        **SETTINGS,
    )
    before, after = evaluation.rewards[0, "trained"], evaluation.rewards[20, "trained"]
    assert after.mean() - before.mean() > 0.2
    assert (after > before).mean() > 0.8
