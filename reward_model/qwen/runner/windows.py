"""Order of the patches in the vision tower, planned on the host so that equal windows are one attention call.

Qwen2.5-VL's tower attends inside windows of 8 x 8 patches in most blocks, and inside one temporal slice in the others.
transformers makes one attention call a window. Here patches are ordered such that windows of equal size are neighbours,
and each size is one batched call whose input is a view.

A unit is the 2 x 2 square of patches that the merger turns into one token; the patches of a unit stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from .rows import send

Grid = tuple[int, int, int]  # temporal slices, and height and width in patches


@dataclass(frozen=True)
class Segments:
    """Runs of rows end to end, in classes of equal length: `classes` holds (number of runs, length in patches)."""

    classes: tuple[tuple[int, int], ...]

    @property
    def lengths(self) -> np.ndarray:
        """int64 [runs]: the length of every run."""
        return np.repeat([length for _, length in self.classes], [count for count, _ in self.classes])


@dataclass(frozen=True, eq=False)
class TowerPlan:
    """Index tensors of a tower pass, int64, made on the CPU. N = patches, U = N / 4 units.

    `order_U` takes units from input order to tower order, `restore_U` back. `slices_N` takes patches from tower order
    to slice order, for blocks of full attention; `unslice_N` back. `rows_N` and `columns_N` are patch coordinates in
    tower order.
    """

    order_U: torch.Tensor
    restore_U: torch.Tensor
    slices_N: torch.Tensor
    unslice_N: torch.Tensor
    rows_N: torch.Tensor
    columns_N: torch.Tensor
    windows: Segments
    slices: Segments
    # the largest patch coordinate
    largest: int

    def to(self, device: torch.device) -> TowerPlan:
        """The plan with its tensors on that device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if torch.is_tensor(getattr(self, f.name))}
        moved: dict[str, Any] = {name: send(tensor.numpy(), device) for name, tensor in tensors.items()}
        return replace(self, **moved)


@lru_cache(maxsize=4096)
def _windows(height: int, width: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """(unit indices of one slice, window by window; length of each window), with all sizes in units."""
    numbers = np.arange(height * width).reshape(height, width)
    parts = [
        numbers[top : top + window, left : left + window].ravel()
        for top in range(0, height, window)
        for left in range(0, width, window)
    ]
    return np.concatenate(parts), np.array([len(part) for part in parts])


def _coordinates(height: int, width: int, merge: int) -> np.ndarray:
    """[2, height * width] row and column of every patch of a slice, in the processor's order (unit by unit)."""
    rows, columns = np.indices((height, width))
    squares = np.stack([rows, columns]).reshape(2, height // merge, merge, width // merge, merge)
    return squares.transpose(0, 1, 3, 2, 4).reshape(2, -1)


def _grouped(lengths: np.ndarray) -> tuple[np.ndarray, Segments]:
    """(stable order of segments by length, longest first; the segments in that order)."""
    order = np.argsort(-lengths, kind="stable")
    values, counts = np.unique(lengths, return_counts=True)
    return order, Segments(tuple((int(n), int(length)) for length, n in zip(values[::-1], counts[::-1], strict=True)))


def _concatenated(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Indices of segments laid end to end: arange(start, start + length) for each."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)


def plan_tower(grids: Sequence[Grid], *, merge: int = 2, window: int = 4) -> TowerPlan:
    """The cached plan for clips laid end to end; `window` is the side of a window in units."""
    return _plan(tuple(grids), merge, window)


@lru_cache(maxsize=256)
def _plan(grids: tuple[Grid, ...], merge: int, window: int) -> TowerPlan:
    unit = merge * merge
    numbers, lengths, coordinates, slice_lengths, start = [], [], [], [], 0
    for slices, height, width in grids:
        within, sizes = _windows(height // merge, width // merge, window)
        coordinates.append(np.tile(_coordinates(height, width, merge), slices))
        for _ in range(slices):
            numbers.append(within + start)
            lengths.append(sizes)
            slice_lengths.append(height * width)
            start += within.size
    windows_U, lengths_W = np.concatenate(numbers), np.concatenate(lengths)
    starts_W = np.cumsum(lengths_W) - lengths_W
    by_size, classes = _grouped(lengths_W)
    order_U = windows_U[_concatenated(starts_W[by_size], lengths_W[by_size])]
    restore_U = np.empty_like(order_U)
    restore_U[order_U] = np.arange(order_U.size)

    # slice by slice, window by window, which is transformers' order of keys: sums round in the same way
    patches = (restore_U[windows_U][:, None] * unit + np.arange(unit)).ravel()
    lengths_S = np.array(slice_lengths)
    starts_S = np.cumsum(lengths_S) - lengths_S
    slice_order, slice_classes = _grouped(lengths_S)
    slices_N = patches[_concatenated(starts_S[slice_order], lengths_S[slice_order])]
    unslice_N = np.empty_like(slices_N)
    unslice_N[slices_N] = np.arange(slices_N.size)

    in_tower = (order_U[:, None] * unit + np.arange(unit)).ravel()
    rows_N, columns_N = np.concatenate(coordinates, axis=1)[:, in_tower]
    return TowerPlan(
        order_U=torch.from_numpy(order_U),
        restore_U=torch.from_numpy(restore_U),
        slices_N=torch.from_numpy(slices_N),
        unslice_N=torch.from_numpy(unslice_N),
        rows_N=torch.from_numpy(rows_N),
        columns_N=torch.from_numpy(columns_N),
        windows=Segments(tuple((n, length * unit) for n, length in classes.classes)),
        slices=slice_classes,
        largest=max(max(grid[1:]) for grid in grids),
    )
