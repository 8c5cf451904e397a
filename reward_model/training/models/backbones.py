"""Backbones that are trained from scratch: Qwen2.5-VL at small sizes, with their tokenizers and frame samplings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from identity_reward_client.frame_sampling import FrameSampling, PixelRule
from reward_model.config import FRAME_SAMPLINGS, Piece, PromptTemplate
from reward_model.qwen.prompt import IDENTITY_FIRST, REWARD_TOKEN, VIDEO_FIRST
from reward_model.qwen.tiny import SAMPLING as TINY_SAMPLING
from reward_model.qwen.tiny import tiny_backbone, tiny_tokenizer
from reward_model.qwen.tokenizer import TextTokenizer

# Small enough for a CPU: eight frames, 140x252 pixels of a clip of 416x240 or 832x480; references of 112x112.
COMPACT_SAMPLING = FrameSampling(
    "compact-uniform-8", num_frames=8, frame_factor=2,
    frame_pixels=PixelRule(4 * 28 * 28, 47 * 28 * 28), reference_pixels=PixelRule(4 * 28 * 28, 16 * 28 * 28),
)  # fmt: skip
# name in a configuration -> sampling
SAMPLINGS = {**FRAME_SAMPLINGS, TINY_SAMPLING.name: TINY_SAMPLING, COMPACT_SAMPLING.name: COMPACT_SAMPLING}
# images alone: a model that reads no text needs neither instruction nor chat markup.
IMAGES = PromptTemplate("images", (Piece("references"), Piece("video"), Piece("reward", REWARD_TOKEN)))
# name in a configuration -> template
TEMPLATES = {template.name: template for template in (IDENTITY_FIRST, VIDEO_FIRST, IMAGES)}


@dataclass(frozen=True)
class Backbone:
    """A model size: its tokenizer, the arguments of its configuration, its frames and prompt."""

    tokenizer: Callable[[], TextTokenizer]
    # arguments of Qwen2_5_VLConfig for that tokenizer
    arguments: Callable[[TextTokenizer], dict[str, Any]]
    frame_sampling: FrameSampling
    template: PromptTemplate


def compact_backbone(tokenizer: TextTokenizer) -> dict[str, Any]:
    """6.9 million parameters: 6 vision blocks of width 192 with full attention, 4 language layers of width 256."""
    arguments = tiny_backbone(tokenizer, width=256, layers=4)
    arguments["text_config"] |= {
        "intermediate_size": 768, "num_attention_heads": 8, "num_key_value_heads": 4,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]},
    }  # fmt: skip
    arguments["vision_config"] |= {
        "depth": 6, "hidden_size": 192, "intermediate_size": 512, "num_heads": 6,
        "fullatt_block_indexes": [0, 1, 2, 3, 4, 5],
    }  # fmt: skip
    return arguments


def small_backbone(tokenizer: TextTokenizer) -> dict[str, Any]:
    """2 million parameters: a hundred trainings of an experiment are feasible on a CPU."""
    arguments = compact_backbone(tokenizer)
    arguments["text_config"] |= {
        "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }  # fmt: skip
    arguments["vision_config"] |= {
        "depth": 4, "hidden_size": 128, "intermediate_size": 384, "num_heads": 4, "out_hidden_size": 128,
        "fullatt_block_indexes": [0, 1, 2, 3],
    }  # fmt: skip
    return arguments


BACKBONES = {
    "tiny": Backbone(tiny_tokenizer, tiny_backbone, TINY_SAMPLING, VIDEO_FIRST),
    "small": Backbone(tiny_tokenizer, small_backbone, COMPACT_SAMPLING, IMAGES),
    "compact": Backbone(tiny_tokenizer, compact_backbone, COMPACT_SAMPLING, IMAGES),
}
