"""LoRA (arXiv 2106.09685) on the language model by peft, and merging of its matrices into the weights."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from peft.tuners.lora.layer import LoraLayer
from peft.utils.other import TrainableTokensWrapper

from reward_model.data.seeding import generator
from reward_model.qwen.model import RewardModel

from ..configs.preferences import LoraConfig

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTER = "default"


def add_lora(model: RewardModel, config: LoraConfig, reward_tokens: list[int], seed: int) -> None:
    """Adds LoRA to the language model in place.

    Trainable are the new matrices and the embeddings of `reward_tokens`, in float32; the rest is frozen. The second
    matrices are zero, so that the function stays the same at first.
    """
    settings = PeftConfig(
        r=config.r,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides by r, whole or not
        lora_dropout=config.dropout,
        target_modules=list(TARGETS),
        trainable_token_indices={"embed_tokens": reward_tokens},
    )
    language: Any = model.body.language_model
    get_peft_model(language, settings)
    for name, module in language.named_modules():
        if isinstance(module, LoraLayer):
            a: Any = module.lora_A[ADAPTER]
            sample = generator(seed, "lora", name).standard_normal(tuple(a.weight.shape), dtype="float32")
            a.weight.data = torch.from_numpy(sample * a.in_features**-0.5)
    for name, parameter in language.named_parameters():
        if is_adapter(name):
            parameter.data = parameter.data.float()


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name was added by `add_lora`."""
    return ".lora_" in name or ".trainable_tokens_delta" in name


def merged_state(model: RewardModel, state: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """State of a plain RewardModel on the CPU: W + (alpha / r) B A in float32 where there is LoRA (equation 3).

    `state` replaces the model's own values, by their names with peft; it holds gathered shards. A merge by peft itself
    would round to the dtype of the frozen weights and cannot read gathered shards.
    """
    values = {name: tensor.detach().cpu() for name, tensor in (state or model.state_dict()).items()}
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            a, b = (values.pop(f"{name}.lora_{half}.{ADAPTER}.weight").float() for half in "AB")
            weight = values.pop(f"{name}.base_layer.weight").float()
            values[f"{name}.weight"] = weight + module.scaling[ADAPTER] * (b @ a)
            if f"{name}.base_layer.bias" in values:
                values[f"{name}.bias"] = values.pop(f"{name}.base_layer.bias")
        elif isinstance(module, TrainableTokensWrapper):
            layer: Any = module.token_adapter
            rows = values.pop(f"{name}.token_adapter.trainable_tokens_delta.{ADAPTER}").float()
            values.pop(f"{name}.token_adapter.trainable_tokens_original.{ADAPTER}", None)
            weight = values.pop(f"{name}.token_adapter.base_layer.weight").float().clone()
            weight[layer.token_indices[ADAPTER]] = rows
            values[f"{name}.weight"] = weight
    return values
