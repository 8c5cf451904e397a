from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainer.policies.wan.conftest import TRANSFORMER, write_json
from trainer.errors import PolicyError
from trainer.policies.wan.components import (
    compile_blocks,
    diffusers_class,
    flow_shift,
    load_autoencoder,
    load_text_encoder,
    load_transformer,
)

CLASS = "WanVACETransformer3DModel"


@pytest.fixture
def copy(checkpoint, tmp_path):
    """A checkpoint of the test's own."""
    return copytree(checkpoint, tmp_path / "copy")


def test_parts_are_frozen_and_in_their_data_types(checkpoint):
    network = load_transformer(CLASS, checkpoint, torch.bfloat16, "cpu")
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16, torch.float32}
    tokenizer, encoder = load_text_encoder(checkpoint, torch.bfloat16, "cpu")
    assert encoder.dtype == torch.bfloat16
    assert tokenizer("two people").input_ids == [2, 3]
    assert load_autoencoder(checkpoint, torch.float32, "cpu").dtype == torch.float32


def test_a_checkpoint_of_another_model_is_refused_with_its_keys(copy):
    from diffusers import WanTransformer3DModel

    WanTransformer3DModel(**TRANSFORMER).save_pretrained(copy / "transformer")
    message = rf"transformer is a WanTransformer3DModel of 96 keys \(blocks.0.* a {CLASS} is needed"
    with pytest.raises(PolicyError, match=message):
        load_transformer(CLASS, copy, torch.float32, "cpu")
    # one that says that it is the right model
    write_json(copy / "transformer/config.json", _class_name=CLASS, vace_layers=[0, 2], vace_in_channels=96)
    message = rf"transformer is no {CLASS}: it has 62 missing keys \(vace_blocks.0"
    with pytest.raises(PolicyError, match=message):
        load_transformer(CLASS, copy, torch.float32, "cpu")


def test_single_keys_count(copy):
    path = copy / "transformer/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["proj_out.bias"]
    save_file({**weights, "extra": torch.zeros(1)}, path)
    message = r"1 missing keys \(proj_out.bias\) and 1 unexpected keys \(extra\)"
    with pytest.raises(PolicyError, match=message):
        load_transformer(CLASS, copy, torch.float32, "cpu")
    save_file({**weights, "proj_out.bias": torch.zeros(3)}, path)
    with pytest.raises(PolicyError, match=r"proj_out.bias"):
        load_transformer(CLASS, copy, torch.float32, "cpu")


def test_parts_that_are_missing_or_broken_are_named(copy):
    with pytest.raises(PolicyError, match="none/vae is no folder"):
        load_autoencoder(copy / "none", torch.float32, "cpu")
    (copy / "vae/config.json").unlink()
    with pytest.raises(PolicyError, match="vae can't be loaded as AutoencoderKLWan"):
        load_autoencoder(copy, torch.float32, "cpu")
    path = copy / "text_encoder/model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PolicyError, match="text_encoder can't be loaded as UMT5EncoderModel"):
        load_text_encoder(copy, torch.float32, "cpu")
    for file in (copy / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises(PolicyError, match=r"the tokenizer .* can't be loaded"):
        load_text_encoder(copy, torch.float32, "cpu")


def test_weights_as_pickles_are_not_read(copy):
    path = copy / "transformer/diffusion_pytorch_model.safetensors"
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()
    with pytest.raises(PolicyError, match="can't be loaded"):
        load_transformer(CLASS, copy, torch.float32, "cpu")


def test_without_diffusers_the_package_to_install_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(PolicyError, match=r"pip install .identity-reward\[grpo\]"):
        diffusers_class(CLASS)


def test_the_shift_of_the_checkpoint(copy):
    path = copy / "scheduler/scheduler_config.json"
    assert flow_shift(copy) == 3.0
    write_json(path, flow_shift=5.0)
    assert flow_shift(copy) == 5.0
    for text in ("{}", "[", "[]"):
        path.write_text(text)
        assert flow_shift(copy) is None
    assert flow_shift(copy / "none") is None


def test_backends_that_do_not_exist_are_refused(checkpoint):
    network = load_transformer(CLASS, checkpoint, torch.float32, "cpu")
    with pytest.raises(PolicyError, match="compile_backend is 'fast'; there are"):
        compile_blocks(network, "fast")
