"""Weights of antialiased bicubic interpolation (a = -0.5) along one axis, in pure numpy.

Three arithmetics, of the libraries that Qwen2.5-VL's preprocessing has used:

`u8`      torch's uint8 interpolation: int16 weights, with as many fractional bits as the largest weight allows
          (torch, aten/src/ATen/native/cpu/UpSampleKernel.cpp, compute_index_ranges_int16_weights)
`pillow`  Pillow 10's: 22 fractional bits (Pillow, src/libImaging/Resample.c, precompute_coeffs, normalize_coeffs_8bpc)
`float`   torch's float32 interpolation, weights in float32
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import numpy as np

Semantics = Literal["u8", "pillow", "float"]
SEMANTICS: tuple[str, ...] = get_args(Semantics)


class Taps(NamedTuple):
    """out[i] = sum over k of weights[i, k] * in[starts[i] + k], in integers: (2^(shift-1) + sum) >> shift."""

    starts: np.ndarray  # int64 [out]
    weights: np.ndarray  # int32, or float32 under `float`; [out, K], zero past an output's last tap
    shift: int  # fractional bits of the weights; 0 under `float` and where nothing is resized


@lru_cache(maxsize=4096)
def axis_taps(size_in: int, size_out: int, semantics: Semantics) -> Taps:
    """The taps that resize `size_in` pixels to `size_out`; one tap of weight 1 where the size stays the same."""
    if size_in == size_out:
        dtype = np.float32 if semantics == "float" else np.int32
        return Taps(np.arange(size_out), np.ones((size_out, 1), dtype), 0)
    starts, weights = _cubic_weights(size_in, size_out, np.float32 if semantics == "float" else np.float64)
    if semantics == "float":
        return Taps(starts, weights, 0)
    shift = 22 if semantics == "pillow" else _int16_bits(weights.max())
    fixed = np.trunc(weights * (1 << shift) + np.copysign(0.5, weights)).astype(np.int32)
    return Taps(starts, fixed, shift)


def _cubic_weights(size_in: int, size_out: int, real: type) -> tuple[np.ndarray, np.ndarray]:
    """Starts [out] and normalised weights [out, K] in the precision `real`."""
    scale = real(size_in) / real(size_out)
    stretch = max(scale, real(1.0))
    support = real(2.0) * stretch
    # i + 0.5 is a double in the sources, whatever the precision of the rest
    centers: np.ndarray = (np.float64(scale) * (np.arange(size_out) + 0.5)).astype(real)
    starts = np.maximum((np.float64(centers - support) + 0.5).astype(np.int64), 0)
    ends = np.minimum((np.float64(centers + support) + 0.5).astype(np.int64), size_in)
    offsets = np.arange(int((ends - starts).max()))
    inverse = real(1.0) / stretch
    distances = (np.float64((offsets + starts[:, None]).astype(real) - centers[:, None]) + 0.5) * np.float64(inverse)
    weights = np.where(offsets < (ends - starts)[:, None], _cubic(distances.astype(real)), real(0.0))
    total: np.ndarray = np.zeros(size_out, real)
    for column in weights.T:  # one after another, like the sources: numpy's sum adds pairwise
        total += column
    return starts, weights / total[:, None]


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5, in the precision of x."""
    a = x.dtype.type(-0.5)
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, x.dtype.type(0.0)))


def _int16_bits(largest: float) -> int:
    """Fractional bits with which the largest weight still fits an int16, at most 22."""
    for bits in range(22):
        if int(0.5 + largest * (1 << (bits + 1))) >= 1 << 15:
            return bits
    return 22
