"""One detected and embedded face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Face:
    """Coordinates are pixels of the image in which the face was detected."""

    box_xywh: tuple[float, float, float, float]
    # the detector's confidence, 0..1
    score: float
    # [5, 2] float32: the eyes, the tip of the nose, the corners of the mouth
    landmarks_52: np.ndarray
    # float32, length 1
    embedding_D: np.ndarray

    @property
    def area_px(self) -> float:
        return self.box_xywh[2] * self.box_xywh[3]
