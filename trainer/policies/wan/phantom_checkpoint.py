"""Phantom's published weights for diffusers' Wan transformer, whose layers have other names there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os.path import commonprefix
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from safetensors.torch import load_file

from trainer.errors import PolicyError

from .components import diffusers_class, require_all_keys, require_class, require_folder

CLASS = "WanTransformer3DModel"
# parts of diffusers' names and what Phantom has in their place, inside a block and outside blocks
_IN_BLOCKS = {
    "scale_shift_table": "modulation", "attn1": "self_attn", "attn2": "cross_attn", "to_q": "q", "to_k": "k",
    "to_v": "v", "to_out.0": "o", "norm2": "norm3", "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2",
}  # fmt: skip
_OUTSIDE = {
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "scale_shift_table": "head.modulation",
    "proj_out": "head.head",
}


def load_network(weights: Path, checkpoint: Path, dtype: torch.dtype, device: torch.device | str) -> torch.nn.Module:
    """A WanTransformer3DModel with the weights of a file as published, .pth or .safetensors, frozen.

    `checkpoint`/transformer states its sizes; only its `config.json` is read. A prefix that all names in the file
    share is dropped. PolicyError for a file that is not one whole model of these sizes, with the names that differ. The
    weights of Wan for text have the same names and sizes: nothing tells them from Phantom's.
    """
    kind = diffusers_class(CLASS)
    state = _without_prefix(_read(weights))
    with init_empty_weights(include_buffers=False):
        network: torch.nn.Module = _build(kind, checkpoint / "transformer")
    names = {name: published_name(name) for name in network.state_dict()}
    _require_state(state, {names[name]: tensor.shape for name, tensor in network.state_dict().items()}, weights)
    fp32 = {*kind._keep_in_fp32_modules}
    converted = {
        # copied: the file is mapped into memory, and may change
        name: state[names[name]].to(device, torch.float32 if fp32 & {*name.split(".")} else dtype, copy=True)
        for name in names
    }
    network.load_state_dict(converted, assign=True)
    return network.to(device).eval().requires_grad_(False)


def published_name(name: str) -> str:
    """What Phantom's checkpoint calls the parameter that is `name` in diffusers' transformer."""
    head, _, rest = name.partition(".")
    if head != "blocks":
        return _renamed(name, _OUTSIDE)
    number, _, rest = rest.partition(".")
    return f"blocks.{number}.{_renamed(rest, _IN_BLOCKS)}"


def _renamed(name: str, table: Mapping[str, str]) -> str:
    """Whole parts between dots are replaced."""
    name = f".{name}."
    for part, published in table.items():
        name = name.replace(f".{part}.", f".{published}.")
    return name[1:-1]


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name."""
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except UnpicklingError:
        raise PolicyError(f"{path} holds more than tensors, or is cut short; it is not unpickled") from None
    # torch's unpickler finds the end of its stack in files that are no pickles
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, SafetensorError) as error:
        raise PolicyError(f"the weights {path} can't be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise PolicyError(f"{path} isn't a flat table of tensors")
    return state


def _unpickle(path: Path) -> Any:
    """Tensors and tables of them, and nothing else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap can only be used" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)  # written before torch 1.6


def _without_prefix(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As "model." in files of networks that were saved inside another module."""
    shared = commonprefix(list(state))  # noqa: RUF071  names are no paths; the prefix is cut at a dot below
    return {name[shared.rfind(".") + 1 :]: tensor for name, tensor in state.items()}


def _build(kind: Any, folder: Path) -> Any:
    require_folder(folder)
    require_class(folder, CLASS)
    try:
        return kind.from_config(json.loads((folder / "config.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise PolicyError(f"{folder / 'config.json'} is no configuration of a {CLASS}: {error}") from None


def _require_state(state: Mapping[str, torch.Tensor], shapes: Mapping[str, torch.Size], path: Path) -> None:
    report = {
        "missing_keys": shapes.keys() - state.keys(),
        "unexpected_keys": state.keys() - shapes.keys(),
        "mismatched_keys": [name for name in shapes.keys() & state.keys() if shapes[name] != state[name].shape],
    }
    require_all_keys(report, path, "Phantom checkpoint")
