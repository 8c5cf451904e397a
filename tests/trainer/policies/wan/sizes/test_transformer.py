"""The arithmetic against diffusers' transformers: full-size ones without memory, small ones with what they save."""

from functools import cache

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from tests.trainer.helpers.live_tensors import LiveTensors
from trainer.policies.adapters import add_lora
from trainer.policies.wan.sizes.transformer import VACE_1_3B, WAN_1_3B, TransformerSizes
from trainer.policies.wan.vace import LORA_TARGETS

SMALL = {
    "num_attention_heads": 2, "attention_head_dim": 48, "in_channels": 16, "out_channels": 16, "text_dim": 32,
    "freq_dim": 32, "ffn_dim": 384, "cross_attn_norm": True, "rope_max_seq_len": 64,
}  # fmt: skip
FULL = {**SMALL, "num_attention_heads": 12, "attention_head_dim": 128, "text_dim": 4096, "freq_dim": 256,
        "ffn_dim": 8960, "rope_max_seq_len": 1024}  # fmt: skip
CONTROL = {"vace_in_channels": 96}
RANK, TEXT, SIZE = 4, 16, (5, 16, 16)


@cache
def build(blocks, vace_layers=None, full=False):
    """The network with LoRA, and its sizes."""
    from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

    config = {**(FULL if full else SMALL), "num_layers": blocks}
    with torch.device("meta" if full else "cpu"):
        if vace_layers is None:
            network = WanTransformer3DModel(**config)
        else:
            network = WanVACETransformer3DModel(**config, **CONTROL, vace_layers=list(vace_layers))
    add_lora(network, LORA_TARGETS, 32 if full else RANK, RANK, seed=0)
    return network.eval(), TransformerSizes.of(network.config)


def forward(network, samples, bf16):
    batch = {
        "hidden_states": torch.randn(samples, 16, *SIZE),
        "timestep": torch.full((samples,), 500),
        "encoder_hidden_states": torch.randn(samples, TEXT, SMALL["text_dim"]),
        "return_dict": False,
    }
    if hasattr(network, "vace_blocks"):
        batch["control_hidden_states"] = torch.randn(samples, 96, *SIZE)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return network(**batch)[0]


def saved_bytes(network, samples, bf16):
    """Of distinct storages that autograd keeps, without parameters."""
    network.disable_gradient_checkpointing()
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        forward(network, samples, bf16)
        return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize(
    ("blocks", "vace_layers", "stated", "parameters", "lora"),
    [
        (30, tuple(range(0, 30, 2)), VACE_1_3B, 2_153_972_032, 35_389_440),
        (30, None, WAN_1_3B, 1_418_996_800, 23_592_960),
    ],
    ids=["VACE-1.3B", "Wan and Phantom 1.3B"],
)
def test_parameters_and_lora_are_those_of_the_full_size(blocks, vace_layers, stated, parameters, lora):
    network, sizes = build(blocks, vace_layers, full=True)
    assert sizes == stated
    trained = {name: p.numel() for name, p in network.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in network.parameters()) - sum(trained.values()) == sizes.parameters == parameters
    layers = sizes.adapted_layers(control_blocks=True)
    assert {name.partition(".lora_")[0] for name in trained} == {*layers}
    assert sum(trained.values()) == sum(32 * (a + b) for a, b in layers.values()) == lora
    block = sum(p.numel() for name, p in network.blocks[0].named_parameters() if "lora" not in name)
    assert sizes.block_parameters == block


def test_lora_may_leave_the_control_out():
    layers = VACE_1_3B.adapted_layers(control_blocks=False)
    assert layers == WAN_1_3B.adapted_layers(control_blocks=True)
    assert len(layers) == 240


def test_tokens_and_operations():
    assert VACE_1_3B.tokens(11, 30, 52) == 4290
    # 2 operations for each weight and token, and attention over all pairs of tokens
    assert VACE_1_3B.flops(4290, 512) == pytest.approx(22.3e12, rel=0.01)


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("vace_layers", [None, (0, 2)], ids=["wan", "vace"])
def test_saved_activations(vace_layers, bf16):
    network, sizes = build(4, vace_layers)
    tokens = sizes.tokens(*SIZE)
    plan = sizes.pass_activations(tokens, TEXT, RANK, bf16, copies=bf16)
    for samples in (1, 4):
        assert plan.of(samples) == pytest.approx(saved_bytes(network, samples, bf16), rel=0.04)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["all", "checkpointing"])
def test_the_peak_of_a_forward_and_backward_pass(checkpointing):
    network, sizes = build(6, (0, 2, 4))
    tokens = sizes.tokens(*SIZE)
    working = sizes.working_activations(tokens, True).of(4)
    if checkpointing:
        network.enable_gradient_checkpointing()
        block = sizes.block_activations(tokens, TEXT, RANK, True, True).of(4)
        expected = sizes.checkpoint_activations(tokens, True).of(4) + block + working
    else:
        network.disable_gradient_checkpointing()
        expected = sizes.pass_activations(tokens, TEXT, RANK, True, True).of(4) + working
    with LiveTensors() as live:
        forward(network, 4, bf16=True).float().square().mean().backward()
    network.zero_grad()
    # a plan that errs asks for too much
    assert 0.97 * live.peak < expected < 1.2 * live.peak
