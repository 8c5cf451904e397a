"""LoRA (arXiv 2106.09685) on a policy's network by PEFT, in place: added, switched off, read and written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora.layer import LoraLayer
from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

from reward_model.data.seeding import generator

from ..errors import PolicyError

ADAPTER = "default"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
# of diffusers
DIFFUSERS_WEIGHTS = "pytorch_lora_weights.safetensors"
_DIFFUSERS_SETTINGS = "lora_adapter_metadata"
# prefixes of the names in a folder of PEFT and of diffusers
_PREFIX, _DIFFUSERS_PREFIX = "base_model.model.", "transformer."


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
    """Writes `adapter_config.json` and `adapter_model.safetensors`, as PEFT reads them.

    Where each process holds a shard, every process calls it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({f"{_PREFIX}{name}": tensor for name, tensor in lora_weights(network).items()}, folder / WEIGHTS)
    configs: Any = network.peft_config
    configs[ADAPTER].save_pretrained(str(folder))


def lora_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of LoRA by name, such as "blocks.0.to_q.lora_A.weight", whole and on the CPU.

    Where each process holds a shard, every process calls it.
    """
    return {name: _whole(tensor) for name, tensor in _lora_state(network).items()}


def read_adapter(folder: Path) -> tuple[dict[str, torch.Tensor], float | None]:
    """The weights of a folder of PEFT or of diffusers, named as by `lora_weights`, and alpha where it is stated.
    PolicyError for a folder of neither."""
    return _read_diffusers(folder) if (folder / DIFFUSERS_WEIGHTS).is_file() else _read_peft(folder)


def load_peft(network: torch.nn.Module, folder: Path) -> None:
    """Reads an adapter into the LoRA of `add_lora`: a folder of PEFT, as the released Identity-GRPO adapter is, or of
    diffusers. PolicyError for a folder of another adapter, or of one with another alpha."""
    state, alpha = read_adapter(folder)
    shapes = {name: tensor.shape for name, tensor in _lora_state(network).items()}
    if shapes != {name: tensor.shape for name, tensor in state.items()}:
        odd = sorted({*shapes} ^ {*state}) or [name for name in shapes if shapes[name] != state[name].shape]
        raise PolicyError(f"{folder} is an adapter of other layers or another rank: it differs in {', '.join(odd[:5])}")
    configs: Any = network.peft_config
    require_alpha(folder, alpha, configs[ADAPTER].lora_alpha)
    set_peft_model_state_dict(network, state, adapter_name=ADAPTER)


def require_alpha(folder: Path, stated: float | None, alpha: float) -> None:
    """PolicyError where the adapter in `folder` states another alpha; None: it states none."""
    if stated is not None and stated != alpha:
        raise PolicyError(f"{folder} is an adapter of alpha {stated:g}, and adapter.alpha is {alpha:g}")


def _lora_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return get_peft_model_state_dict(network, adapter_name=ADAPTER, save_embedding_layers=False)


def _read_peft(folder: Path) -> tuple[dict[str, torch.Tensor], float | None]:
    """Weights by name and alpha, if the folder states it."""
    state, _ = _read(folder / WEIGHTS, _PREFIX)
    config = folder / CONFIG
    return state, json.loads(config.read_text()).get("lora_alpha") if config.is_file() else None


def _read_diffusers(folder: Path) -> tuple[dict[str, torch.Tensor], float | None]:
    """Weights by name and alpha, if the file's metadata state it."""
    state, metadata = _read(folder / DIFFUSERS_WEIGHTS, _DIFFUSERS_PREFIX)
    settings = json.loads(metadata.get(_DIFFUSERS_SETTINGS, "{}"))
    return state, settings.get(f"{_DIFFUSERS_PREFIX}lora_alpha")


def _read(path: Path, prefix: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            state = {name.removeprefix(prefix): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return state, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise PolicyError(f"{path} can't be read: {error}") from None


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole.detach().cpu().contiguous()


def _layers(network: torch.nn.Module) -> Iterator[tuple[str, LoraLayer]]:
    return ((name, module) for name, module in network.named_modules() if isinstance(module, LoraLayer))
