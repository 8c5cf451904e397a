import sys
from types import SimpleNamespace

import pytest
import torch

from reward_model.training.errors import TrainingError
from trainer.errors import PolicyError
from trainer.policies.load import adapted_layers, find_sizes, load_policy

CPU = torch.device("cpu")
MODULE = "a_policy_of_tests"
METHODS = ("encode", "latent_shape", "velocity", "judged_mask", "decode", "save_adapter")


def make_policy(device, width=4, targets=("to_q",)):
    network = torch.nn.ModuleDict({"to_q": torch.nn.Linear(width, width), "head": torch.nn.Linear(width, 1)})
    methods = dict.fromkeys(METHODS, print)
    return SimpleNamespace(network=network.to(device), lora_targets=targets, fps=8.0, **methods)


def without_weights(device):
    raise PolicyError("no weights in runs/policy; train them first")


@pytest.fixture(autouse=True)
def module(monkeypatch):
    made = SimpleNamespace(make=make_policy, broken=without_weights, other=lambda device: object(), number=3)
    monkeypatch.setitem(sys.modules, MODULE, made)


def test_a_factory_is_called_with_options_and_device():
    policy = load_policy(f"{MODULE}:make", {"width": 6}, CPU)
    assert policy.network["to_q"].in_features == 6
    assert adapted_layers(policy) == ["to_q"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("people_policy", {}, '"module:function"; got'),
        ("no_such_module:load", {}, "no_such_module can't be imported.*PYTHONPATH"),
        (f"{MODULE}:load", {}, f"{MODULE} has no function load"),
        (f"{MODULE}:number", {}, f"{MODULE} has no function number"),
        (f"{MODULE}:make", {"depth": 2}, "unexpected keyword argument 'depth'; it takes device, width, targets"),
        (f"{MODULE}:broken", {}, "no weights in runs/policy"),
        (f"{MODULE}:other", {}, "object without network, lora_targets"),
        (f"{MODULE}:make", {"targets": ["to_v"]}, r"no linear layer of .* ends in one of \['to_v'\]"),
    ],
)
def test_what_is_wrong_is_one_line(name, options, message):
    with pytest.raises(TrainingError, match=message):
        load_policy(name, options, CPU)


def test_sizes_are_stated_by_the_module_or_its_package(monkeypatch):
    assert find_sizes(f"{MODULE}:make") is None
    assert find_sizes("trainer.policies.tiny:load") is None
    wan = find_sizes("trainer.policies.wan.vace:load_policy")
    assert wan.__name__ == "trainer.policies.wan"
    stating = SimpleNamespace(make=make_policy, policy_sizes=print)
    monkeypatch.setitem(sys.modules, MODULE, stating)
    assert find_sizes(f"{MODULE}:make") is stating
    with pytest.raises(TrainingError, match="has no function load"):
        find_sizes(f"{MODULE}:load")
