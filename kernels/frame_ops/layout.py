"""Layout of Qwen2.5-VL patches: the sizes that every part of frame_ops shares."""

from __future__ import annotations

# pixels a side of a patch
PATCH = 14
# patches a side of the square that the vision tower merges into one token
MERGE = 2
# frames of one temporal patch
TEMPORAL_PATCH = 2
CHANNELS = 3
# sides of resized frames are multiples of this, so that patches merge two by two
FACTOR = PATCH * MERGE
# values in a row of patches: channels x temporal patch x patch x patch
ROW = CHANNELS * TEMPORAL_PATCH * PATCH * PATCH
