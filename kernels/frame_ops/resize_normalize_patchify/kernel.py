"""The fused kernel: uint8 frames of any sizes and strides to normalised Qwen2.5-VL patches, one launch a batch.

A program makes one tile of one frame's output pixels, OUT_X by OUT_Y, for the three channels: horizontal pass, rounding
to uint8, vertical pass, normalisation, store in patch order. Both passes are matrix products with dense bands of
weights (`axis_plan`). In integers they are exact in whatever order a device adds, so every device gives the same bytes.
Under `float` (LIMBS == 0) the products are float32 and nothing is rounded between the passes.

Letters in names: X, Y output columns and rows of the tile; I, J the input columns and rows they are made of.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _bands(at, chunk, LIMBS: tl.constexpr, OUT: tl.constexpr, IN: tl.constexpr):
    """The bytes of one chunk of a block's weights, lowest first: a tuple of [OUT, IN]."""
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
def _dot(left, right, acc, UNIT: tl.constexpr):
    """acc + left @ right, by the int8 or the float16 matrix units: bytes and their sums are exact in both."""
    if UNIT == "int8":
        result = tl.dot(left, right, acc, out_dtype=tl.int32)
    else:
        result = tl.dot(left.to(tl.float16), right.to(tl.float16)).to(tl.int32) + acc
    return result


@triton.jit
def _weigh(bands, pixels_IJ, acc_XJ, LIMBS: tl.constexpr, UNIT: tl.constexpr):
    """acc + bands @ pixels, Horner's rule over the bytes of the weights."""
    if LIMBS == 0:
        acc_XJ = tl.dot(bands[0], pixels_IJ, acc_XJ, input_precision="ieee")
    else:
        high = _dot(bands[LIMBS - 1], pixels_IJ, tl.zeros_like(acc_XJ), UNIT)
        if LIMBS == 3:
            high = _dot(bands[1], pixels_IJ, high << 8, UNIT)
        acc_XJ = _dot(bands[0], pixels_IJ, (high << 8) + acc_XJ, UNIT)
    return acc_XJ


@triton.jit
def _weigh_transposed(values_XJ, bands, acc_XY, LIMBS: tl.constexpr, UNIT: tl.constexpr):
    """acc + values @ bands^T, alike."""
    if LIMBS == 0:
        acc_XY = tl.dot(values_XJ, tl.trans(bands[0]), acc_XY, input_precision="ieee")
    else:
        high = _dot(values_XJ, tl.trans(bands[LIMBS - 1]), tl.zeros_like(acc_XY), UNIT)
        if LIMBS == 3:
            high = _dot(values_XJ, tl.trans(bands[1]), high << 8, UNIT)
        acc_XY = _dot(values_XJ, tl.trans(bands[0]), (high << 8) + acc_XY, UNIT)
    return acc_XY


@triton.jit
def _within(first, size, stride, IN: tl.constexpr):
    """[IN] offsets from the first pixel on; past the edge the weights are zero, so that the last pixel will do."""
    return tl.minimum(first + tl.arange(0, IN), size - 1) * stride


@triton.jit
def _load_pixels(plane, columns_I, rows_J, LIMBS: tl.constexpr):
    """[I, J]: minus 128 as int8, or float32."""
    # The hint says more than holds: pixels of [T, H, W, 3] are 3 bytes apart. It makes threads stand side by side in x,
    # where bytes share cache lines; it cannot widen a load, since a pointer out of the header has no known alignment.
    offsets_IJ = tl.max_contiguous(columns_I[:, None] + rows_J[None, :], [2, 1])
    pixels_IJ = tl.load(plane + offsets_IJ)
    if LIMBS == 0:
        pixels_IJ = pixels_IJ.to(tl.float32)
    else:
        pixels_IJ = (pixels_IJ ^ 0x80).to(tl.int8, bitcast=True)
    return pixels_IJ


@triton.jit
def _to_byte(value, shift, LIMBS: tl.constexpr):
    """Sums to 0..255 as int32; floats round half to even (adding 1.5 * 2^23 leaves no room for a fraction)."""
    if LIMBS == 0:
        value = tl.minimum(tl.maximum(value, 0.0), 255.0)
        result = ((value + 12582912.0) - 12582912.0).to(tl.int32)
    else:
        result = tl.minimum(tl.maximum(value >> shift, 0), 255)
    return result


@triton.jit
def _between(acc_XJ, shift, LIMBS: tl.constexpr):
    """What the vertical pass takes: uint8 minus 128 as int8; under `float` the sums as they are."""
    if LIMBS == 0:
        result = acc_XJ
    else:
        result = (_to_byte(acc_XJ, shift, LIMBS) - 128).to(tl.int8)
    return result


