import pytest
import torch
from safetensors.torch import save_file

from trainer.errors import PolicyError
from trainer.policies.adapter_check import check_adapter
from trainer.policies.adapters import WEIGHTS, add_lora, save_peft
from trainer.policies.tiny import load

LAYERS = {"reference": (192, 64), "hidden": (64, 64), "output": (64, 576)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    policy = load(torch.device("cpu"))
    add_lora(policy.network, policy.lora_targets, 4, 8, seed=0)
    save_peft(policy.network, path := tmp_path_factory.mktemp("adapter") / "model")
    return path


def test_an_adapter_of_the_policy_passes(folder):
    check_adapter(folder, 4, 8)
    check_adapter(folder, 4, 8, LAYERS)


@pytest.mark.parametrize(
    ("rank", "alpha", "layers", "message"),
    [
        (8, 8, None, "of rank 4, and adapter.rank is 8"),
        (4, 4, None, "of alpha 8, and adapter.alpha is 4"),
        (
            4,
            8,
            {**LAYERS, "hidden": (64, 65)},
            "of another model: of 3 adapted layers .* differs in hidden$",
        ),
        (4, 8, {"hidden": (64, 64)}, "it differs in output, reference$"),
    ],
)
def test_an_adapter_of_something_else_is_refused(folder, rank, alpha, layers, message):
    with pytest.raises(PolicyError, match=message):
        check_adapter(folder, rank, alpha, layers)


def test_a_folder_without_lora_is_refused(tmp_path):
    with pytest.raises(PolicyError, match=r"has no adapter_model.safetensors and no pytorch_lora"):
        check_adapter(tmp_path, 4, 4)
    save_file({"weight": torch.zeros(2)}, tmp_path / WEIGHTS)
    with pytest.raises(PolicyError, match="is no LoRA: none of its 1 tensors"):
        check_adapter(tmp_path, 4, 4)
    (tmp_path / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(PolicyError, match="can't be read"):
        check_adapter(tmp_path, 4, 4)
