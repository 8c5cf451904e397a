"""A folder of an adapter of the tiny policy that changes its videos, and the command's arguments."""

import pytest
import torch
from typer.testing import CliRunner

from reward_model.data.seeding import generator
from tests.support.paths import EXAMPLES
from trainer.cli import grpo
from trainer.policies.adapters import add_lora, save_peft
from trainer.policies.tiny import load

RANK = 4


def write_adapter(folder, rank=RANK, width=64):
    policy = load(torch.device("cpu"), width)
    add_lora(policy.network, policy.lora_targets, rank, rank, seed=0)
    for name, parameter in policy.network.named_parameters():
        if ".lora_B." in name:
            noise = generator(0, name).standard_normal(tuple(parameter.shape), dtype="float32")
            parameter.data = torch.from_numpy(noise)
    save_peft(policy.network, folder)
    return folder


@pytest.fixture(scope="session")
def adapter(tmp_path_factory):
    return write_adapter(tmp_path_factory.mktemp("adapter") / "model")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def sample(adapter):
    """Runs `grpo sample smoke` with more arguments."""

    def run(out, *more, adapter=adapter, prompts=EXAMPLES / "prompts.jsonl"):
        arguments = ["sample", "smoke", "--adapter", adapter, "--prompts", prompts, "--out", out, *more]
        return CliRunner().invoke(grpo, list(map(str, arguments)))

    return run
