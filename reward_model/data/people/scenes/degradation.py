"""Degradations of rendered frames: blurred or warped faces, lost resolution. Pixels are uint8 RGB."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from .renderer import Box

DamageKind = Literal["blur", "warp"]


def damage_face(image_HWC: np.ndarray, box: Box, kind: DamageKind, strength: float) -> np.ndarray:
    """The image [H, W, 3] with the face in `box` blurred or warped, fading out around it; `strength` in 0..1."""
    height, width = image_HWC.shape[:2]
    x0, y0, x1, y1 = box
    size = max(x1 - x0, y1 - y0)
    if kind == "blur":
        damaged = cv2.GaussianBlur(image_HWC, (0, 0), size * (0.02 + 0.06 * strength))
    else:
        y, x = np.mgrid[:height, :width].astype(np.float32)
        amplitude, wave_number = size * (0.04 + 0.07 * strength), 2 * np.pi / (size * 0.55)
        dx = amplitude * np.sin(wave_number * (y - y0))
        dy = amplitude * np.sin(wave_number * (x - x0) * 1.3 + 1)
        damaged = cv2.remap(
            image_HWC, (x + dx).astype(np.float32), (y + dy).astype(np.float32), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
    mask = np.zeros((height, width), np.float32)
    middle, axes = ((x0 + x1) / 2, (y0 + y1) / 2), ((x1 - x0) * 0.62, (y1 - y0) * 0.58)
    cv2.ellipse(mask, (middle, (axes[0] * 2, axes[1] * 2), 0.0), 1.0, -1)
    share = cv2.GaussianBlur(mask, (0, 0), size * 0.05)[..., None]
    return np.rint(image_HWC * (1 - share) + damaged * share).astype(np.uint8)


def lower_resolution(image_HWC: np.ndarray, share: float) -> np.ndarray:
    """The image [H, W, 3] scaled down to `share` of each side and up again; unchanged for 1."""
    if share >= 1:
        return image_HWC
    height, width = image_HWC.shape[:2]
    small = (max(round(width * share), 1), max(round(height * share), 1))
    small_HWC = cv2.resize(image_HWC, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(small_HWC, (width, height), interpolation=cv2.INTER_CUBIC)
