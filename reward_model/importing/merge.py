"""Base weights, trained weights and LoRA matrices to one tensor for each name of the model; every one used or named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch

from ..checkpoint import Entry, check_same, model_dtype
from ..folder import CheckpointError
from .keys import EMBEDDING, HEAD, canonical
from .tensors import Tensors


@dataclass(frozen=True)
class _Found:
    """Where tensors of one kind stand: name of the model -> (file, key in it)."""

    weights: dict[str, tuple[Tensors, str]]
    lora_A: dict[str, tuple[Tensors, str]]
    lora_B: dict[str, tuple[Tensors, str]]


def find(files: Iterable[Tensors]) -> _Found:
    found = _Found({}, {}, {})
    strange = []
    for file in files:
        for key in file.shapes:
            meaning = canonical(key)
            if meaning is None:
                strange.append(key)
            elif meaning.kind != "unused":
                place = {"weight": found.weights, "lora_A": found.lora_A, "lora_B": found.lora_B}[meaning.kind]
                if meaning.name in place:
                    raise CheckpointError(
                        f"{key} of {file.where} stands for {meaning.name}, which another key gave too"
                    )
                place[meaning.name] = (file, key)
    if strange:
        raise CheckpointError(f"{len(strange)} keys of no Qwen2.5-VL reward model: {', '.join(sorted(strange)[:12])}")
    return found


def vocabulary_rows(found: _Found) -> int:
    if EMBEDDING not in found.weights:
        raise CheckpointError("the checkpoint holds no embeddings: the reward token's row would be missing")
    file, key = found.weights[EMBEDDING]
    return file.shapes[key][0]


def merged(
    wanted: dict[str, tuple[int, ...]],
    trained: _Found,
    base: _Found | None,
    scale: float,
    rank: int | None,
    dtype: torch.dtype | None,
) -> list[Entry]:
    """A tensor for each of `wanted` (name -> shape). `scale` = alpha / rank.

    `dtype` None keeps every tensor as exact as it came: LoRA is folded in float32 and stays float32.
    """
    lora = trained.lora_A.keys() | trained.lora_B.keys()
    if halves := trained.lora_A.keys() ^ trained.lora_B.keys():
        raise CheckpointError(f"LoRA matrices without their other half: {', '.join(sorted(halves)[:12])}")
    places = {**(base.weights if base else {}), **trained.weights}
    if HEAD not in trained.weights:
        raise CheckpointError("the checkpoint holds no reward head (rm_head.weight)")
    where = " and ".join(sorted({file.where for file, _ in trained.weights.values()}))
    check_same(wanted, {name: file.shapes[key] for name, (file, key) in places.items()}, where)
    for name in sorted(lora):
        (file_a, a), (file_b, b) = trained.lora_A[name], trained.lora_B[name]
        rows, columns = wanted.get(name, (0, 0))
        shapes = file_a.shapes[a], file_b.shapes[b]
        if name not in wanted or rank is None or shapes != ((rank, columns), (rows, rank)):
            raise CheckpointError(f"LoRA of {name} has shapes {shapes[0]} and {shapes[1]}; rank {rank} was announced")
    return [_entry(name, shape, places[name], trained, scale, dtype) for name, shape in wanted.items()]


def _entry(name, shape, place, trained: _Found, scale: float, dtype: torch.dtype | None) -> Entry:
    file, key = place
    folded = name in trained.lora_A
    kept = torch.float32 if folded or not name.startswith("body.") else file.dtypes[key]
    if kept == torch.float64:
        kept = torch.float32
    out = kept if dtype is None else model_dtype(name, dtype)
    if not folded:
        return Entry(name, shape, out, partial(file.read, key))
    return Entry(name, shape, out, partial(_fold, place, trained.lora_A[name], trained.lora_B[name], scale))


def _fold(weight, lora_a, lora_b, scale: float) -> torch.Tensor:
    value, a, b = (file.read(key).to(torch.float32) for file, key in (weight, lora_a, lora_b))
    return value + scale * (b @ a)
