import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from trainer.errors import PolicyError
from trainer.policies.adapters import add_lora, is_adapter, load_peft, save_peft
from trainer.policies.wan.components import load_transformer
from trainer.policies.wan.lora import save_for_diffusers
from trainer.policies.wan.policy import LORA_TARGETS


def adapted(checkpoint, seed=0, alpha=8, rank=4, targets=LORA_TARGETS):
    network = load_transformer("WanVACETransformer3DModel", checkpoint, torch.float32, "cpu")
    add_lora(network, targets, rank, alpha, seed)
    for name, parameter in network.named_parameters():
        if is_adapter(name):
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(seed))
    return network


def weights(network):
    return {name: parameter for name, parameter in network.named_parameters() if is_adapter(name)}


def assert_equal(a, b):
    a, b = weights(a), weights(b)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_file_has_the_layout_of_diffusers(checkpoint, tmp_path):
    save_for_diffusers(adapted(checkpoint), tmp_path / "adapter")
    (path,) = (tmp_path / "adapter").iterdir()
    assert path.name == "pytorch_lora_weights.safetensors"
    names = load_file(path)
    assert len(names) == 80
    assert names["transformer.vace_blocks.1.attn2.to_out.0.lora_A.weight"].shape == (4, 24)
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["lora_adapter_metadata"])
    assert (settings["transformer.r"], settings["transformer.lora_alpha"]) == (4, 8)


def test_it_is_read_back_as_a_start(checkpoint, tmp_path):
    first = adapted(checkpoint)
    save_for_diffusers(first, tmp_path)
    load_peft(second := adapted(checkpoint, seed=1), tmp_path)
    assert_equal(first, second)


def test_alpha_and_layers_are_those_of_the_run(checkpoint, tmp_path):
    save_for_diffusers(adapted(checkpoint), tmp_path)
    with pytest.raises(PolicyError, match=r"adapter of alpha 8, and adapter.alpha is 4"):
        load_peft(adapted(checkpoint, alpha=4), tmp_path)
    with pytest.raises(PolicyError, match="other layers or another rank"):
        load_peft(adapted(checkpoint, targets=("to_q",)), tmp_path)


def test_diffusers_scales_it_by_alpha(checkpoint, tmp_path):
    """Alpha is twice the rank: without the file's metadata diffusers would take it for the rank."""
    from diffusers import WanPipeline

    network = adapted(checkpoint)
    save_for_diffusers(network, tmp_path)
    plain = load_transformer("WanVACETransformer3DModel", checkpoint, torch.float32, "cpu")
    plain.load_lora_adapter(load_file(tmp_path / "pytorch_lora_weights.safetensors"), prefix="transformer")
    loaded = load_transformer("WanVACETransformer3DModel", checkpoint, torch.float32, "cpu")
    state, metadata = WanPipeline.lora_state_dict(tmp_path, return_lora_metadata=True)
    WanPipeline.load_lora_into_transformer(state, loaded, metadata=metadata)
    rng = torch.Generator().manual_seed(0)
    inputs = {
        "hidden_states": torch.randn(1, 16, 2, 4, 4, generator=rng),
        "timestep": torch.tensor([500]),
        "encoder_hidden_states": torch.randn(1, 8, 32, generator=rng),
        "control_hidden_states": torch.randn(1, 96, 2, 4, 4, generator=rng),
    }
    with torch.no_grad():
        ours, by_diffusers, by_rank = (model(**inputs).sample for model in (network, loaded, plain))
    assert torch.allclose(ours, by_diffusers, atol=1e-5)
    assert not torch.allclose(ours, by_rank, atol=1e-3)


def test_the_layout_of_the_release_is_read(checkpoint, tmp_path):
    """A folder of PEFT, whose targets name layers that VACE-1.3B does not have."""
    released = [*LORA_TARGETS, "add_k_proj", "add_q_proj", "add_v_proj", "to_add_out"]
    first = adapted(checkpoint, targets=released)
    save_peft(first, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert "base_model.model.vace_blocks.0.attn1.to_q.lora_A.weight" in load_file(
        tmp_path / "adapter_model.safetensors"
    )
    load_peft(second := adapted(checkpoint, seed=1), tmp_path)
    assert_equal(first, second)
    with pytest.raises(PolicyError, match=r"alpha 8, and .* is 16"):
        load_peft(adapted(checkpoint, alpha=16), tmp_path)
