"""The size to which Qwen2.5-VL resizes an image. Pure arithmetic, as in transformers' Qwen2-VL image processor."""

from __future__ import annotations

from math import ceil, floor, sqrt

from ..layout import FACTOR, PATCH, TEMPORAL_PATCH

# longest side over shortest
MAX_ASPECT = 200


def smart_resize(
    height: int, width: int, min_pixels: int, max_pixels: int, clamp_thin: bool = False
) -> tuple[int, int]:
    """(height, width) in pixels: multiples of 28 near the given sides, with an area of `min_pixels` to `max_pixels`.

    Sides are rounded half to even. A side under 14 pixels rounds to 0, so that the image counts as too small and grows;
    with `clamp_thin` it becomes 28, as in qwen-vl-utils. ValueError for an image thinner than 1:200.
    """
    if height < 1 or width < 1:
        raise ValueError(f"an image has at least one pixel a side, got {height}x{width}")
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise ValueError(f"the sides' ratio must be at most {MAX_ASPECT}, got {height}x{width}")
    least = FACTOR if clamp_thin else 0
    new_height = max(round(height / FACTOR) * FACTOR, least)
    new_width = max(round(width / FACTOR) * FACTOR, least)
    if new_height * new_width > max_pixels:
        shrink = sqrt(height * width / max_pixels)
        new_height = max(FACTOR, floor(height / shrink / FACTOR) * FACTOR)
        new_width = max(FACTOR, floor(width / shrink / FACTOR) * FACTOR)
    elif new_height * new_width < min_pixels:
        grow = sqrt(min_pixels / (height * width))
        new_height = ceil(height * grow / FACTOR) * FACTOR
        new_width = ceil(width * grow / FACTOR) * FACTOR
    return new_height, new_width


def grid_thw(num_frames: int, height: int, width: int) -> tuple[int, int, int]:
    """(time, height, width) in patches, of frames already resized; an odd last frame is paired with itself."""
    return -(-num_frames // TEMPORAL_PATCH), height // PATCH, width // PATCH
