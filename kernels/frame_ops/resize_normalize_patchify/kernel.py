"""The fused kernel: uint8 frames of any sizes and strides to normalised Qwen2.5-VL patches, one launch per batch.

A program computes one tile of OUT_X by OUT_Y output pixels, for the three channels of FRAMES frames: horizontal pass,
rounding to uint8, vertical pass, normalisation, store in patch order. Both passes are matrix products with dense bands
of weights (`axis_plan`). Integer products are exact whatever order a device adds in, so every device gives the same
bytes. Under `float` (LIMBS == 0) the products are float32 and nothing is rounded between the passes.

Suffixes of names: X, Y output columns and rows of the tile; I, J the input columns and rows that they are made of.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .. import header as fields
from .. import layout
from .tile import (
    between_passes,
    channel_of,
    clamped_offsets,
    initial_sums,
    load_bands,
    load_pixels,
    source_plane,
    store_normalized,
    target_plane,
    to_byte,
    weigh,
    weigh_transposed,
)

# Triton reads constants of a module only as constexpr.
_PATCH = tl.constexpr(layout.PATCH)
_FACTOR = tl.constexpr(layout.FACTOR)
_CHANNELS = tl.constexpr(layout.CHANNELS)
_ROW = tl.constexpr(layout.ROW)
_NUM_FIELDS = tl.constexpr(fields.NUM_FIELDS)
_SOURCE = tl.constexpr(int(fields.ClipField.SOURCE))
_STRIDE_T = tl.constexpr(int(fields.ClipField.STRIDE_T))
_STRIDE_Y = tl.constexpr(int(fields.ClipField.STRIDE_Y))
_STRIDE_X = tl.constexpr(int(fields.ClipField.STRIDE_X))
_STRIDE_C = tl.constexpr(int(fields.ClipField.STRIDE_C))
_FRAMES = tl.constexpr(int(fields.ClipField.FRAMES))
_IN_HEIGHT = tl.constexpr(int(fields.ClipField.IN_HEIGHT))
_IN_WIDTH = tl.constexpr(int(fields.ClipField.IN_WIDTH))
_HEIGHT = tl.constexpr(int(fields.ClipField.HEIGHT))
_WIDTH = tl.constexpr(int(fields.ClipField.WIDTH))
_FIRST_ROW = tl.constexpr(int(fields.ClipField.FIRST_ROW))
_RESIZED = tl.constexpr(int(fields.ClipField.RESIZED))
_X_AXIS = tl.constexpr(int(fields.ClipField.X_AXIS))
_Y_AXIS = tl.constexpr(int(fields.ClipField.Y_AXIS))
_BLOCKS = tl.constexpr(int(fields.AxisField.BLOCKS))
_PER_BLOCK = tl.constexpr(int(fields.AxisField.PER_BLOCK))
_SHIFT = tl.constexpr(int(fields.AxisField.SHIFT))
_CHUNKS = tl.constexpr(int(fields.AxisField.CHUNKS))
_HEAD = tl.constexpr(int(fields.AxisField.HEAD))
_BANDS = tl.constexpr(int(fields.AxisField.BANDS))


@triton.jit(do_not_specialize=["clips"])
def resize_normalize_patchify_kernel(
    patches,  # [sum of rows, 1176] in the dtype of table
    norm,  # "table": [3, 256], each byte's value in the dtype of patches; else float32 [3, 3]: means, 1 / stds, stds
    header,  # int64 [clips, NUM_FIELDS] (see header.py), then [clips] running totals of programs
    clips,
    LIMBS: tl.constexpr,
    CHUNKED: tl.constexpr,  # some block reads more than one chunk of inputs
    UNIT: tl.constexpr,  # "int8" or "float16"
    NORM: tl.constexpr,  # "table", "divide" or, exact for the two half precisions, "multiply"
    FRAMES: tl.constexpr,  # a program's frames, one after another
    PREFETCH: tl.constexpr,  # load a plane while the one before is worked on
    OUT_X: tl.constexpr,
    IN_X: tl.constexpr,
    OUT_Y: tl.constexpr,
    IN_Y: tl.constexpr,
):
    pid = tl.program_id(0)
    lane = tl.arange(0, 32)
    ends = header + clips * _NUM_FIELDS
    clip = 0
    for begin in range(0, clips, 32):
        end = tl.load(ends + begin + lane, mask=begin + lane < clips, other=1 << 40)
        clip += tl.sum((end <= pid).to(tl.int32))
    before = tl.load(ends + clip - 1, mask=clip > 0, other=0).to(tl.int32)
    meta = header + clip * _NUM_FIELDS
    source = tl.load(meta + _SOURCE).to(tl.pointer_type(tl.uint8))
    stride_t = tl.load(meta + _STRIDE_T)
    stride_y = tl.load(meta + _STRIDE_Y).to(tl.int32)
    stride_x = tl.load(meta + _STRIDE_X).to(tl.int32)
    stride_c = tl.load(meta + _STRIDE_C)
    frames = tl.load(meta + _FRAMES).to(tl.int32)
    in_height = tl.load(meta + _IN_HEIGHT).to(tl.int32)
    in_width = tl.load(meta + _IN_WIDTH).to(tl.int32)
    height = tl.load(meta + _HEIGHT).to(tl.int32)
    width = tl.load(meta + _WIDTH).to(tl.int32)
    first_row = tl.load(meta + _FIRST_ROW)
    resized = tl.load(meta + _RESIZED).to(tl.int32)
    x_blocks = tl.load(meta + _X_AXIS + _BLOCKS).to(tl.int32)
    x_block = tl.load(meta + _X_AXIS + _PER_BLOCK).to(tl.int32)
    y_blocks = tl.load(meta + _Y_AXIS + _BLOCKS).to(tl.int32)
    y_block = tl.load(meta + _Y_AXIS + _PER_BLOCK).to(tl.int32)

    tile = pid - before
    at_x = tile % x_blocks
    at_y = tile // x_blocks % y_blocks
    first_slot = tile // x_blocks // y_blocks * FRAMES

    x = tl.arange(0, OUT_X)
    y = tl.arange(0, OUT_Y)
    inside_XY = (x < x_block)[:, None] & (y < y_block)[None, :]
    x += at_x * x_block
    y += at_y * y_block
    inside_XY &= (x < width)[:, None] & (y < height)[None, :]
    # patches go by groups of 2 x 2: a patch's row number is the sum of a term in x and a term in y
    row_x = (x // _FACTOR) * 4 + x // _PATCH % 2
    row_y = (y // _FACTOR) * (width // _FACTOR * 4) + y // _PATCH % 2 * 2
    target_x = row_x * _ROW + x % _PATCH
    target_y = row_y * _ROW + y % _PATCH * _PATCH
    # blocks and patches start and end at even columns, so two neighbours may be stored at once
    target_XY = tl.max_contiguous(tl.multiple_of(target_x[:, None] + target_y[None, :], [2, 1]), [2, 1])
    inside_XY = tl.max_constancy(inside_XY, [2, 1])
    pair_rows = height // _PATCH * (width // _PATCH)

    if resized:
        x_shift = tl.load(meta + _X_AXIS + _SHIFT).to(tl.int32)
        x_chunks = tl.load(meta + _X_AXIS + _CHUNKS).to(tl.int32)
        x_head = tl.load(meta + _X_AXIS + _HEAD).to(tl.pointer_type(tl.int32))
        y_shift = tl.load(meta + _Y_AXIS + _SHIFT).to(tl.int32)
        y_chunks = tl.load(meta + _Y_AXIS + _CHUNKS).to(tl.int32)
        y_head = tl.load(meta + _Y_AXIS + _HEAD).to(tl.pointer_type(tl.int32))
        WEIGHT: tl.constexpr = tl.float32 if LIMBS == 0 else tl.int8
        LAYERS: tl.constexpr = LIMBS if LIMBS > 0 else 1
        x_bands = tl.multiple_of(tl.load(meta + _X_AXIS + _BANDS).to(tl.pointer_type(WEIGHT)), 16)
        y_bands = tl.multiple_of(tl.load(meta + _Y_AXIS + _BANDS).to(tl.pointer_type(WEIGHT)), 16)
        x_bands += at_x * x_chunks * (LAYERS * OUT_X * IN_X)
        y_bands += at_y * y_chunks * (LAYERS * OUT_Y * IN_Y)
        first_x = tl.load(x_head + at_x)
        first_y = tl.load(y_head + at_y)
        bias_x = initial_sums(x_head + x_blocks + at_x * OUT_X, OUT_X, LIMBS)
        bias_y = initial_sums(y_head + y_blocks + at_y * OUT_Y, OUT_Y, LIMBS)
        zeros_XJ = tl.zeros((OUT_X, IN_Y), bias_x.dtype)
        zeros_XY = tl.zeros((OUT_X, OUT_Y), bias_x.dtype)
        if CHUNKED:
            for step in range(_CHANNELS * FRAMES):
                plane = source_plane(step, source, stride_t, stride_c, first_slot, frames)
                acc_XY = zeros_XY + bias_y[None, :]
                for j in range(y_chunks):
                    rows_J = clamped_offsets(first_y + j * IN_Y, in_height, stride_y, IN_Y)
                    acc_XJ = zeros_XJ + bias_x[:, None]
                    for i in range(x_chunks):
                        columns_I = clamped_offsets(first_x + i * IN_X, in_width, stride_x, IN_X)
                        pixels_IJ = load_pixels(plane, columns_I, rows_J, LIMBS)
                        acc_XJ = weigh(load_bands(x_bands, i, LIMBS, OUT_X, IN_X), pixels_IJ, acc_XJ, LIMBS, UNIT)
                    between_XJ = between_passes(acc_XJ, x_shift, LIMBS)
                    acc_XY = weigh_transposed(
                        between_XJ, load_bands(y_bands, j, LIMBS, OUT_Y, IN_Y), acc_XY, LIMBS, UNIT
                    )
                value_XY = to_byte(acc_XY, y_shift, LIMBS)
                out = target_plane(step, patches, first_row, pair_rows, first_slot, frames)
                store_normalized(out, target_XY, inside_XY, norm, channel_of(step), value_XY, NORM)
        else:
            columns_I = clamped_offsets(first_x, in_width, stride_x, IN_X)
            rows_J = clamped_offsets(first_y, in_height, stride_y, IN_Y)
            bands_x = load_bands(x_bands, 0, LIMBS, OUT_X, IN_X)
            bands_y = load_bands(y_bands, 0, LIMBS, OUT_Y, IN_Y)
            if PREFETCH:
                plane = source_plane(0, source, stride_t, stride_c, first_slot, frames)
                next_IJ = load_pixels(plane, columns_I, rows_J, LIMBS)
            for step in range(_CHANNELS * FRAMES):
                if PREFETCH:
                    pixels_IJ = next_IJ
                    after = tl.minimum(step + 1, _CHANNELS * FRAMES - 1)
                    plane = source_plane(after, source, stride_t, stride_c, first_slot, frames)
                    next_IJ = load_pixels(plane, columns_I, rows_J, LIMBS)
                else:
                    plane = source_plane(step, source, stride_t, stride_c, first_slot, frames)
                    pixels_IJ = load_pixels(plane, columns_I, rows_J, LIMBS)
                acc_XJ = weigh(bands_x, pixels_IJ, zeros_XJ + bias_x[:, None], LIMBS, UNIT)
                between_XJ = between_passes(acc_XJ, x_shift, LIMBS)
                acc_XY = weigh_transposed(between_XJ, bands_y, zeros_XY + bias_y[None, :], LIMBS, UNIT)
                value_XY = to_byte(acc_XY, y_shift, LIMBS)
                out = target_plane(step, patches, first_row, pair_rows, first_slot, frames)
                store_normalized(out, target_XY, inside_XY, norm, channel_of(step), value_XY, NORM)
    else:
        source_XY = tl.max_contiguous(x[:, None] * stride_x + y[None, :] * stride_y, [2, 1])
        for step in range(_CHANNELS * FRAMES):
            plane = source_plane(step, source, stride_t, stride_c, first_slot, frames)
            value_XY = tl.load(plane + source_XY, mask=inside_XY, other=0).to(tl.int32)
            out = target_plane(step, patches, first_row, pair_rows, first_slot, frames)
            store_normalized(out, target_XY, inside_XY, norm, channel_of(step), value_XY, NORM)
