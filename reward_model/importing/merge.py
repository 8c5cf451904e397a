"""Merges base weights, trained weights and LoRA matrices into one tensor for each name of the model.

PEFT's own merge needs the whole model and its base in memory; here each tensor is merged when it is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch

from ..checkpoint import TensorEntry, check_same, model_dtype
from ..folder import CheckpointError
from .keys import EMBEDDING, REWARD_HEAD, canonical
from .tensors import TensorFile

# (file, key in it)
_Location = tuple[TensorFile, str]


@dataclass(frozen=True)
class TensorLocations:
    """Where the tensors of each kind are: name of the model -> (file, key in it)."""

    weights: dict[str, _Location]
    lora_A: dict[str, _Location]
    lora_B: dict[str, _Location]


def locate(files: Iterable[TensorFile]) -> TensorLocations:
    """The locations of all tensors of some files; CheckpointError for unknown and repeated names."""
    locations = TensorLocations({}, {}, {})
    by_kind = {"weight": locations.weights, "lora_A": locations.lora_A, "lora_B": locations.lora_B}
    unknown = []
    for file in files:
        for key in file.shapes:
            meaning = canonical(key)
            if meaning is None:
                unknown.append(key)
            elif meaning.kind != "unused":
                tensors = by_kind[meaning.kind]
                if meaning.name in tensors:
                    raise CheckpointError(f"{key} of {file.where} is {meaning.name}, which another key is too")
                tensors[meaning.name] = (file, key)
    if unknown:
        raise CheckpointError(f"{len(unknown)} keys of no Qwen2.5-VL reward model: {', '.join(sorted(unknown)[:12])}")
    return locations


def vocabulary_rows(trained: TensorLocations) -> int:
    """Rows of the embeddings; CheckpointError where there are none."""
    if EMBEDDING not in trained.weights:
        raise CheckpointError("the checkpoint holds no embeddings: the reward token's row would be missing")
    file, key = trained.weights[EMBEDDING]
    return file.shapes[key][0]


def merged(
    shapes: dict[str, tuple[int, ...]],
    trained: TensorLocations,
    base: TensorLocations | None,
    scale: float,
    rank: int | None,
    dtype: torch.dtype | None,
) -> list[TensorEntry]:
    """An entry for each tensor of `shapes` (name -> shape).

    LoRA is W + scale * B @ A with scale = alpha / rank (arXiv 2106.09685, section 4.1), computed in float32. `dtype`:
    of the body; None keeps every tensor's own, and float32 where LoRA is merged. CheckpointError for tensors that are
    missing, unexpected or of another shape.
    """
    if halves := trained.lora_A.keys() ^ trained.lora_B.keys():
        raise CheckpointError(f"LoRA matrices without their other half: {', '.join(sorted(halves)[:12])}")
    locations = {**(base.weights if base else {}), **trained.weights}
    if REWARD_HEAD not in trained.weights:
        raise CheckpointError("the checkpoint holds no reward head (rm_head.weight)")
    where = " and ".join(sorted({file.where for file, _ in trained.weights.values()}))
    check_same(shapes, {name: file.shapes[key] for name, (file, key) in locations.items()}, where)
    for name in sorted(trained.lora_A):
        (file_a, a), (file_b, b) = trained.lora_A[name], trained.lora_B[name]
        rows, columns = shapes.get(name, (0, 0))
        lora_shapes = file_a.shapes[a], file_b.shapes[b]
        if name not in shapes or rank is None or lora_shapes != ((rank, columns), (rows, rank)):
            raise CheckpointError(
                f"LoRA of {name} has shapes {lora_shapes[0]} and {lora_shapes[1]}; the settings state rank {rank}"
            )
    return [_entry(name, shape, locations[name], trained, scale, dtype) for name, shape in shapes.items()]


def _entry(
    name: str,
    shape: tuple[int, ...],
    location: _Location,
    trained: TensorLocations,
    scale: float,
    dtype: torch.dtype | None,
) -> TensorEntry:
    file, key = location
    has_lora = name in trained.lora_A
    exact = torch.float32 if has_lora or not name.startswith("body.") else file.dtypes[key]
    if exact == torch.float64:
        exact = torch.float32
    out = exact if dtype is None else model_dtype(name, dtype)
    if not has_lora:
        return TensorEntry(name, shape, out, partial(file.read, key))
    return TensorEntry(name, shape, out, partial(_fold, location, trained.lora_A[name], trained.lora_B[name], scale))


def _fold(weight: _Location, lora_a: _Location, lora_b: _Location, scale: float) -> torch.Tensor:
    value, a, b = (file.read(key).to(torch.float32) for file, key in (weight, lora_a, lora_b))
    return value + scale * (b @ a)
