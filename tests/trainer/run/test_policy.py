import sys
from types import ModuleType

import torch

from tests.support.paths import EXAMPLES
from trainer.config import read_grpo_config
from trainer.policies.tiny import TinyNetwork, TinyPolicy
from trainer.prompts import read_prompts
from trainer.run.policy import open_policy


class Preparing(TinyPolicy):
    """Refuses prompts that it did not prepare before."""

    flow_shift = 5.0
    prepared: tuple[str, ...] = ()

    def prepare_prompts(self, prompts):
        self.prepared += tuple(prompt.key for prompt in prompts)

    def encode(self, prompts):
        assert {prompt.key for prompt in prompts} <= {*self.prepared}
        return super().encode(prompts)


def test_a_policy_prepares_all_prompts_before_the_first_is_encoded(monkeypatch, caplog):
    module = ModuleType("preparing")
    module.load = lambda device: Preparing(TinyNetwork(8), device)
    monkeypatch.setitem(sys.modules, "preparing", module)
    prompts = read_prompts(EXAMPLES / "prompts.jsonl")
    config = read_grpo_config("smoke", ["policy.factory=preparing:load"])
    policy = open_policy(config, prompts, torch.device("cpu"))
    assert policy.prepared == tuple(prompt.key for prompt in prompts)
    assert "the checkpoint was made for a shift of 5.0, and sampling.shift is 3.0" in caplog.text
