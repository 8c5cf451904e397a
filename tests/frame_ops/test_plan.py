"""Weights, tables and headers that a launch is worked out from."""

import math
from time import process_time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frame_ops.axis_plan import axis_plan, limbs_needed
from frame_ops.header import NUM_FIELDS
from frame_ops.plan import DevicePlans, Shape, Tile, plan_batch
from frame_ops.taps import axis_taps


def plain_u8_taps(size_in, size_out):
    """torch's compute_index_ranges_int16_weights, one output after another."""
    scale = size_in / size_out
    stretch = max(scale, 1.0)
    support, rows = 2 * stretch, []
    for i in range(size_out):
        center = scale * (i + 0.5)
        start = max(int(center - support + 0.5), 0)
        end = min(int(center + support + 0.5), size_in)
        weights = [cubic((j + start - center + 0.5) * (1 / stretch)) for j in range(end - start)]
        total = 0.0
        for weight in weights:
            total += weight
        rows.append((start, [weight / total for weight in weights]))
    largest, bits = max(max(weights) for _, weights in rows), 0
    while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    fixed = [[int(w * (1 << bits) + (0.5 if w >= 0 else -0.5)) for w in weights] for _, weights in rows]
    return [start for start, _ in rows], fixed, bits


def cubic(x, a=-0.5):
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 900), st.integers(1, 30))
def test_vectorised_taps_are_the_plain_ones(size_in, blocks):
    size_out = 28 * blocks
    if size_in == size_out:
        return
    starts, fixed, bits = plain_u8_taps(size_in, size_out)
    taps = axis_taps(size_in, size_out, "u8")
    assert taps.shift == bits
    assert taps.starts.tolist() == starts
    for ours, theirs in zip(taps.weights.tolist(), fixed, strict=True):
        assert ours[: len(theirs)] == theirs
        assert not any(ours[len(theirs) :])


@settings(deadline=None, max_examples=80)
@given(
    st.integers(1, 3000), st.integers(1, 40), st.sampled_from(["u8", "pillow", "float"]),
    st.sampled_from([(32, 32), (64, 64), (32, 64), (256, 256)]),
)  # fmt: skip
def test_bands_hold_every_weight_once_and_where_it_belongs(size_in, blocks, semantics, tile):
    size_out, (tile_size, span) = 28 * blocks, tile
    limbs = limbs_needed(size_in, size_out, semantics)
    plan = axis_plan(size_in, size_out, semantics, tile_size, span, limbs)
    taps = axis_taps(size_in, size_out, semantics)
    assert plan.per_block % 2 == 0 or plan.blocks == 1
    dense = np.zeros((size_out, size_in + plan.chunks * span + taps.weights.shape[1]))
    for i, (start, weights) in enumerate(zip(taps.starts, taps.weights, strict=True)):
        dense[i, start : start + len(weights)] = weights
    bands = plan.bands.astype(np.float64)
    bands = bands[:, :, 0] if not limbs else sum(bands[:, :, n] * 256**n for n in range(limbs))
    for block, start in enumerate(plan.starts):
        outputs = range(block * plan.per_block, min((block + 1) * plan.per_block, size_out))
        rows = bands[block].transpose(1, 0, 2).reshape(tile_size, -1)
        for lane, output in enumerate(outputs):
            inside = dense[output, start : start + plan.chunks * span]
            assert np.array_equal(rows[lane], inside)
            assert inside.sum() == pytest.approx(dense[output].sum(), abs=1e-6)
            if limbs:
                assert plan.bias[block, lane] == 128 * inside.sum() + (1 << plan.shift >> 1)


def test_packed_tables_read_back():
    plan = axis_plan(416, 420, "u8", 64, 64, 2)
    packed, offset = plan.pack()
    assert offset % 16 == 0
    assert np.array_equal(packed[: 4 * plan.blocks].view(np.int32), plan.starts)
    assert np.array_equal(packed[offset:].view(np.int8), plan.bands.ravel())


def test_programs_cover_every_pair_of_frames():
    shapes = (Shape(33, 240, 416, 252, 420), Shape(1, 300, 300, 140, 140), Shape(3, 252, 420, 252, 420))
    plan = plan_batch(shapes, "u8", Tile(64, 64, 32, 32))
    ends = [0, *plan.ends.tolist()]
    for i, shape in enumerate(shapes):
        assert (ends[i + 1] - ends[i]) % (2 * shape.grid[0]) == 0
    assert plan.grid_thw.tolist() == [[17, 18, 30], [1, 10, 10], [2, 18, 30]]
    assert plan.rows == sum(math.prod(grid) for grid in plan.grid_thw.tolist())
    assert [pair is None for pair in plan.axes] == [False, False, True]


def test_one_launch_has_its_limit():
    with pytest.raises(ValueError, match="more than one launch takes; split it"):
        plan_batch((Shape(1 << 30, 28, 2800, 28, 2800),), "u8", Tile())


def test_a_header_holds_pointers_strides_and_tables():
    frames = torch.zeros(4, 3, 240, 416, dtype=torch.uint8).permute(0, 2, 3, 1)
    plan = plan_batch((Shape(4, 240, 416, 252, 420),), "u8", Tile())
    plans = DevicePlans(torch.device("cpu"))
    words = plans.header(plan, [frames])
    assert words[:5].tolist() == [frames.data_ptr(), *frames.stride()]
    assert words[NUM_FIELDS:].tolist() == plan.ends.tolist()
    assert words[17] > words[16] > 0
    # the weights are sent once
    assert words[16:18].tolist() == plans.header(plan, [frames.clone()])[16:18].tolist()


def test_the_least_recently_used_tables_go_first():
    plans = DevicePlans(torch.device("cpu"), capacity=4)
    for width in range(100, 120):
        plan = plan_batch((Shape(1, 60, width, 56, 112),), "u8", Tile())
        plans.header(plan, [torch.zeros(1, 60, width, 3, dtype=torch.uint8)])
        # those of a header that is kept are alive with it
        assert len(plans._tables) <= 4
        assert len(plans._headers) <= 4


def test_a_hit_takes_under_100_microseconds_for_16_clips():
    clips = [torch.zeros(2, 24, 40, 3, dtype=torch.uint8) for _ in range(16)]
    shapes = tuple(Shape(2, 24, 40, 28, 56) for _ in clips)
    plans = DevicePlans(torch.device("cpu"))
    best = math.inf
    for _ in range(30):
        begin = process_time()
        for _ in range(20):
            plans.header(plan_batch(shapes, "u8", Tile()), clips)
        best = min(best, (process_time() - begin) / 20)
    assert best < 100e-6, f"{best * 1e6:.0f} us"
