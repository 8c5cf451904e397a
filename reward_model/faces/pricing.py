"""Price of a sample for scorers that look at pixels and have no tokens."""

from __future__ import annotations

from collections.abc import Sequence

from frame_ops.layout import FACTOR

from ..types import Price, Size

# counted for a file whose size is not known yet
_TYPICAL_PIXELS = 832 * 480


def pixel_price(references: Sequence[Size], num_frames: int, size: Size) -> Price:
    """One token for every 28x28 pixels of every reference image and frame, at least one for each."""

    def tokens(image: Size) -> int:
        pixels = _TYPICAL_PIXELS if image is None else image[0] * image[1]
        return max(pixels // FACTOR**2, 1)

    return Price(sum(map(tokens, references)), num_frames * tokens(size))
