"""Names of a Qwen2.5-VL reward model's tensors in other programs, mapped to the names used here.

transformers up to 4.51:  visual.X            model.X                    lm_head.weight   rm_head.weight
transformers from 4.52:   model.visual.X      model.language_model.X     lm_head.weight   rm_head.weight
the body saved alone:     visual.X            language_model.X
PEFT adds the prefix base_model.model. to any of them, and inserts .base_layer, .lora_A.default or
.modules_to_save.default; its safetensors files omit .default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

REWARD_HEAD, NORM, EMBEDDING = "head.weight", "norm.weight", "body.language_model.embed_tokens.weight"


@dataclass(frozen=True)
class TensorKey:
    """Meaning of a key of a checkpoint file: a weight, a matrix of its LoRA, or a tensor that is not used."""

    kind: Literal["weight", "lora_A", "lora_B", "unused"]
    # the weight's name in RewardModel's state; of a LoRA matrix, the weight that it changes
    name: str


def canonical(key: str) -> TensorKey | None:
    """The meaning of a key; None for a key that belongs to no Qwen2.5-VL reward model."""
    name = key.removeprefix("module.").removeprefix("base_model.model.")
    name = re.sub(r"\.modules_to_save\.[^.]+\.", ".", name)
    if ".original_module." in name or name.removeprefix("model.") == "lm_head.weight":
        return TensorKey("unused", "")  # PEFT's copy of a module that was trained whole; the vocabulary head
    kind: Literal["weight", "lora_A", "lora_B"] = "weight"
    if match := re.fullmatch(r"(.+)\.lora_([AB])(?:\.[^.]+)?\.weight", name):
        kind = "lora_A" if match[2] == "A" else "lora_B"
        name = f"{match[1]}.weight"
    name = name.replace(".base_layer.", ".")
    body = _body(name)
    return None if body is None else TensorKey(kind, body)


def _body(name: str) -> str | None:
    if name == "rm_head.weight":
        return REWARD_HEAD
    if name.startswith(("visual.", "model.visual.")):
        return f"body.{name.removeprefix('model.')}"
    for prefix in ("model.language_model.", "language_model.model.", "language_model.", "model."):
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            if rest == "norm.weight":
                return NORM
            return f"body.language_model.{rest}" if rest.startswith(("layers.", "embed_tokens.")) else None
    return None


def released(name: str) -> str:
    """The name that transformers 4.51 gives to a tensor of RewardModel's state."""
    if name == REWARD_HEAD:
        return "rm_head.weight"
    if name == NORM:
        return "model.norm.weight"
    return name.removeprefix("body.").replace("language_model.", "model.", 1)
