"""LoRA (arXiv 2106.09685) on a policy's network by PEFT, in place: added, switched off, read and written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora.layer import LoraLayer
from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor

from reward_model.data.seeding import generator

from ..errors import PolicyError

ADAPTER = "default"
WEIGHTS = "adapter_model.safetensors"
# prefix of the names in a PEFT folder
_PREFIX = "base_model.model."


def add_lora(network: torch.nn.Module, targets: Sequence[str], rank: int, alpha: float, seed: int) -> None:
    """Adds LoRA to the linear layers whose names end in one of `targets`; all other parameters are frozen.

    The first matrices are Gaussian with deviation 1 / rank, the second ones 0, so that the function stays the same. The
    new parameters are float32. PolicyError where no layer has such a name.
    """
    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=list(targets))  # type: ignore[arg-type]
    try:
        inject_adapter_in_model(settings, network, ADAPTER)
    except ValueError as error:
        raise PolicyError(f"LoRA can't be added to {', '.join(targets)}: {error}") from None
    for name, layer in _layers(network):
        a: Any = layer.lora_A[ADAPTER]
        sample = generator(seed, "lora", name).standard_normal(tuple(a.weight.shape), dtype="float32")
        a.weight.data = torch.from_numpy(sample / rank).to(a.weight.device)
    for name, parameter in network.named_parameters():
        parameter.requires_grad = is_adapter(name)
        if is_adapter(name):
            parameter.data = parameter.data.float()


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name was added by `add_lora`."""
    return ".lora_A." in name or ".lora_B." in name


@contextmanager
def base_weights(network: torch.nn.Module) -> Iterator[None]:
    """Inside the context the network computes as without LoRA. Without gradients: PEFT switches them off meanwhile."""
    layers = [layer for _, layer in _layers(network)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def save_peft(network: torch.nn.Module, folder: Path) -> None:
    """Writes `adapter_config.json` and `adapter_model.safetensors`, as PEFT and diffusers read them.

    Where each process holds a shard, every process calls it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(network, adapter_name=ADAPTER, save_embedding_layers=False)
    save_file({f"{_PREFIX}{name}": _whole(tensor) for name, tensor in state.items()}, folder / WEIGHTS)
    configs: Any = network.peft_config
    configs[ADAPTER].save_pretrained(str(folder))


def load_peft(network: torch.nn.Module, folder: Path) -> None:
    """Reads the weights of a PEFT folder into the LoRA of `add_lora`. PolicyError for a folder of another adapter."""
    try:
        state = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise PolicyError(f"{folder / WEIGHTS} can't be read: {error}") from None
    state = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}
    shapes = {
        name: tensor.shape
        for name, tensor in get_peft_model_state_dict(
            network, adapter_name=ADAPTER, save_embedding_layers=False
        ).items()
    }
    if shapes != {name: tensor.shape for name, tensor in state.items()}:
        odd = sorted({*shapes} ^ {*state}) or [name for name in shapes if shapes[name] != state[name].shape]
        raise PolicyError(f"{folder} is an adapter of other layers or another rank: it differs in {', '.join(odd[:5])}")
    set_peft_model_state_dict(network, state, adapter_name=ADAPTER)


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole.detach().cpu().contiguous()


def _layers(network: torch.nn.Module) -> Iterator[tuple[str, LoraLayer]]:
    return ((name, module) for name, module in network.named_modules() if isinstance(module, LoraLayer))
