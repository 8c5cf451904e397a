"""Plans and headers of a launch."""

import math
from time import process_time

import pytest
import torch

from frame_ops.header import NUM_FIELDS
from frame_ops.plan import DevicePlans, Shape, Tile, plan_batch


def test_programs_cover_every_pair_of_frames():
    shapes = (Shape(33, 240, 416, 252, 420), Shape(1, 300, 300, 140, 140), Shape(3, 252, 420, 252, 420))
    plan = plan_batch(shapes, "u8", Tile(64, 64, 32, 32))
    ends = [0, *plan.ends.tolist()]
    for i, shape in enumerate(shapes):
        assert (ends[i + 1] - ends[i]) % (2 * shape.grid[0]) == 0
    assert plan.grid_thw.tolist() == [[17, 18, 30], [1, 10, 10], [2, 18, 30]]
    assert plan.rows == sum(math.prod(grid) for grid in plan.grid_thw.tolist())
    assert [pair is None for pair in plan.axes] == [False, False, True]


def test_batch_of_too_many_programs_is_refused():
    with pytest.raises(ValueError, match="more than one launch takes; split it"):
        plan_batch((Shape(1 << 30, 28, 2800, 28, 2800),), "u8", Tile())


def test_header_holds_pointers_strides_and_tables():
    frames = torch.zeros(4, 3, 240, 416, dtype=torch.uint8).permute(0, 2, 3, 1)
    plan = plan_batch((Shape(4, 240, 416, 252, 420),), "u8", Tile())
    plans = DevicePlans(torch.device("cpu"))
    words = plans.header(plan, [frames])
    assert words[:5].tolist() == [frames.data_ptr(), *frames.stride()]
    assert words[NUM_FIELDS:].tolist() == plan.ends.tolist()
    assert words[17] > words[16] > 0
    # the weights are sent once
    assert words[16:18].tolist() == plans.header(plan, [frames.clone()])[16:18].tolist()


def test_least_recently_used_tables_are_evicted():
    plans = DevicePlans(torch.device("cpu"), capacity=4)
    for width in range(100, 120):
        plan = plan_batch((Shape(1, 60, width, 56, 112),), "u8", Tile())
        plans.header(plan, [torch.zeros(1, 60, width, 3, dtype=torch.uint8)])
        # tables of a cached header stay alive with it
        assert len(plans._tables) <= 4
        assert len(plans._headers) <= 4


def test_cached_header_of_16_clips_takes_under_100_microseconds():
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
