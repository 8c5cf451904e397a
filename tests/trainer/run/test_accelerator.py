import pytest
import torch

from reward_model.training.errors import TrainingError
from reward_model.training.loop.processes import reset_accelerate
from tests.trainer.helpers.runs import make_config
from trainer.run.accelerator import enable_gradient_checkpointing, make_accelerator, network_to_sample


@pytest.fixture(autouse=True)
def _reset():
    reset_accelerate()
    yield
    reset_accelerate()


def test_one_process_samples_with_the_network_itself():
    accelerator = make_accelerator(make_config())
    network = torch.nn.Linear(1, 1)
    assert network_to_sample(accelerator, accelerator.prepare(network)) is network


def test_groups_that_processes_cannot_share_are_an_error(monkeypatch):
    class TwoProcesses:
        num_processes = 2

    monkeypatch.setattr("trainer.run.accelerator.PartialState", lambda **_: TwoProcesses())
    with pytest.raises(TrainingError, match="groups_per_update is 3, which 2 processes can't share equally"):
        make_accelerator(make_config(groups_per_update=3))


def test_gradient_checkpointing_needs_a_network_that_has_it():
    class Network(torch.nn.Module):
        enabled = False

        def enable_gradient_checkpointing(self):
            self.enabled = True

    network = Network()
    enable_gradient_checkpointing(network)
    assert network.enabled
    with pytest.raises(TrainingError, match="has no method for it; unset it"):
        enable_gradient_checkpointing(torch.nn.Linear(1, 1))
