"""The body of transformers' Qwen2.5-VL: vision tower and language model, without the vocabulary head."""

from __future__ import annotations

from typing import Any, cast

import torch
from transformers import Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel


def backbone_config(backbone: dict[str, Any]) -> Qwen2_5_VLConfig:
    """The config of these arguments, with torch's scaled_dot_product_attention."""
    config = Qwen2_5_VLConfig(**backbone)
    for part in (config, config.text_config, config.vision_config):
        cast(Any, part)._attn_implementation = "sdpa"
    return config


def build_body(backbone: dict[str, Any]) -> Qwen2_5_VLModel:
    """The body with parameters on the meta device, to be loaded from a checkpoint, and computed buffers.

    RuntimeError for a release of transformers with buffers that are not computed here.
    """
    config = backbone_config(backbone)
    with torch.device("meta"):
        body = Qwen2_5_VLModel(config)
    # rotary frequencies are in no checkpoint
    body.language_model.rotary_emb = type(body.language_model.rotary_emb)(config.text_config)
    body.visual.rotary_pos_emb = type(body.visual.rotary_pos_emb)(config.vision_config)
    not_rebuilt = [name for name, buffer in body.named_buffers() if buffer.is_meta]
    if not_rebuilt:
        raise RuntimeError(f"this transformers release has buffers that aren't rebuilt: {', '.join(not_rebuilt)}")
    return body.eval().requires_grad_(False)
