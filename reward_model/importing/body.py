"""transformers' config.json, of any age, to the arguments that build the body here."""

from __future__ import annotations

from typing import Any, cast

from ..folder import CheckpointError

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


def body_arguments(config: dict[str, Any], vocabulary: int, tokenizer) -> dict[str, Any]:
    """Qwen2_5_VLConfig's arguments, for a vocabulary of that many rows and the token ids of `tokenizer`."""
    from transformers import Qwen2_5_VLConfig

    kind = config.get("model_type")
    if kind != "qwen2_5_vl":
        refuse_other_bodies(str(kind))
    full = Qwen2_5_VLConfig(**{key: value for key, value in config.items() if key != "model_type"})
    text, vision = (cast(Any, part).to_dict() for part in (full.text_config, full.vision_config))
    if text.get("use_sliding_window"):
        raise CheckpointError("the body uses a sliding attention window, which isn't supported")
    rope = {key: value for key, value in text["rope_parameters"].items() if key != "type"}
    # ids are the tokenizer's: config.json may leave them to transformers' defaults
    tokens = {key: tokenizer.special(name) for key, name in _TOKENS.items()}
    for key, name in _TOKENS.items():
        if config.get(key, tokens[key]) != tokens[key]:
            raise CheckpointError(f"{name} is token {tokens[key]} of the tokenizer and {config[key]} of config.json")
    ends = {"bos_token_id": None, "eos_token_id": None}
    return {
        "text_config": {**{key: text[key] for key in _TEXT}, "rope_parameters": rope, "vocab_size": vocabulary, **ends},
        "vision_config": {key: _plain(vision[key]) for key in _VISION},
        **tokens,
    }


def refuse_other_bodies(kind: str) -> None:
    if "qwen2_vl" in kind.lower() or "qwen2-vl" in kind.lower():
        raise CheckpointError(
            "this is a Qwen2-VL reward model (VideoAlign's layout: VQ, MQ and TA of a video without references); "
            "only Qwen2.5-VL bodies are read"
        )
    raise CheckpointError(f"the body is {kind}; only qwen2_5_vl is read")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
