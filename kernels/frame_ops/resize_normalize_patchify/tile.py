"""Device functions of the kernel: loads, products, rounding and stores of one tile.

Suffixes of names: X, Y output columns and rows of the tile; I, J the input columns and rows that they are made of.
LIMBS is the number of signed bytes of an integer weight, 0 under `float`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .. import layout

# Triton reads constants of a module only as constexpr, which its interpreter cannot be divided by: hence the defaults.
_CHANNELS = tl.constexpr(layout.CHANNELS)
_ROW = tl.constexpr(layout.ROW)
# values of one frame and of one channel in a row of patches
_FRAME_VALUES = tl.constexpr(layout.PATCH**2)
_CHANNEL_VALUES = tl.constexpr(layout.ROW // layout.CHANNELS)


@triton.jit
def load_bands(at, chunk, LIMBS: tl.constexpr, OUT: tl.constexpr, IN: tl.constexpr):
    """The limbs of one chunk of a block's weights, lowest first: a tuple of int8 (float32 under `float`) [OUT, IN]."""
    LAYERS: tl.constexpr = LIMBS if LIMBS > 0 else 1
    at += chunk * (LAYERS * OUT * IN) + tl.arange(0, OUT)[:, None] * IN + tl.arange(0, IN)[None, :]
    if LIMBS == 3:
        bands = (tl.load(at), tl.load(at + OUT * IN), tl.load(at + 2 * OUT * IN))
    elif LIMBS == 2:
        bands = (tl.load(at), tl.load(at + OUT * IN))  # type: ignore[assignment]
    else:
        bands = (tl.load(at),)  # type: ignore[assignment]
    return bands


@triton.jit
def dot(left, right, acc, UNIT: tl.constexpr):
    """acc + left @ right, by the int8 or the float16 matrix units: bytes and their sums are exact in both."""
    if UNIT == "int8":
        result = tl.dot(left, right, acc, out_dtype=tl.int32)
    else:
        result = tl.dot(left.to(tl.float16), right.to(tl.float16)).to(tl.int32) + acc
    return result


@triton.jit
def weigh(bands, pixels_IJ, acc_XJ, LIMBS: tl.constexpr, UNIT: tl.constexpr):
    """acc + bands @ pixels, Horner's rule over the bytes of the weights."""
    if LIMBS == 0:
        acc_XJ = tl.dot(bands[0], pixels_IJ, acc_XJ, input_precision="ieee")
    else:
        high = dot(bands[LIMBS - 1], pixels_IJ, tl.zeros_like(acc_XJ), UNIT)
        if LIMBS == 3:
            high = dot(bands[1], pixels_IJ, high << 8, UNIT)
        acc_XJ = dot(bands[0], pixels_IJ, (high << 8) + acc_XJ, UNIT)
    return acc_XJ


@triton.jit
def weigh_transposed(values_XJ, bands, acc_XY, LIMBS: tl.constexpr, UNIT: tl.constexpr):
    """acc + values @ bands^T, by the same rule."""
    if LIMBS == 0:
        acc_XY = tl.dot(values_XJ, tl.trans(bands[0]), acc_XY, input_precision="ieee")
    else:
        high = dot(values_XJ, tl.trans(bands[LIMBS - 1]), tl.zeros_like(acc_XY), UNIT)
        if LIMBS == 3:
            high = dot(values_XJ, tl.trans(bands[1]), high << 8, UNIT)
        acc_XY = dot(values_XJ, tl.trans(bands[0]), (high << 8) + acc_XY, UNIT)
    return acc_XY


@triton.jit
def clamped_offsets(first, size, stride, IN: tl.constexpr):
    """[IN] offsets of consecutive pixels. Past the edge the weights are zero, so the last pixel is read again."""
    return tl.minimum(first + tl.arange(0, IN), size - 1) * stride


@triton.jit
def load_pixels(plane, columns_I, rows_J, LIMBS: tl.constexpr):
    """Pixels [I, J]: minus 128 as int8, or as float32 under `float`."""
    # The hint claims more than holds: pixels of [T, H, W, 3] are 3 bytes apart. It places neighbouring threads side by
    # side in x, where bytes share cache lines; it cannot widen a load, since a pointer from the header has no known
    # alignment.
    offsets_IJ = tl.max_contiguous(columns_I[:, None] + rows_J[None, :], [2, 1])
    pixels_IJ = tl.load(plane + offsets_IJ)
    if LIMBS == 0:
        pixels_IJ = pixels_IJ.to(tl.float32)
    else:
        pixels_IJ = (pixels_IJ ^ 0x80).to(tl.int8, bitcast=True)
    return pixels_IJ


@triton.jit
def to_byte(value, shift, LIMBS: tl.constexpr):
    """Sums to 0..255 as int32; floats round half to even (adding 1.5 * 2^23 leaves no room for a fraction)."""
    if LIMBS == 0:
        value = tl.minimum(tl.maximum(value, 0.0), 255.0)
        result = ((value + 12582912.0) - 12582912.0).to(tl.int32)
    else:
        result = tl.minimum(tl.maximum(value >> shift, 0), 255)
    return result


@triton.jit
def between_passes(acc_XJ, shift, LIMBS: tl.constexpr):
    """Input of the vertical pass: uint8 minus 128 as int8; the unrounded sums under `float`."""
    if LIMBS == 0:
        result = acc_XJ
    else:
        result = (to_byte(acc_XJ, shift, LIMBS) - 128).to(tl.int8)
    return result


@triton.jit
def initial_sums(bias, OUT: tl.constexpr, LIMBS: tl.constexpr):
    """A block's bias [OUT], the initial value of its sums; zeros under `float`."""
    bias = tl.load(bias + tl.arange(0, OUT))
    if LIMBS == 0:
        bias = bias.to(tl.float32)
    return bias


@triton.jit
def channel_of(step, CHANNELS: tl.constexpr = layout.CHANNELS):
    """The channel that a step works on: steps go through the channels of one frame after another."""
    return step % CHANNELS


@triton.jit
def source_plane(step, source, stride_t, stride_c, first_slot, frames, CHANNELS: tl.constexpr = layout.CHANNELS):
    """Pointer to the channel and the frame of this step; past the last frame the last one, which odd clips repeat."""
    return source + tl.minimum(first_slot + step // CHANNELS, frames - 1) * stride_t + step % CHANNELS * stride_c


@triton.jit
def target_plane(step, patches, first_row, pair_rows, first_slot, frames, CHANNELS: tl.constexpr = layout.CHANNELS):
    """Pointer to the patches of that plane, without the offset within the frame."""
    slot = tl.minimum(first_slot + step // CHANNELS, (frames + 1) // 2 * 2 - 1)
    return patches + (
        (first_row + slot // 2 * pair_rows) * _ROW + slot % 2 * _FRAME_VALUES + step % CHANNELS * _CHANNEL_VALUES
    )


@triton.jit
def store_normalized(out, target_XY, inside_XY, norm, channel, value_XY, NORM: tl.constexpr):
    """Normalises int32 values in 0..255 of one channel and stores them in patch order."""
    if NORM == "multiply":
        result = (value_XY.to(tl.float32) - tl.load(norm + channel)) * tl.load(norm + _CHANNELS + channel)
    elif NORM == "divide":
        result = tl.div_rn(value_XY.to(tl.float32) - tl.load(norm + channel), tl.load(norm + 2 * _CHANNELS + channel))
    else:
        result = tl.load(norm + channel * 256 + value_XY)
    tl.store(out + target_XY, result.to(out.dtype.element_ty), mask=inside_XY)
