"""Trained LoRA adapters, merged into the policy's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel
from torch import nn

from trainer.errors import PolicyError
from trainer.policies.adapters import load_peft

CONFIG = "adapter_config.json"


def merge_adapter(network: nn.Module, folder: Path) -> nn.Module:
    """The network with the adapter of a folder merged into its weights. PolicyError for a folder that does not fit."""
    if not (folder / CONFIG).is_file():
        raise PolicyError(f"{folder} is no folder of an adapter; it has no {CONFIG}")
    adapted: Any = PeftModel(network, LoraConfig.from_pretrained(str(folder)))
    load_peft(adapted.base_model.model, folder)
    return adapted.merge_and_unload()
