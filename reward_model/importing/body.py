"""Arguments of the body from transformers' `config.json` of any release."""

from __future__ import annotations

from typing import Any, cast

from ..folder import CheckpointError
from ..qwen.tokenizer import TextTokenizer

_TEXT = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_act",
    "max_position_embeddings", "rms_norm_eps", "rope_parameters",
)  # fmt: skip
_VISION = (
    "depth", "hidden_size", "hidden_act", "intermediate_size", "num_heads", "in_channels", "patch_size",
    "spatial_merge_size", "temporal_patch_size", "tokens_per_second", "window_size", "out_hidden_size",
    "fullatt_block_indexes",
)  # fmt: skip
_TOKENS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}


def body_arguments(config: dict[str, Any], vocabulary_size: int, tokenizer: TextTokenizer) -> dict[str, Any]:
    """Qwen2_5_VLConfig's arguments for embeddings of `vocabulary_size` rows, with the token ids of `tokenizer`.

    CheckpointError for another body than Qwen2.5-VL, or token ids that contradict the tokenizer's.
    """
    from transformers import Qwen2_5_VLConfig

    model_type = config.get("model_type")
    if model_type != "qwen2_5_vl":
        refuse_other_bodies(str(model_type))
    full = Qwen2_5_VLConfig(**{key: value for key, value in config.items() if key != "model_type"})
    text, vision = (cast(Any, part).to_dict() for part in (full.text_config, full.vision_config))
    if text.get("use_sliding_window"):
        raise CheckpointError("the body uses a sliding attention window, which isn't supported")
    rope = {key: value for key, value in text["rope_parameters"].items() if key != "type"}
    # config.json may leave the ids to transformers' defaults
    tokens = {key: tokenizer.special(name) for key, name in _TOKENS.items()}
    for key, name in _TOKENS.items():
        if config.get(key, tokens[key]) != tokens[key]:
            raise CheckpointError(f"{name} is token {tokens[key]} of the tokenizer and {config[key]} of config.json")
    ends = {"bos_token_id": None, "eos_token_id": None}
    return {
        "text_config": {
            **{key: text[key] for key in _TEXT},
            "rope_parameters": rope,
            "vocab_size": vocabulary_size,
            **ends,
        },
        "vision_config": {key: _plain(vision[key]) for key in _VISION},
        **tokens,
    }


def refuse_other_bodies(model_type: str) -> None:
    """CheckpointError that names the unsupported body."""
    if "qwen2_vl" in model_type.lower() or "qwen2-vl" in model_type.lower():
        raise CheckpointError(
            "this is a Qwen2-VL reward model (VideoAlign's layout: VQ, MQ and TA of a video without references); "
            "only Qwen2.5-VL bodies are read"
        )
    raise CheckpointError(f"the body is {model_type}; only qwen2_5_vl is read")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
