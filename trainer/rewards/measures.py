"""Measurements of a clip beside its reward: what a policy changes when it learns to please the reward model only.

Suffixes: T frames, H and W pixels, C the three colours. Frames are uint8 RGB, results are in [0, 1] unless said.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
# clips are compared at this size in pixels of their longer side: noise of sampling and compression averages out
SIDE_PX = 64
# frames of a clip, at equal intervals, that suffice for what does not compare a frame with the next
NUM_FRAMES = 8
# sizes at which a reference is searched in a frame, as shares of the largest that fits
SIZES = (1.0, 0.75, 0.5)


def motion(frames_THWC: UInt8) -> float:
    """Mean absolute change of grey levels from frame to frame; NaN for a single frame. A frozen clip has about 0."""
    if len(frames_THWC) < 2:
        return float("nan")
    grey_THW = np.stack([_small_grey(frame) for frame in frames_THWC])
    return float(np.abs(np.diff(grey_THW, axis=0)).mean() / 255)


def saturation(frames_THWC: UInt8) -> float:
    """Mean saturation, (maximum - minimum) / maximum of the three colours. Black pixels count as 0."""
    frames_THWC = _some(frames_THWC)
    high = frames_THWC.max(-1).astype(np.float32)
    spread = high - frames_THWC.min(-1)
    return float((spread / np.maximum(high, 1)).mean())


def clipped_pixels(frames_THWC: UInt8) -> float:
    """Share of values that are 0 or 255: lost in shadows or in lights."""
    frames_THWC = _some(frames_THWC)
    return float(((frames_THWC == 0) | (frames_THWC == 255)).mean())


def reference_similarity(frames_THWC: UInt8, references_HWC: Sequence[UInt8]) -> float:
    """How much frames repeat a reference image in their pixels: mean over frames of the best match, in [-1, 1].

    A match is the normalised correlation of a reference's grey levels with the part of the frame that it lies on, over
    places and `SIZES`; 1 is a copy. 0 for images without any contrast.
    """
    templates = [template for reference in references_HWC for template in _templates(reference, frames_THWC.shape[1:3])]
    return float(np.mean([_best_match(_small_grey(frame), templates) for frame in _some(frames_THWC)]))


def _some(frames_THWC: UInt8) -> UInt8:
    indices = np.linspace(0, len(frames_THWC) - 1, min(NUM_FRAMES, len(frames_THWC))).round().astype(int)
    return frames_THWC[indices]


def _templates(reference_HWC: UInt8, frame_size: tuple[int, int]) -> list[NDArray[np.float32]]:
    """The grey reference at each of `SIZES`, in a frame that was reduced to SIDE_PX."""
    height, width = _small_size(*frame_size)
    fit = min(height / reference_HWC.shape[0], width / reference_HWC.shape[1])
    grey = cv2.cvtColor(reference_HWC, cv2.COLOR_RGB2GRAY)
    sizes = [[max(round(side * fit * size), 2) for side in grey.shape] for size in SIZES]
    return [
        cv2.resize(grey, (min(w, width), min(h, height)), interpolation=cv2.INTER_AREA).astype(np.float32)
        for h, w in sizes
    ]


def _best_match(frame_HW: NDArray[np.float32], templates: Sequence[NDArray[np.float32]]) -> float:
    # the result is not finite where frame or template have no contrast
    matches = [np.nan_to_num(cv2.matchTemplate(frame_HW, t, cv2.TM_CCOEFF_NORMED), nan=0, posinf=0, neginf=0).max()
               for t in templates if t.std() > 0]  # fmt: skip
    return float(min(max(matches, default=0.0), 1.0))


def _small_grey(frame_HWC: UInt8) -> NDArray[np.float32]:
    height, width = _small_size(*frame_HWC.shape[:2])
    grey = cv2.cvtColor(np.ascontiguousarray(frame_HWC), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


def _small_size(height: int, width: int) -> tuple[int, int]:
    scale = min(SIDE_PX / max(height, width), 1.0)
    return max(round(height * scale), 2), max(round(width * scale), 2)
