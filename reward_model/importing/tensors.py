"""Files of named tensors behind one interface: safetensors, sharded or not, and PyTorch's zip files.

Only tensors are unpickled (`weights_only`), and a tensor is read when it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from json import loads
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open

from ..folder import CheckpointError

_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64}


@dataclass(frozen=True)
class TensorFile:
    """The tensors of a file by name; `read` loads one of them to the CPU."""

    # the path, for messages
    where: str
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, torch.dtype]
    read: Callable[[str], torch.Tensor]


def open_tensors(path: Path) -> TensorFile:
    """A `.safetensors` file, an index of shards (`.safetensors.index.json`) or a `.pth`/`.bin`/`.pt` file.

    CheckpointError for a file that is missing, damaged, quantised, or holds anything but tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} isn't there")
    if path.name.endswith(".index.json"):
        shards = sorted({path.parent / name for name in loads(path.read_text())["weight_map"].values()})
        return joined(str(path), [open_tensors(shard) for shard in shards])
    return _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)


def joined(where: str, parts: list[TensorFile]) -> TensorFile:
    """Several files as one; CheckpointError for a name that is in two of them."""
    home: dict[str, TensorFile] = {}
    for part in parts:
        if twice := home.keys() & part.shapes.keys():
            raise CheckpointError(f"{where}: {sorted(twice)[0]} is in two files")
        home |= dict.fromkeys(part.shapes, part)
    shapes = {name: part.shapes[name] for name, part in home.items()}
    dtypes = {name: part.dtypes[name] for name, part in home.items()}
    return TensorFile(where, shapes, dtypes, lambda name: home[name].read(name))


def _safetensors(path: Path) -> TensorFile:
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            slices = {name: file.get_slice(name) for name in names}
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            kinds = {name: part.get_dtype() for name, part in slices.items()}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error}") from None
    if unsupported := [name for name, kind in kinds.items() if kind not in _DTYPES]:
        raise CheckpointError(
            f"{path}: {unsupported[0]} is {kinds[unsupported[0]]}; only plain floats are read (quantised files aren't)"
        )

    def read(name: str) -> torch.Tensor:
        with safe_open(path, "pt") as file:
            return file.get_tensor(name)

    return TensorFile(str(path), shapes, {name: _DTYPES[kind] for name, kind in kinds.items()}, read)


def _torch_file(path: Path) -> TensorFile:
    try:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap can only be used" not in str(error):
                raise
            state = torch.load(path, map_location="cpu", weights_only=True)  # written before torch 1.6
    except UnpicklingError:
        raise CheckpointError(f"{path} holds more than tensors, or is cut short; it is not unpickled") from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} isn't a flat table of tensors")
    return TensorFile(
        str(path),
        {name: tuple(value.shape) for name, value in state.items()},
        {name: value.dtype for name, value in state.items()},
        state.__getitem__,
    )
