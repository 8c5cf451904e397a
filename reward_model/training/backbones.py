"""Models that are trained from nothing: Qwen2.5-VL's classes at small sizes, tokenizers and frames of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from identity_reward_client.frame_sampling import FrameSampling, PixelRule

from ..config import FRAME_SAMPLINGS
from ..prompt import IDENTITY_FIRST, REWARD_TOKEN, VIDEO_FIRST, Piece, PromptTemplate
from ..text_tokenizer import TextTokenizer
from ..tiny import SAMPLING as TINY_SAMPLING
from ..tiny import tiny_backbone, tiny_tokenizer

# Small enough for a CPU: eight frames of at most 168x168 pixels, references of 112x112.
COMPACT_SAMPLING = FrameSampling(
    "compact-uniform-8", num_frames=8, frame_factor=2,
    frame_pixels=PixelRule(4 * 28 * 28, 36 * 28 * 28), reference_pixels=PixelRule(4 * 28 * 28, 16 * 28 * 28),
)  # fmt: skip
# by the names that a config may give
SAMPLINGS = {**FRAME_SAMPLINGS, TINY_SAMPLING.name: TINY_SAMPLING, COMPACT_SAMPLING.name: COMPACT_SAMPLING}
# no instruction, which a model that reads nothing else needs not be told, and no chat around it
SHORT = PromptTemplate("short", (Piece("prompt"), Piece("references"), Piece("video"), Piece("reward", REWARD_TOKEN)))
TEMPLATES = {template.name: template for template in (IDENTITY_FIRST, VIDEO_FIRST, SHORT)}


@dataclass(frozen=True)
class Backbone:
    tokenizer: Callable[[], TextTokenizer]
    # Qwen2_5_VLConfig's arguments for that tokenizer
    arguments: Callable[[TextTokenizer], dict[str, Any]]
    frame_sampling: FrameSampling
    template: PromptTemplate


def compact_backbone(tokenizer: TextTokenizer) -> dict[str, Any]:
    """About 7 million parameters: 4 vision blocks of 256 and 4 language layers of 256."""
    arguments = tiny_backbone(tokenizer, width=256, layers=4)
    heads, head_dim = 4, 64
    arguments["text_config"] |= {
        "intermediate_size": 576, "num_attention_heads": heads, "num_key_value_heads": heads // 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]},
        "head_dim": head_dim,
    }  # fmt: skip
    arguments["vision_config"] |= {
        "depth": 4, "hidden_size": 256, "intermediate_size": 576, "num_heads": 4, "out_hidden_size": 256,
        "fullatt_block_indexes": [1, 3],
    }  # fmt: skip
    return arguments


BACKBONES = {
    "tiny": Backbone(tiny_tokenizer, tiny_backbone, TINY_SAMPLING, VIDEO_FIRST),
    "compact": Backbone(tiny_tokenizer, compact_backbone, COMPACT_SAMPLING, SHORT),
}