@triton.jit
def _start(bias, OUT: tl.constexpr, LIMBS: tl.constexpr):
    """A block's bias [OUT], which its sums start from; zeros under `float`."""
    bias = tl.load(bias + tl.arange(0, OUT))
    if LIMBS == 0:
        bias = bias.to(tl.float32)
    return bias


@triton.jit
def _plane(step, source, stride_t, stride_c, first_slot, frames):
    """Where channel step % 3 of frame step // 3 begins; past the last frame, the last: odd clips show it twice."""
    return source + tl.minimum(first_slot + step // 3, frames - 1) * stride_t + step % 3 * stride_c


@triton.jit
def _target(step, patches, first_row, pair_rows, first_slot, frames):
    """Where that plane's values go, but for the place within the frame."""
    slot = tl.minimum(first_slot + step // 3, (frames + 1) // 2 * 2 - 1)
    return patches + ((first_row + slot // 2 * pair_rows) * 1176 + slot % 2 * 196 + step % 3 * 392)


@triton.jit
def _store_normalized(out, target_XY, inside_XY, norm, channel, value_XY, NORM: tl.constexpr):
    """0..255 as int32 to normalised values of one channel, into patch order."""
    if NORM == "multiply":
        result = (value_XY.to(tl.float32) - tl.load(norm + channel)) * tl.load(norm + 3 + channel)
    elif NORM == "divide":
        result = tl.div_rn(value_XY.to(tl.float32) - tl.load(norm + channel), tl.load(norm + 6 + channel))
    else:
        result = tl.load(norm + channel * 256 + value_XY)
    tl.store(out + target_XY, result.to(out.dtype.element_ty), mask=inside_XY)


@triton.jit(do_not_specialize=["clips"])
def resize_normalize_patchify_kernel(
    patches,  # [sum of rows, 1176] in the dtype of table
    norm,  # "table": [3, 256], each byte's value in the dtype of patches; else float32 [3, 3]: means, 1 / stds, stds
    header,  # int64 [clips, 24], whose fields plan.py names, then [clips] running totals of programs
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
    ends = header + clips * 24
    clip = 0
    for begin in range(0, clips, 32):
        end = tl.load(ends + begin + lane, mask=begin + lane < clips, other=1 << 40)
        clip += tl.sum((end <= pid).to(tl.int32))
    before = tl.load(ends + clip - 1, mask=clip > 0, other=0).to(tl.int32)
    meta = header + clip * 24
    source = tl.load(meta).to(tl.pointer_type(tl.uint8))
    stride_t = tl.load(meta + 1)
    stride_y = tl.load(meta + 2).to(tl.int32)
    stride_x = tl.load(meta + 3).to(tl.int32)
    stride_c = tl.load(meta + 4)
    frames = tl.load(meta + 5).to(tl.int32)
    in_height = tl.load(meta + 6).to(tl.int32)
    in_width = tl.load(meta + 7).to(tl.int32)
    height = tl.load(meta + 8).to(tl.int32)
    width = tl.load(meta + 9).to(tl.int32)
    first_row = tl.load(meta + 10)
    resized = tl.load(meta + 11).to(tl.int32)
    x_blocks = tl.load(meta + 12).to(tl.int32)
    x_block = tl.load(meta + 13).to(tl.int32)
    y_blocks = tl.load(meta + 18).to(tl.int32)
    y_block = tl.load(meta + 19).to(tl.int32)

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
    row_x = (x // 28) * 4 + x // 14 % 2
    row_y = (y // 28) * (width // 28 * 4) + y // 14 % 2 * 2
    target_x = row_x * 1176 + x % 14
    target_y = row_y * 1176 + y % 14 * 14
    # blocks and patches start and end at even columns, so two neighbours may be stored at once
    target_XY = tl.max_contiguous(tl.multiple_of(target_x[:, None] + target_y[None, :], [2, 1]), [2, 1])
    inside_XY = tl.max_constancy(inside_XY, [2, 1])
    pair_rows = height // 14 * (width // 14)

    if resized:
        x_shift = tl.load(meta + 14).to(tl.int32)
        x_chunks = tl.load(meta + 15).to(tl.int32)
        x_head = tl.load(meta + 16).to(tl.pointer_type(tl.int32))
        y_shift = tl.load(meta + 20).to(tl.int32)
        y_chunks = tl.load(meta + 21).to(tl.int32)
        y_head = tl.load(meta + 22).to(tl.pointer_type(tl.int32))
        WEIGHT: tl.constexpr = tl.float32 if LIMBS == 0 else tl.int8
        LAYERS: tl.constexpr = LIMBS if LIMBS > 0 else 1
        x_bands = tl.multiple_of(tl.load(meta + 17).to(tl.pointer_type(WEIGHT)), 16)
        y_bands = tl.multiple_of(tl.load(meta + 23).to(tl.pointer_type(WEIGHT)), 16)
        x_bands += at_x * x_chunks * (LAYERS * OUT_X * IN_X)
        y_bands += at_y * y_chunks * (LAYERS * OUT_Y * IN_Y)
        first_x = tl.load(x_head + at_x)
        first_y = tl.load(y_head + at_y)
        bias_x = _start(x_head + x_blocks + at_x * OUT_X, OUT_X, LIMBS)
        bias_y = _start(y_head + y_blocks + at_y * OUT_Y, OUT_Y, LIMBS)
        zeros_XJ = tl.zeros((OUT_X, IN_Y), bias_x.dtype)
        zeros_XY = tl.zeros((OUT_X, OUT_Y), bias_x.dtype)
        if CHUNKED:
            for step in range(3 * FRAMES):
                plane = _plane(step, source, stride_t, stride_c, first_slot, frames)
                acc_XY = zeros_XY + bias_y[None, :]
                for j in range(y_chunks):
                    rows_J = _within(first_y + j * IN_Y, in_height, stride_y, IN_Y)
                    acc_XJ = zeros_XJ + bias_x[:, None]
                    for i in range(x_chunks):
                        columns_I = _within(first_x + i * IN_X, in_width, stride_x, IN_X)
                        pixels_IJ = _load_pixels(plane, columns_I, rows_J, LIMBS)
                        acc_XJ = _weigh(_bands(x_bands, i, LIMBS, OUT_X, IN_X), pixels_IJ, acc_XJ, LIMBS, UNIT)
                    between_XJ = _between(acc_XJ, x_shift, LIMBS)
                    acc_XY = _weigh_transposed(between_XJ, _bands(y_bands, j, LIMBS, OUT_Y, IN_Y), acc_XY, LIMBS, UNIT)
                value_XY = _to_byte(acc_XY, y_shift, LIMBS)
                out = _target(step, patches, first_row, pair_rows, first_slot, frames)
                _store_normalized(out, target_XY, inside_XY, norm, step % 3, value_XY, NORM)
        else:
            columns_I = _within(first_x, in_width, stride_x, IN_X)
            rows_J = _within(first_y, in_height, stride_y, IN_Y)
            bands_x = _bands(x_bands, 0, LIMBS, OUT_X, IN_X)
            bands_y = _bands(y_bands, 0, LIMBS, OUT_Y, IN_Y)
            if PREFETCH:
                plane = _plane(0, source, stride_t, stride_c, first_slot, frames)
                next_IJ = _load_pixels(plane, columns_I, rows_J, LIMBS)
            for step in range(3 * FRAMES):
                if PREFETCH:
                    pixels_IJ = next_IJ
                    after = tl.minimum(step + 1, 3 * FRAMES - 1)
                    plane = _plane(after, source, stride_t, stride_c, first_slot, frames)
                    next_IJ = _load_pixels(plane, columns_I, rows_J, LIMBS)
                else:
                    plane = _plane(step, source, stride_t, stride_c, first_slot, frames)
                    pixels_IJ = _load_pixels(plane, columns_I, rows_J, LIMBS)
                acc_XJ = _weigh(bands_x, pixels_IJ, zeros_XJ + bias_x[:, None], LIMBS, UNIT)
                between_XJ = _between(acc_XJ, x_shift, LIMBS)
                acc_XY = _weigh_transposed(between_XJ, bands_y, zeros_XY + bias_y[None, :], LIMBS, UNIT)
                value_XY = _to_byte(acc_XY, y_shift, LIMBS)
                out = _target(step, patches, first_row, pair_rows, first_slot, frames)
                _store_normalized(out, target_XY, inside_XY, norm, step % 3, value_XY, NORM)
    else:
        source_XY = tl.max_contiguous(x[:, None] * stride_x + y[None, :] * stride_y, [2, 1])
        for step in range(3 * FRAMES):
            plane = _plane(step, source, stride_t, stride_c, first_slot, frames)
            value_XY = tl.load(plane + source_XY, mask=inside_XY, other=0).to(tl.int32)
            out = _target(step, patches, first_row, pair_rows, first_slot, frames)
            _store_normalized(out, target_XY, inside_XY, norm, step % 3, value_XY, NORM)
