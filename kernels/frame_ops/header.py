"""The header of a launch: int64 words that describe every clip, written by `plan.py` and read by the kernel.

It holds NUM_FIELDS words per clip, then for each clip the running total of programs up to its end.
"""

from __future__ import annotations

from enum import IntEnum

NUM_FIELDS = 24


class ClipField(IntEnum):
    """Word offsets within a clip's fields. The first five belong to a call, the others to the sizes alone."""

    # pointer to frame 0
    SOURCE = 0
    # strides in bytes of [T, H, W, C]
    STRIDE_T = 1
    STRIDE_Y = 2
    STRIDE_X = 3
    STRIDE_C = 4
    FRAMES = 5
    IN_HEIGHT = 6
    IN_WIDTH = 7
    HEIGHT = 8
    WIDTH = 9
    # the clip's first row of patches
    FIRST_ROW = 10
    # 1 where the clip is resized, else 0
    RESIZED = 11
    # where the fields of the horizontal and of the vertical axis begin
    X_AXIS = 12
    Y_AXIS = 18


class AxisField(IntEnum):
    """Word offsets within an axis' fields; all but the first two are used only where the clip is resized."""

    BLOCKS = 0
    # outputs of one block
    PER_BLOCK = 1
    # fractional bits of the weights
    SHIFT = 2
    CHUNKS = 3
    # pointers into the axis' packed table: to its starts and biases, and to its bands of weights
    HEAD = 4
    BANDS = 5
