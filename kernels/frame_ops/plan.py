"""Plan of one launch, made on the host: the tiles of every clip, and where their frames, weights and patches are.

Everything that depends on sizes alone is cached: weights by (in, out), a batch's header by its clips' (T, H, W). A call
only writes pointers and strides into a copy of the header and sends that, a few kilobytes, in one pinned copy.
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
from .header import NUM_FIELDS, AxisField, ClipField
from .layout import PATCH, TEMPORAL_PATCH
from .taps import Semantics


class Shape(NamedTuple):
    """A clip's number of frames, their size and the size that they are resized to, in pixels (multiples of 28)."""

    frames: int
    in_height: int
    in_width: int
    height: int
    width: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """(t, h, w) in patches; an odd clip's last frame is paired with itself."""
        return -(-self.frames // TEMPORAL_PATCH), self.height // PATCH, self.width // PATCH

    @property
    def resized(self) -> bool:
        """Whether the size changes."""
        return (self.in_height, self.in_width) != (self.height, self.width)


class Tile(NamedTuple):
    """Output pixels of a frame that a program computes, input pixels that it reads at a time: powers of two >= 32."""

    out_x: int = 64
    in_x: int = 64
    out_y: int = 32
    in_y: int = 32
    # frames that a program computes, one after another
    frames: int = 1


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """A launch for clips of these shapes."""

    shapes: tuple[Shape, ...]
    # int64 [clips, NUM_FIELDS]; pointers and strides are 0
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
        """Size of the launch's grid: the programs of all clips together."""
        return int(self.ends[-1])

    @property
    def chunked(self) -> bool:
        """Whether some block reads more than one chunk of inputs."""
        return any(axis.chunks > 1 for pair in self.axes if pair for axis in pair)


@lru_cache(maxsize=512)
def plan_batch(shapes: tuple[Shape, ...], semantics: Semantics, tile: Tile) -> BatchPlan:
    """The cached plan; ValueError for a batch of more programs than one launch takes."""
    limbs = max((_limbs(shape, semantics) for shape in shapes), default=0)
    header = np.zeros((len(shapes), NUM_FIELDS), np.int64)
    ends = np.zeros(len(shapes), np.int64)
    axes, first_row, end = [], 0, 0
    for i, shape in enumerate(shapes):
        pair = _axes(shape, semantics, tile, limbs) if shape.resized else None
        header[i, ClipField.FRAMES : ClipField.FIRST_ROW] = shape
        header[i, ClipField.FIRST_ROW], header[i, ClipField.RESIZED] = first_row, shape.resized
        outputs = ((ClipField.X_AXIS, shape.width, tile.out_x), (ClipField.Y_AXIS, shape.height, tile.out_y))
        tiles = 1
        for number, (offset, size, block) in enumerate(outputs):
            fields = header[i, offset:]
            if pair is None:
                fields[AxisField.BLOCKS], fields[AxisField.PER_BLOCK] = -(-size // block), block
            else:
                axis = pair[number]
                fields[AxisField.BLOCKS], fields[AxisField.PER_BLOCK] = axis.blocks, axis.per_block
                fields[AxisField.SHIFT], fields[AxisField.CHUNKS] = axis.shift, axis.chunks
            tiles *= int(fields[AxisField.BLOCKS])
        t, h, w = shape.grid
        first_row += t * h * w
        end += -(-TEMPORAL_PATCH * t // tile.frames) * tiles
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
    """LRU caches of the weights and headers that are on one device, for work on one stream of it.

    A batch's axes are all sent before any is evicted, so that a plan of more axes than `capacity` works too.
    """

    device: torch.device
    capacity: int = 256
    _tables: OrderedDict[AxisPlan, tuple[torch.Tensor, int]] = field(default_factory=OrderedDict)
    _headers: OrderedDict[BatchPlan, tuple[np.ndarray, list[torch.Tensor]]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def header(self, plan: BatchPlan, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """int64 words of `plan` for these [T, H, W, 3] tensors, sent to the device on the current stream."""
        with self._lock:
            template = self._resolved(plan)
        clips = len(frames)
        pinned = torch.empty(len(template), dtype=torch.int64, pin_memory=self.device.type == "cuda")
        words = pinned.numpy()
        words[:] = template
        pointers = words[: clips * NUM_FIELDS].reshape(clips, NUM_FIELDS)[:, ClipField.SOURCE : ClipField.FRAMES]
        pointers[:] = [(clip.data_ptr(), *clip.stride()) for clip in frames]
        return pinned.to(self.device, non_blocking=True)

    def _resolved(self, plan: BatchPlan) -> np.ndarray:
        """The header's words with pointers to the weights, which are sent first where the device lacks them."""
        if plan in self._headers:
            self._headers.move_to_end(plan)
            return self._headers[plan][0]
        words, tables = plan.header.copy(), []
        self._send({axis for pair in plan.axes if pair for axis in pair} - self._tables.keys())
        for i, pair in enumerate(plan.axes):
            for offset, axis in zip((ClipField.X_AXIS, ClipField.Y_AXIS), pair or (), strict=False):
                table, bands = self._tables[axis]
                self._tables.move_to_end(axis)
                words[i, offset + AxisField.HEAD] = table.data_ptr()
                words[i, offset + AxisField.BANDS] = table.data_ptr() + bands
                tables.append(table)
        resolved = np.concatenate([words.ravel(), plan.ends])
        self._headers[plan] = resolved, tables
        for cache in (self._headers, self._tables):
            while len(cache) > self.capacity:
                cache.popitem(last=False)
        return resolved

    def _send(self, axes: set[AxisPlan]) -> None:
        """Sends the packed tables of these axes in one copy."""
        packed = {axis: axis.pack() for axis in axes}
        total = sum(len(data) for data, _ in packed.values())
        pinned = torch.empty(total, dtype=torch.uint8, pin_memory=self.device.type == "cuda" and total > 0)
        if total:
            np.concatenate([data for data, _ in packed.values()], out=pinned.numpy())
        parts = pinned.to(self.device, non_blocking=True).split([len(data) for data, _ in packed.values()])
        for (axis, (_, bands)), part in zip(packed.items(), parts, strict=True):
            self._tables[axis] = part, bands
