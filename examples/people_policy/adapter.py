"""LoRA adapters of the policy as folders in PEFT's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import nn

from trainer.errors import PolicyError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# of names in such a folder
PREFIX = "base_model.model."


def save_adapter(network: nn.Module, folder: Path) -> None:
    """Writes a new folder with the LoRA of a network, however it was added to it."""
    state = get_peft_model_state_dict(network)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {PREFIX + name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
    configs: Any = network.peft_config
    configs["default"].save_pretrained(folder)


def merge_adapter(network: nn.Module, folder: Path) -> nn.Module:
    """The network with the adapter of a folder merged into its weights. PolicyError for a folder that does not fit."""
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise PolicyError(f"{folder} is no folder of an adapter; it has no {CONFIG} and {WEIGHTS}")
    adapted: Any = PeftModel(network, LoraConfig.from_pretrained(str(folder)))
    tensors = load_file(folder / WEIGHTS)
    own = get_peft_model_state_dict(adapted)
    if {name: t.shape for name, t in own.items()} != {name: t.shape for name, t in tensors.items()}:
        raise PolicyError(f"{folder} is an adapter of another network")
    set_peft_model_state_dict(adapted, tensors)
    return adapted.merge_and_unload()
