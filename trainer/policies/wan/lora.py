"""LoRA in the file that diffusers' `load_lora_weights` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..adapters import ADAPTER, lora_weights
from .components import diffusers_class


def save_for_diffusers(network: torch.nn.Module, folder: Path) -> None:
    """Writes `pytorch_lora_weights.safetensors`, with rank and alpha in its metadata.

    Where each process holds a shard, every process calls it.
    """
    weights = lora_weights(network)
    configs: Any = network.peft_config
    # no more than what decides the function: other versions of PEFT refuse fields that they do not know
    settings = {
        "r": configs[ADAPTER].r,
        "lora_alpha": configs[ADAPTER].lora_alpha,
        "target_modules": sorted({name.partition(".lora_")[0] for name in weights}),
    }
    diffusers_class("WanPipeline").save_lora_weights(
        folder, transformer_lora_layers=weights, transformer_lora_adapter_metadata=settings
    )
