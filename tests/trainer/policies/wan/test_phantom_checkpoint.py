"""The key map against diffusers' own conversion of Wan, and files that are no Phantom."""

from shutil import copytree

import pytest
import torch
from safetensors.torch import save_file

from tests.trainer.policies.wan.conftest import TRANSFORMER, write_json
from trainer.errors import PolicyError
from trainer.policies.wan.phantom_checkpoint import load_network, published_name

# of the first block and outside blocks, as the published model names them
PUBLISHED = [
    "patch_embedding.weight", "patch_embedding.bias", "time_embedding.0.weight", "time_embedding.2.bias",
    "text_embedding.0.weight", "text_embedding.2.bias", "time_projection.1.weight", "head.modulation",
    "head.head.weight", "head.head.bias", "blocks.0.modulation", "blocks.0.self_attn.q.weight",
    "blocks.0.self_attn.k.bias", "blocks.0.self_attn.v.weight", "blocks.0.self_attn.o.weight",
    "blocks.0.self_attn.norm_q.weight", "blocks.0.cross_attn.norm_k.weight", "blocks.0.cross_attn.o.bias",
    "blocks.0.norm3.weight", "blocks.0.norm3.bias", "blocks.0.ffn.0.weight", "blocks.0.ffn.2.bias",
]  # fmt: skip


@pytest.fixture
def state(phantom_weights):
    return torch.load(phantom_weights, weights_only=True)


@pytest.fixture
def load(t2v_checkpoint, tmp_path):
    """Loads a table of weights from a file."""

    def load(state, dtype=torch.float32, checkpoint=t2v_checkpoint):
        torch.save(state, tmp_path / "weights.pth")
        return load_network(tmp_path / "weights.pth", checkpoint, dtype, "cpu")

    return load


def inputs():
    rng = torch.Generator().manual_seed(0)
    return {
        "hidden_states": torch.randn(2, 16, 4, 4, 6, generator=rng),
        "timestep": torch.tensor([900, 20]),
        "encoder_hidden_states": torch.randn(2, 8, 32, generator=rng),
    }


def test_names_and_values_are_those_of_diffusers_own_conversion(state, phantom_transformer):
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    assert {*PUBLISHED} <= {*state}
    assert len(state) == 27 * 3 + 15
    expected = phantom_transformer.state_dict()
    converted = convert_wan_transformer_to_diffusers(dict(state))
    assert converted.keys() == expected.keys()
    assert all(torch.equal(converted[name], expected[name]) for name in expected)


def test_the_full_model_has_825_tensors():
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        network = WanTransformer3DModel(num_attention_heads=12, ffn_dim=8960, num_layers=30)
    state = network.state_dict()
    names = {published_name(name) for name in state}
    assert len(names) == len(state) == 825
    assert {*PUBLISHED, "blocks.29.ffn.0.weight"} <= names
    assert sum(tensor.numel() for tensor in state.values()) == 1_418_996_800


def test_a_forward_pass_is_that_of_diffusers_model(load, state, phantom_transformer):
    network = load(state)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    with torch.no_grad():
        ours, expected = network(**inputs()).sample, phantom_transformer(**inputs()).sample
    assert torch.equal(ours, expected)


def test_data_types_are_those_that_diffusers_loads(load, state, phantom_transformer, tmp_path):
    phantom_transformer.save_pretrained(tmp_path / "saved")
    expected = type(phantom_transformer).from_pretrained(tmp_path / "saved", torch_dtype=torch.bfloat16)
    network = load(state, torch.bfloat16)
    assert {name: p.dtype for name, p in network.named_parameters()} == {
        name: p.dtype for name, p in expected.named_parameters()
    }


@pytest.mark.parametrize("prefix", ["model.", "model.diffusion_model."])
def test_a_prefix_of_all_names_is_dropped(load, state, phantom_transformer, prefix):
    network = load({f"{prefix}{name}": tensor for name, tensor in state.items()})
    assert torch.equal(network.proj_out.weight, phantom_transformer.proj_out.weight)
    message = (
        r"is no Phantom checkpoint: it has 1 missing keys .head.head.bias. and 1 unexpected keys .other.head.head.bias."
    )
    odd = {f"other.{name}" if name == "head.head.bias" else name: tensor for name, tensor in state.items()}
    with pytest.raises(PolicyError, match=message):
        load(odd)


def test_safetensors_are_read_too(state, t2v_checkpoint, phantom_transformer, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    network = load_network(path, t2v_checkpoint, torch.float32, "cpu")
    assert torch.equal(network.proj_out.weight, phantom_transformer.proj_out.weight)


def test_files_of_old_releases_of_torch_are_read(state, t2v_checkpoint, phantom_transformer, tmp_path):
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    network = load_network(tmp_path / "old.pth", t2v_checkpoint, torch.float32, "cpu")
    assert torch.equal(network.proj_out.weight, phantom_transformer.proj_out.weight)


def test_another_checkpoint_is_refused_with_its_keys(load, state, checkpoint):
    from diffusers import WanTransformer3DModel

    with pytest.raises(PolicyError, match=r"94 missing keys \(blocks.0.*\) and 94 unexpected keys \(blocks.0.attn1"):
        load(WanTransformer3DModel(**TRANSFORMER).state_dict())
    with pytest.raises(PolicyError, match=r"1 missing keys \(blocks.1.ffn.0.bias\)$"):
        load({name: tensor for name, tensor in state.items() if name != "blocks.1.ffn.0.bias"})
    wide = {**state, "head.head.bias": torch.zeros(3)}
    with pytest.raises(PolicyError, match=r"1 mismatched keys \(head.head.bias\)"):
        load(wide)
    extra = {f"blocks.{n}.vace.weight": torch.zeros(1) for n in range(7)}
    with pytest.raises(PolicyError, match=r"7 unexpected keys \(blocks.0.vace.weight, .*, \.\.\.\)"):
        load({**state, **extra})
    with pytest.raises(PolicyError, match=r"transformer is a WanVACETransformer3DModel .* a WanTransformer3DModel is"):
        load(state, checkpoint=checkpoint)


def test_a_model_of_another_size_is_refused(load, state, t2v_checkpoint, tmp_path):
    copy = copytree(t2v_checkpoint, tmp_path / "copy")
    write_json(copy / "transformer/config.json", num_layers=4)
    with pytest.raises(PolicyError, match=r"27 missing keys \(blocks.3"):
        load(state, checkpoint=copy)
    (copy / "transformer/config.json").write_text("{")
    with pytest.raises(PolicyError, match="is no configuration of a WanTransformer3DModel"):
        load(state, checkpoint=copy)
    with pytest.raises(PolicyError, match="none/transformer is no folder"):
        load(state, checkpoint=copy / "none")


def test_files_that_hold_no_weights_are_named(load, state, t2v_checkpoint, tmp_path):
    with pytest.raises(PolicyError, match="isn't a flat table of tensors"):
        load({"state_dict": state})
    with pytest.raises(PolicyError, match="holds more than tensors"):
        load({**state, "code": print})
    for name in ("none.pth", "none.safetensors"):
        with pytest.raises(PolicyError, match=rf"the weights .*{name} can't be read"):
            load_network(tmp_path / name, t2v_checkpoint, torch.float32, "cpu")
    for content in (b"text", b"", b"PK\x03\x04", (tmp_path / "weights.pth").read_bytes()[:1000]):
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(PolicyError, match=r"broken\.pth (can't be read|holds more than tensors, or is cut short)"):
            load_network(tmp_path / "broken.pth", t2v_checkpoint, torch.float32, "cpu")
