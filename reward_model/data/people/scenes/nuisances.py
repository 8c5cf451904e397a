"""Nuisances of filming: changes of a whole clip that leave its people right. Pixels are uint8 RGB.

Each kind has a strength in 0..1, from none to the strongest that data sets use; the corruptions `resolution` and
`face-damage` begin beyond those.

kind          strength 1
exposure      half of the light
tint          red and blue scaled by 1.2 and 0.8, or the other way round
focus         Gaussian blur of 0.5 % of the frame's height
noise         normal noise with a standard deviation of 12 grey levels
resolution    0.4 of the pixels of each side
compression   x264's constant rate factor 38
grey          no colour; it has no weaker form than this
motion        motion blur over 1.5 % of the frame's height
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from reward_model.data.seeding import generator

from .degradation import lower_resolution

KINDS = ("exposure", "tint", "focus", "noise", "resolution", "compression", "grey", "motion")
# of clips with 0, 1, 2 and 3 nuisances
COUNT_SHARES = (0.4, 0.3, 0.2, 0.1)
LEAST_EXPOSURE, LEAST_RESOLUTION = 0.5, 0.4
MOST_TINT, MOST_NOISE_LEVELS, MOST_CRF = 0.2, 12.0, 38
MOST_FOCUS_BLUR, MOST_MOTION_BLUR = 0.005, 0.015


@dataclass(frozen=True)
class Nuisances:
    """strengths: {kind: strength in 0..1}. name: of the clip; noise, the tint's side and the angle depend on it."""

    name: str
    strengths: dict[str, float]

    def crf(self, crf: int) -> int:
        """The constant rate factor of a clip that would have `crf` without nuisances."""
        return max(crf, round(crf + self._strength("compression") * (MOST_CRF - crf)))

    def apply(self, frames_THWC: np.ndarray, frame_indices: Sequence[int]) -> np.ndarray:
        """Filmed copies of the frames [T, H, W, 3], in the order of a camera: lens, light, sensor, scaling."""
        if not self.strengths:
            return frames_THWC
        return np.stack([self._apply(frame, index) for frame, index in zip(frames_THWC, frame_indices, strict=True)])

    def _apply(self, frame_HWC: np.ndarray, frame_index: int) -> np.ndarray:
        height = frame_HWC.shape[0]
        rng = generator("nuisances", self.name)
        warm, angle = float(rng.choice((-1.0, 1.0))), float(rng.uniform(0, np.pi))
        image = frame_HWC
        if focus := self._strength("focus"):
            image = cv2.GaussianBlur(image, (0, 0), focus * MOST_FOCUS_BLUR * height)
        if motion := self._strength("motion"):
            image = cv2.filter2D(image, -1, _line_kernel(motion * MOST_MOTION_BLUR * height, angle))
        levels = image.astype(np.float32)
        tint = warm * self._strength("tint") * MOST_TINT
        levels *= np.array([1 + tint, 1, 1 - tint], np.float32) * (
            1 - self._strength("exposure") * (1 - LEAST_EXPOSURE)
        )
        if self._strength("grey"):
            levels = np.repeat(cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        if noise := self._strength("noise"):
            sensor = generator("nuisances", self.name, frame_index)
            levels += (noise * MOST_NOISE_LEVELS) * sensor.standard_normal(levels.shape, np.float32)
        image = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        return lower_resolution(image, 1 - self._strength("resolution") * (1 - LEAST_RESOLUTION))

    def _strength(self, kind: str) -> float:
        return self.strengths.get(kind, 0.0)


def _line_kernel(length_px: float, angle: float) -> np.ndarray:
    """float32 kernel of odd side that averages along a line of `length_px` at `angle` (radians)."""
    half = max(int(np.ceil(length_px / 2)), 1)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    along, across = x * np.cos(angle) + y * np.sin(angle), x * np.sin(angle) - y * np.cos(angle)
    weights = np.clip(1 - np.abs(across), 0, 1) * np.clip(length_px / 2 + 0.5 - np.abs(along), 0, 1)
    return (weights / weights.sum()).astype(np.float32)


def sample_nuisances(rng: np.random.Generator, name: str) -> Nuisances:
    """Some kinds at random strengths; several are each weaker, so that faces stay recognizable."""
    count = int(rng.choice(len(COUNT_SHARES), p=COUNT_SHARES))
    kinds = rng.choice(KINDS, count, replace=False).tolist()
    sampled = rng.uniform(0.3, 1.0, count) / max(count, 1) ** 0.5
    strengths = {kind: round(float(s), 3) for kind, s in zip(kinds, sampled, strict=True)}
    return Nuisances(name, {kind: 1.0 if kind == "grey" else strength for kind, strength in strengths.items()})
