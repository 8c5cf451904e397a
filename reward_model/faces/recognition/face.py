"""One face in one picture, and the reading of all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .alignment import TEMPLATE_52, align
from .detection import Detection, FaceDetector
from .embedding import FaceEmbedder


@dataclass(frozen=True, eq=False)
class Face:
    """A detected face and what an embedder sees in it. Coordinates are pixels of the picture it was found in."""

    box_xywh: tuple[float, float, float, float]
    score: float  # the detector's confidence, 0 to 1
    landmarks_52: np.ndarray  # [5, 2] float32: the eyes, the tip of the nose, the corners of the mouth
    embedding_D: np.ndarray  # float32, length 1

    @property
    def area_px(self) -> float:
        return self.box_xywh[2] * self.box_xywh[3]


@dataclass(frozen=True)
class FaceReader:
    """Detector and embedder together. Safe to call from several threads at once."""

    detector: FaceDetector
    embedder: FaceEmbedder
    # most faces of one picture that are embedded, largest first: a crowd must not cost minutes
    max_faces: int = 16

    def read(self, image_HWC: np.ndarray) -> tuple[Face, ...]:
        """The faces of a uint8 RGB picture, largest first."""
        return tuple(self._embed(image_HWC, found) for found in self.detector.detect(image_HWC)[: self.max_faces])

    def read_largest(self, image_HWC: np.ndarray) -> tuple[Face | None, int]:
        """The largest face (None where there is none) and how many faces the detector found."""
        found = self.detector.detect(image_HWC)
        return (self._embed(image_HWC, found[0]) if found else None), len(found)

    def made_up(self) -> tuple[np.ndarray, tuple[Face, ...], Face]:
        """For warming up, both networks run once: a grey picture, its faces (none), and one said to be in it."""
        grey_HWC = np.full((480, 832, 3), 128, np.uint8)
        size_px = self.embedder.size_px
        faces = self.read(grey_HWC)
        embedding_D = self.embedder.embed(grey_HWC[:size_px, :size_px])
        box = (0.0, 0.0, float(size_px), float(size_px))
        return grey_HWC, faces, Face(box, 0.0, TEMPLATE_52.astype(np.float32), embedding_D)

    def _embed(self, image_HWC: np.ndarray, found: Detection) -> Face:
        crop_HWC = align(image_HWC, found.landmarks_52, self.embedder.size_px)
        return Face(found.box_xywh, found.score, found.landmarks_52, self.embedder.embed(crop_HWC))
