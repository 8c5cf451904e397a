"""Sizes from the files of a checkpoint against the policy that is loaded from it."""

import math
import shutil

import pytest
import torch

from tests.trainer.helpers.live_tensors import LiveTensors
from tests.trainer.policies.wan.conftest import write_json
from trainer.errors import PolicyError
from trainer.policies.load import adapted_layers
from trainer.policies.wan.sizes.checkpoint import TEXT_ENCODER_PARAMETERS, VAE_PARAMETERS, policy_sizes, wan_sizes
from trainer.policies.wan.sizes.transformer import VACE_1_3B
from trainer.policies.wan.vace import VaceOptions, load_policy

FACTORY = "trainer.policies.wan.vace:load_policy"


@pytest.fixture
def copied(checkpoint, options, tmp_path):
    """Options of a checkpoint that a test may damage, and its folder."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, folder)
    return {**options, "checkpoint": str(folder)}, folder


@pytest.mark.parametrize("control_blocks", [True, False])
def test_sizes_are_those_of_the_loaded_policy(options, prompts, control_blocks):
    options = {**options, "adapt_control_blocks": control_blocks}
    sizes = policy_sizes(FACTORY, options, num_references=2, rank=4, autocast=False)
    policy = load_policy("cpu", **options)
    conditioning = policy.encode(prompts[1:2])
    assert sizes.parameters == sum(p.numel() for p in policy.network.parameters())
    layers = dict(policy.network.named_modules())
    assert sizes.adapted_layers == {
        name: (layers[name].in_features, layers[name].out_features) for name in adapted_layers(policy)
    }
    assert sizes.latent_numbers == math.prod(policy.latent_shape(conditioning))
    assert sizes.conditioning_bytes == sum(tensor.nbytes for tensor in conditioning.values())
    assert sizes.tokens == sizes.latent_numbers // 16 // 4
    assert sizes.guidance_passes == 2


def test_a_transformer_without_control_is_one_of_phantom(copied, tmp_path):
    options, folder = copied
    write_json(folder / "transformer/config.json", vace_layers=None, _class_name="WanTransformer3DModel")
    weights = tmp_path / "Phantom.pth"
    options |= {"weights": str(weights), "max_references": 4, "image_guidance": 5.0}
    with pytest.raises(PolicyError, match="is no file; it has the published weights"):
        policy_sizes("trainer.policies.wan.phantom:load_policy", options, 2, 4, False)
    weights.touch()
    sizes = policy_sizes("trainer.policies.wan.phantom:load_policy", options, 2, 4, False)
    # three latent frames of 4 x 6, and two of references beside them
    assert sizes.latent_numbers == 16 * 3 * 4 * 6
    assert sizes.tokens == (3 + 2) * 2 * 3
    assert sizes.guidance_passes == 3


def test_every_file_that_is_missing_is_named(copied):
    options, folder = copied
    (folder / "vae/config.json").unlink()
    shutil.rmtree(folder / "tokenizer")
    [weights] = (folder / "text_encoder").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(PolicyError) as error:
        policy_sizes(FACTORY, options, 2, 4, False)
    assert str(folder / "vae/config.json") in str(error.value)
    assert "has no files of a tokenizer" in str(error.value)
    assert f"{weights} can't be opened" in str(error.value)


def test_a_shard_that_the_index_names_is_missing(copied):
    options, folder = copied
    index = folder / "transformer/diffusion_pytorch_model.safetensors.index.json"
    index.write_text('{"weight_map": {"proj_out.weight": "part-2.safetensors"}}')
    with pytest.raises(PolicyError, match=r"part-2.safetensors can't be opened"):
        policy_sizes(FACTORY, options, 2, 4, False)


def test_weights_of_another_size_than_the_configuration(copied):
    options, folder = copied
    write_json(folder / "transformer/config.json", num_layers=4)
    with pytest.raises(PolicyError, match=r"have 59,\d+ parameters, and its config.json is of a transformer of 66,"):
        policy_sizes(FACTORY, options, 2, 4, False)


def test_no_folder_and_wrong_options(options):
    with pytest.raises(PolicyError, match="nowhere is no folder"):
        policy_sizes(FACTORY, {**options, "checkpoint": "nowhere"}, 2, 4, False)
    with pytest.raises(PolicyError, match=r"policy.options: height"):
        policy_sizes(FACTORY, {**options, "height": 0}, 2, 4, False)


def test_vae_and_text_encoder_have_the_stated_parameters():
    from diffusers import AutoencoderKLWan
    from transformers import UMT5Config, UMT5EncoderModel

    xxl = UMT5Config(
        vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    with torch.device("meta"):
        assert sum(p.numel() for p in AutoencoderKLWan().parameters()) == VAE_PARAMETERS
        assert sum(p.numel() for p in UMT5EncoderModel(xxl).parameters()) == TEXT_ENCODER_PARAMETERS


def test_decoding_takes_what_the_vae_of_wan_takes():
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan().eval().requires_grad_(False)
    with torch.no_grad(), LiveTensors() as live:
        vae.decode(torch.randn(1, 16, 3, 4, 4), return_dict=False)
    sizes = wan_sizes(VACE_1_3B, VaceOptions(checkpoint="", num_frames=9, height=32, width=32), 2, 32, True)
    assert sizes.decoding_bytes == pytest.approx(live.peak, rel=0.03)
