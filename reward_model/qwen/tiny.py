"""`tiny`: the real classes and token layout at toy size with random weights, for wiring and tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from identity_reward_client.frame_sampling import FrameSampling, PixelRule

from ..checkpoint import tensor_entries, weights_sha256
from ..config import RewardModelConfig
from .model import RewardModel
from .prompt import REWARD_TOKEN, VIDEO_FIRST
from .scorer import QwenScorer
from .tokenizer import QWEN_SPECIALS, TextTokenizer, byte_tokenizer

SEED = 20251014
SAMPLING = FrameSampling(
    "tiny-uniform-4", num_frames=4, frame_factor=2,
    frame_pixels=PixelRule(4 * 28 * 28, 48 * 28 * 28), reference_pixels=PixelRule(4 * 28 * 28, 36 * 28 * 28),
)  # fmt: skip


def tiny_tokenizer() -> TextTokenizer:
    """One token a byte, Qwen's special tokens and the reward token."""
    return byte_tokenizer([*QWEN_SPECIALS, REWARD_TOKEN])


def tiny_backbone(tokenizer: TextTokenizer, width: int = 64, layers: int = 2) -> dict[str, Any]:
    """Qwen2_5_VLConfig's arguments, with every kind of layer of the 3B model (windowed and full vision blocks too)."""
    heads = width // 16
    return {
        "text_config": {
            "vocab_size": len(tokenizer), "hidden_size": width, "intermediate_size": 2 * width,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads // 2,
            "rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "bos_token_id": None, "eos_token_id": None,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
        },
        "vision_config": {
            "depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": width,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
            "tokens_per_second": 2, "fullatt_block_indexes": [1], "hidden_act": "silu",
        },
        "image_token_id": tokenizer.special("<|image_pad|>"),
        "video_token_id": tokenizer.special("<|video_pad|>"),
        "vision_start_token_id": tokenizer.special("<|vision_start|>"),
        "vision_end_token_id": tokenizer.special("<|vision_end|>"),
    }  # fmt: skip


def random_state(model: RewardModel, seed: int) -> dict[str, torch.Tensor]:
    """Seeded float32 weights that are the same with every release of torch."""
    generator = np.random.Generator(np.random.PCG64(seed))
    state = {}
    for name, parameter in sorted(model.state_dict().items()):
        values = generator.standard_normal(tuple(parameter.shape), dtype=np.float32)
        if name.endswith("bias"):
            values *= 0.02
        elif values.ndim == 1:
            values = 1 + 0.1 * values
        elif "embed_tokens" not in name:
            values *= np.float32(values[0].size ** -0.5)
        state[name] = torch.from_numpy(values)
    return state


def tiny_config(tokenizer: TextTokenizer) -> RewardModelConfig:
    """The config of `tiny`; its weights' hash is not set."""
    return RewardModelConfig(
        name="tiny",
        version="1",
        domain="none",
        description="Random weights at toy size, to try out wiring: its numbers mean nothing.",
        backbone=tiny_backbone(tokenizer),
        template=VIDEO_FIRST,
        frame_sampling=SAMPLING,
        position_dialect="5",
        meaningful=False,
    )


def tiny_model(config: RewardModelConfig, seed: int = SEED) -> RewardModel:
    """A model of that configuration with seeded random weights, float32 on the CPU."""
    model = RewardModel(config)
    state = random_state(model, seed)
    model.load_state_dict(state, assign=True)
    model.config = replace(config, weights_sha256=weights_sha256(tensor_entries(state)))
    return model.eval().requires_grad_(False)


def load(device: str = "cpu") -> QwenScorer:
    """The scorer `tiny`."""
    tokenizer = tiny_tokenizer()
    return QwenScorer(tiny_model(tiny_config(tokenizer)).to(device), tokenizer)
