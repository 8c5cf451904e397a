"""What one launch does, worked out on the host: which clip's tiles, where their frames, weights and patches are.

Everything that depends on sizes alone is cached: weights by (in, out), a batch's header by its clips' (T, H, W). A call
only writes pointers and strides into a copy of the header and sends it, a few kilobytes, in one pinned copy.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch

from .axis_plan import AxisPlan, axis_plan, limbs_needed
from .taps import Semantics

# int64 words of a clip in the header. The first five are the call's own: pointer to frame 0, strides of T, H, W, C
FIELDS = 24
(_FRAMES, _IN_HEIGHT, _IN_WIDTH, _HEIGHT, _WIDTH, _FIRST_ROW, _RESIZED) = range(5, 12)
# blocks, outputs a block, shift, chunks, pointers to (starts, bias) and to the bands; the same for the two axes
_X_AXIS, _Y_AXIS = 12, 18

PATCH, MERGED = 14, 28


class Shape(NamedTuple):
    """A clip's frames and the size they are brought to, in pixels; heights and widths out are multiples of 28."""

    frames: int
    in_height: int
    in_width: int
    height: int
    width: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """(t, h, w) in patches; an odd clip's last frame is paired with itself."""
        return (self.frames + 1) // 2, self.height // PATCH, self.width // PATCH

    @property
    def resized(self) -> bool:
        return (self.in_height, self.in_width) != (self.height, self.width)


class Tile(NamedTuple):
    """Output pixels of a program's frame, and the input pixels it reads at a time; powers of two, at least 32."""

    out_x: int = 64
    in_x: int = 64
    out_y: int = 32
    in_y: int = 32
    # frames a program makes, one after another
    frames: int = 1


@dataclass(frozen=True, eq=False)
class BatchPlan:
    shapes: tuple[Shape, ...]
    # int64 [clips, FIELDS]; pointers and strides are 0
    header: np.ndarray
    # running totals of programs, int64 [clips]
    ends: np.ndarray
    # the two axes of every clip that is resized, in order
    axes: tuple[tuple[AxisPlan, AxisPlan] | None, ...]
    limbs: int
    # int64 [clips, 3], on the CPU
    grid_thw: torch.Tensor
    rows: int

    @property
    def programs(self) -> int:
        return int(self.ends[-1])

    @property
    def chunked(self) -> bool:
        return any(axis.chunks > 1 for pair in self.axes if pair for axis in pair)


@lru_cache(maxsize=512)
def plan_batch(shapes: tuple[Shape, ...], semantics: Semantics, tile: Tile) -> BatchPlan:
    limbs = max((_limbs(shape, semantics) for shape in shapes), default=0)
    header = np.zeros((len(shapes), FIELDS), np.int64)
    ends = np.zeros(len(shapes), np.int64)
    axes, first_row, end = [], 0, 0
    for i, shape in enumerate(shapes):
        pair = _axes(shape, semantics, tile, limbs) if shape.resized else None
        header[i, _FRAMES:_FIRST_ROW] = shape
        header[i, _FIRST_ROW], header[i, _RESIZED] = first_row, shape.resized
        for at, axis, out, block in ((_X_AXIS, 0, shape.width, tile.out_x), (_Y_AXIS, 1, shape.height, tile.out_y)):
            if pair is None:
                header[i, at : at + 2] = -(-out // block), block
            else:
                header[i, at : at + 4] = pair[axis].blocks, pair[axis].per_block, pair[axis].shift, pair[axis].chunks
        t, h, w = shape.grid
        first_row += t * h * w
        end += -(-2 * t // tile.frames) * int(header[i, _X_AXIS] * header[i, _Y_AXIS])
        ends[i] = end
        axes.append(pair)
    if end >= 1 << 31:
        raise ValueError(f"a batch of {len(shapes)} clips needs {end} programs, more than one launch takes; split it")
    grid = torch.tensor([shape.grid for shape in shapes], dtype=torch.int64).reshape(-1, 3)
    return BatchPlan(shapes, header, ends, tuple(axes), limbs, grid, first_row)


def _limbs(shape: Shape, semantics: Semantics) -> int:
    return max(
        limbs_needed(shape.in_width, shape.width, semantics), limbs_needed(shape.in_height, shape.height, semantics)
    )


def _axes(shape: Shape, semantics: Semantics, tile: Tile, limbs: int) -> tuple[AxisPlan, AxisPlan]:
    return (
        axis_plan(shape.in_width, shape.width, semantics, tile.out_x, tile.in_x, limbs),
        axis_plan(shape.in_height, shape.height, semantics, tile.out_y, tile.in_y, limbs),
    )


@dataclass
class DevicePlans:
    """Weights and headers that are on one device, for work on one stream of it; the least recently used go first."""

    device: torch.device
    capacity: int = 256
    _tables: OrderedDict[AxisPlan, tuple[torch.Tensor, int]] = field(default_factory=OrderedDict)
    _headers: OrderedDict[BatchPlan, tuple[np.ndarray, list[torch.Tensor]]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def header(self, plan: BatchPlan, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """The header of `plan` for these [T, H, W, 3] tensors, on its way to the device on the current stream."""
        with self._lock:
            template = self._resolved(plan)
        clips = len(frames)
        pinned = torch.empty(len(template), dtype=torch.int64, pin_memory=self.device.type == "cuda")
        words = pinned.numpy()
        words[:] = template
        words[: clips * FIELDS].reshape(clips, FIELDS)[:, :5] = [(x.data_ptr(), *x.stride()) for x in frames]
        return pinned.to(self.device, non_blocking=True)

    def _resolved(self, plan: BatchPlan) -> np.ndarray:
        """The header's words with pointers to the weights, which are sent now where they are not there."""
        if plan in self._headers:
            self._headers.move_to_end(plan)
            return self._headers[plan][0]
        words, tables = plan.header.copy(), []
        self._send({axis for pair in plan.axes if pair for axis in pair} - self._tables.keys())
        for i, pair in enumerate(plan.axes):
            for at, axis in zip((_X_AXIS, _Y_AXIS), pair or (), strict=False):
                table, bands = self._tables[axis]
                self._tables.move_to_end(axis)
                words[i, at + 4 : at + 6] = table.data_ptr(), table.data_ptr() + bands
                tables.append(table)
        resolved = np.concatenate([words.ravel(), plan.ends])
        self._headers[plan] = resolved, tables
        for cache in (self._headers, self._tables):
            while len(cache) > self.capacity:
                cache.popitem(last=False)
        return resolved

    def _send(self, axes: set[AxisPlan]) -> None:
        """One copy for all of them."""
        packed = {axis: axis.pack() for axis in axes}
        total = sum(len(data) for data, _ in packed.values())
        pinned = torch.empty(total, dtype=torch.uint8, pin_memory=self.device.type == "cuda" and total > 0)
        if total:
            np.concatenate([data for data, _ in packed.values()], out=pinned.numpy())
        parts = pinned.to(self.device, non_blocking=True).split([len(data) for data, _ in packed.values()])
        for (axis, (_, bands)), part in zip(packed.items(), parts, strict=True):
            self._tables[axis] = part, bands
