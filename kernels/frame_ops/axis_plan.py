"""Plan of one axis of a resize: blocks of outputs, the inputs of each block, and its weights as a dense band.

The kernel computes an axis' pass over one block as a product with a [tile, chunks * span] band of weights, on the
matrix units. Integer weights are split into signed bytes ("limbs", lowest first), whose products add up exactly. Pixels
are shifted to -128..127, for which `bias` corrects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .taps import Semantics, Taps, axis_taps


@dataclass(frozen=True, eq=False)
class AxisPlan:
    """How the kernel resizes one axis from `size_in` to `size_out` pixels."""

    size_in: int
    size_out: int
    # outputs a block; the last block may have fewer
    per_block: int
    # the kernel reads chunks * span inputs for a block, span at a time
    chunks: int
    shift: int
    # 0 under `float`
    limbs: int
    # int32 [blocks]: the first input of each block
    starts: np.ndarray
    # int32 [blocks, tile]: 2^(shift-1) + 128 * (sum of an output's weights)
    bias: np.ndarray
    # int8 [blocks, chunks, limbs, tile, span], or float32 [blocks, chunks, 1, tile, span]
    bands: np.ndarray

    @property
    def blocks(self) -> int:
        """Number of blocks of outputs."""
        return len(self.starts)

    def pack(self) -> tuple[np.ndarray, int]:
        """(starts, bias and bands as one uint8 array; the offset of the bands in it, a multiple of 16)."""
        head = np.concatenate([self.starts, self.bias.ravel()]).view(np.uint8)
        bands = self.bands.ravel().view(np.uint8)
        offset = -(-len(head) // 16) * 16
        packed = np.zeros(offset + len(bands), np.uint8)
        packed[: len(head)], packed[offset:] = head, bands
        return packed, offset


@lru_cache(maxsize=1024)
def axis_plan(size_in: int, size_out: int, semantics: Semantics, tile: int, span: int, limbs: int) -> AxisPlan:
    """The cached plan: blocks of at most `tile` outputs over `span` inputs, or several spans at extreme scales."""
    taps = axis_taps(size_in, size_out, semantics)
    per_block, chunks = _block_size(taps, tile, span)
    firsts = np.arange(0, size_out, per_block)
    output = np.arange(size_out)
    block, lane = output // per_block, output % per_block
    starts = taps.starts[firsts]
    dense = np.zeros((len(firsts), tile, chunks * span), taps.weights.dtype)
    column = taps.starts - starts[block]
    for k in range(taps.weights.shape[1]):
        used = taps.weights[:, k] != 0
        dense[block[used], lane[used], column[used] + k] = taps.weights[used, k]
    bias = np.zeros((len(firsts), tile), np.int32)
    if semantics != "float":
        rounding = 1 << (taps.shift - 1) if taps.shift else 0
        bias[block, lane] = rounding + 128 * taps.weights.sum(1)
    bands = dense.reshape(len(firsts), tile, chunks, span).transpose(0, 2, 1, 3)[:, :, None]
    if semantics != "float":
        bands = np.concatenate(_split(bands, limbs), axis=2)
    return AxisPlan(
        size_in,
        size_out,
        per_block,
        chunks,
        taps.shift,
        limbs,
        starts.astype(np.int32),
        bias,
        np.ascontiguousarray(bands),
    )


def limbs_needed(size_in: int, size_out: int, semantics: Semantics) -> int:
    """Number of signed bytes that hold every weight of this axis: mostly 2 for `u8`, 3 for `pillow`, 0 for `float`."""
    if semantics == "float":
        return 0
    weights = axis_taps(size_in, size_out, semantics).weights
    # two balanced digits hold -128*257 .. 127*257
    return 2 if weights.max() <= 127 * 257 and weights.min() >= -128 * 257 else 3


def _split(weights: np.ndarray, limbs: int) -> list[np.ndarray]:
    """Balanced base-256 digits, lowest first: sum over i of digit[i] * 256^i is the weight."""
    digits = []
    for _ in range(limbs):
        digit = ((weights + 128) & 255) - 128
        digits.append(digit.astype(np.int8))
        weights = (weights - digit) >> 8
    assert not weights.any(), f"a weight does not fit {limbs} bytes"
    return digits


def _block_size(taps: Taps, tile: int, span: int) -> tuple[int, int]:
    """(outputs a block, chunks): the largest even block that fits, with more chunks only where it would be tiny."""
    nonzero = taps.weights != 0
    lows = taps.starts + nonzero.argmax(1)
    highs = taps.starts + taps.weights.shape[1] - nonzero[:, ::-1].argmax(1)
    out, chunks = len(lows), 1

    def widest(size: int) -> int:
        firsts = np.arange(0, out, size)
        return int((np.maximum.reduceat(highs, firsts) - taps.starts[firsts]).max())

    while True:
        fits = next((size for size in range(min(tile, out + out % 2), 1, -2) if widest(size) <= chunks * span), 0)
        if fits >= min(tile // 4, out):
            # even out the blocks: three of 34 and one of 2 cost as much as four of 26
            even = -(-out // (-(-out // fits)))
            even += even % 2
            return (even if even <= fits and widest(even) <= chunks * span else fits), chunks
        chunks *= 2
