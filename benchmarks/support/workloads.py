"""Token sequences and models of the runner benchmarks: the released token layout, random patches and weights.

W1: a GRPO rollout, two references of 1024x1024 (616x616 after resize), 4 frames of 416x240.
W2: a clip of an evaluation, two references, 10 frames of 832x480.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

from reward_model.qwen.positions import Span, position_ids
from reward_model.qwen.runner.sequence import TokenSequence, VisionClip

REFERENCE = (1, 44, 44)
W1_VIDEO, W2_VIDEO = (2, 18, 30), (5, 34, 58)
SYSTEM_TOKENS, TEXT_TOKENS = 14, 243  # before the images; after the video, including the reward token
VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD = 3, 4, 5, 6


def body(text: dict, vision: dict, device: str, dtype: torch.dtype) -> Qwen2_5_VLModel:
    """A model of the given text and vision configuration with random weights."""
    config = Qwen2_5_VLConfig(
        text_config={"bos_token_id": None, "eos_token_id": None, "max_position_embeddings": 32768} | text,
        vision_config={"out_hidden_size": text["hidden_size"]} | vision,
        image_token_id=IMAGE_PAD,
        video_token_id=VIDEO_PAD,
        vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END,
    )
    for part in (config, config.text_config, config.vision_config):
        part._attn_implementation = "sdpa"
    default_dtype = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        torch.manual_seed(0)
        with torch.device(device):
            model = Qwen2_5_VLModel(config)
    finally:
        torch.set_default_dtype(default_dtype)
    model.language_model.rotary_emb = type(model.language_model.rotary_emb)(config.text_config).to(device)
    model.visual.rotary_pos_emb = type(model.visual.rotary_pos_emb)(config.vision_config).to(device)
    return model.eval().requires_grad_(False)


# small widths for CPUs; token counts are those of the released model
SMALL_TEXT: dict[str, Any] = {
    "vocab_size": 512, "hidden_size": 128, "intermediate_size": 704, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
}  # fmt: skip
SMALL_VISION: dict[str, Any] = {
    "depth": 8, "hidden_size": 80, "intermediate_size": 192, "num_heads": 5, "fullatt_block_indexes": [3, 7],
}  # fmt: skip


def small_body() -> Qwen2_5_VLModel:
    """float32 on the CPU: language model of width 128 and 4 layers, vision tower of width 80 and 8 blocks."""
    return body(SMALL_TEXT, SMALL_VISION, "cpu", torch.float32)


def full_body(device: str, dtype: torch.dtype) -> Qwen2_5_VLModel:
    """The shape of Qwen2.5-VL-3B with the vocabulary of the released checkpoint."""
    text = {
        "vocab_size": 151666, "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
        "num_attention_heads": 16, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    }  # fmt: skip
    vision = {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
        "fullatt_block_indexes": [7, 15, 23, 31],
    }  # fmt: skip
    return body(text, vision, device, dtype)


class SequenceFactory:
    """Creates sequences of the released layout: system, references, video, text, reward token."""

    def __init__(self, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0):
        self.generator = torch.Generator(device).manual_seed(seed)
        self.options = {"device": device, "dtype": dtype, "generator": self.generator}

    def patches(self, grid: tuple[int, int, int]) -> torch.Tensor:
        """[patches, 1176]: random patches of a grid of (temporal slices, rows, columns)."""
        return torch.randn(grid[0] * grid[1] * grid[2], 1176, **self.options)

    def sequence(self, references: list[tuple[str, torch.Tensor]], video_grid, seconds_per_grid=2.0) -> TokenSequence:
        ids, spans, clips = [7] * SYSTEM_TOKENS, [Span(SYSTEM_TOKENS)], []

        def append_media(grid, token, key, patches, seconds):
            ids.append(VISION_START)
            clip = VisionClip(grid, patches, len(ids), key)
            clips.append(clip)
            ids.extend([token] * clip.num_tokens + [VISION_END])
            merged = (grid[0], grid[1] // 2, grid[2] // 2)
            spans.extend([Span(1), Span(clip.num_tokens, merged, seconds), Span(1)])

        for key, patches in references:
            append_media(REFERENCE, IMAGE_PAD, key, patches, None)
        append_media(video_grid, VIDEO_PAD, None, self.patches(video_grid), seconds_per_grid)
        ids.extend(8 + i % 200 for i in range(TEXT_TOKENS))
        spans.append(Span(TEXT_TOKENS))
        positions = position_ids(spans, 2.0, "4.51")
        return TokenSequence(np.array(ids), positions, tuple(clips), (len(ids) - 1,))

    def group(self, size: int, video_grid, name: str, num_references: int = 2) -> list[TokenSequence]:
        """`size` sequences with different videos and the same references."""
        references = [(f"{name}/{n}", self.patches(REFERENCE)) for n in range(num_references)]
        return [self.sequence(references, video_grid) for _ in range(size)]


def flops(model: Qwen2_5_VLModel, sequences: list[TokenSequence], share: bool) -> float:
    """Floating-point operations of one scoring pass; with `share`, each prefix and each keyed image counts once."""
    text, vision = model.config.text_config, model.config.vision_config
    linear = sum(p.numel() for n, p in model.language_model.layers.named_parameters() if n.endswith("proj.weight"))
    blocks = sum(p.numel() for n, p in model.visual.blocks.named_parameters() if n.endswith("weight") and p.ndim == 2)
    merger = sum(p.numel() for p in model.visual.merger.parameters() if p.ndim == 2)
    embed = model.visual.patch_embed.proj.weight.numel()
    heads = text.num_attention_heads * (text.hidden_size // text.num_attention_heads)
    total, seen = 0.0, set()
    for s in sequences:
        for clip in s.clips:
            if share and clip.key is not None and clip.key in seen:
                continue
            seen.add(clip.key)
            slices, height, width = clip.grid
            patches, full = slices * height * width, len(vision.fullatt_block_indexes)
            total += 2 * patches * (blocks + embed) + 2 * patches / 4 * merger
            total += 4 * patches * vision.hidden_size * (full * height * width + (vision.depth - full) * 64)
        start = 0
        if share and s.prefix_key in seen:
            start = s.prefix_length
        seen.add(s.prefix_key)
        new = len(s) - start
        total += 2 * new * linear + 4 * text.num_hidden_layers * heads * (len(s) ** 2 - start**2) / 2
    return total
