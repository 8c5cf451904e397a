import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frame_ops.axis_plan import axis_plan, limbs_needed
from frame_ops.taps import axis_taps


@settings(deadline=None, max_examples=80)
@given(
    st.integers(1, 3000), st.integers(1, 40), st.sampled_from(["u8", "pillow", "float"]),
    st.sampled_from([(32, 32), (64, 64), (32, 64), (256, 256)]),
)  # fmt: skip
def test_bands_hold_every_weight_once_at_its_place(size_in, blocks, semantics, tile):
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


def test_packed_table_holds_starts_and_bands():
    plan = axis_plan(416, 420, "u8", 64, 64, 2)
    packed, offset = plan.pack()
    assert offset % 16 == 0
    assert np.array_equal(packed[: 4 * plan.blocks].view(np.int32), plan.starts)
    assert np.array_equal(packed[offset:].view(np.int8), plan.bands.ravel())
