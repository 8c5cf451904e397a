"""Display geometry of a video: how stored frames are mirrored, turned and stretched to be shown.

Two properties of a file change how a player shows the stored pixels: the pixel aspect ratio (anamorphic video) and the
display matrix (turned phones, mirrored front cameras). Both decoders apply them with this code.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from math import atan2, degrees

import numpy as np
from PIL import Image

from identity_reward_client.errors import InvalidMedia

# Pixels up to 3 % off a square are shown as squares: encoders state 404:405 and the like after a resize that rounds.
_SQUARE_TOLERANCE = 0.03
# the largest ratio that is scaled; no camera or disc format exceeds 2
_MAX_PIXEL_ASPECT = 4


@dataclass(frozen=True)
class Orientation:
    """A symmetry of the square: stored frames are mirrored left to right where `mirrored`, then turned."""

    # degrees counter-clockwise: 0, 90, 180 or 270
    rotation: int = 0
    mirrored: bool = False

    @classmethod
    def from_matrix(cls, matrix: bytes | None) -> Orientation:
        """Of a display matrix: nine int32 in native byte order, rows (a, b, u), (c, d, v), (x, y, w).

        A stored pixel (p, q) is shown at (a p + c q + x, b p + d q + y), with q and the result's second axis pointing
        down (ISO/IEC 14496-12, 6.2.2). Angles are rounded to quarter turns.
        """
        if matrix is None:
            return cls()
        a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        return cls(round(degrees(atan2(-b, a)) / 90) * 90 % 360, mirrored)

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height change places."""
        return self.rotation % 180 == 90

    def apply(self, frame_HWC: np.ndarray) -> np.ndarray:
        """A view of the frame as it is shown."""
        if self.mirrored:
            frame_HWC = frame_HWC[:, ::-1]
        return np.rot90(frame_HWC, self.rotation // 90) if self.rotation else frame_HWC


def display_size(width: int, height: int, pixel_aspect: Fraction | None) -> tuple[int, int]:
    """(width, height) in square pixels, before the orientation; the longer side of a pixel is what grows.

    `pixel_aspect` is the width of a stored pixel over its height; None and 0 mean unknown, which counts as square.
    InvalidMedia for a ratio beyond 4:1.
    """
    if not pixel_aspect or abs(float(pixel_aspect) - 1) <= _SQUARE_TOLERANCE:
        return width, height
    if not 1 / _MAX_PIXEL_ASPECT <= pixel_aspect <= _MAX_PIXEL_ASPECT:
        raise InvalidMedia(
            f"the video states a pixel aspect of {pixel_aspect.numerator}:{pixel_aspect.denominator}, over "
            f"{_MAX_PIXEL_ASPECT}:1; write it with square pixels"
        )
    if pixel_aspect > 1:
        return round(width * pixel_aspect), height
    return width, round(height / pixel_aspect)


def to_square_pixels(frame_HWC: np.ndarray, pixel_aspect: Fraction | None) -> np.ndarray:
    """uint8 [H', W', 3]: the stored frame stretched to its display size by bicubic interpolation."""
    height, width, _ = frame_HWC.shape
    size = display_size(width, height, pixel_aspect)
    if size == (width, height):
        return frame_HWC
    return np.asarray(Image.fromarray(frame_HWC).resize(size, Image.Resampling.BICUBIC))
