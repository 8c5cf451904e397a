"""Detection and embedding of all faces of an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .alignment import TEMPLATE_52, align
from .detection import Detection, FaceDetector
from .embedding import FaceEmbedder
from .face import Face


@dataclass(frozen=True)
class FaceReader:
    """Detector and embedder together. Safe to call from several threads at once."""

    detector: FaceDetector
    embedder: FaceEmbedder
    # most faces of one image that are embedded, largest first: bounds the time that a crowd takes
    max_faces: int = 16

    def read(self, image_HWC: np.ndarray) -> tuple[Face, ...]:
        """The faces of a uint8 RGB image, largest first."""
        detections = self.detector.detect(image_HWC)[: self.max_faces]
        return tuple(self._embed(image_HWC, detection) for detection in detections)

    def read_largest(self, image_HWC: np.ndarray) -> tuple[Face | None, int]:
        """The largest face (None where there is none) and the number of detected faces."""
        detections = self.detector.detect(image_HWC)
        return (self._embed(image_HWC, detections[0]) if detections else None), len(detections)

    def read_blank(self) -> tuple[np.ndarray, tuple[Face, ...], Face]:
        """For warming up, runs both networks once: a grey image, its faces (none), and a made-up face in it."""
        grey_HWC = np.full((480, 832, 3), 128, np.uint8)
        size_px = self.embedder.size_px
        faces = self.read(grey_HWC)
        embedding_D = self.embedder.embed(grey_HWC[:size_px, :size_px])
        box = (0.0, 0.0, float(size_px), float(size_px))
        return grey_HWC, faces, Face(box, 0.0, TEMPLATE_52.astype(np.float32), embedding_D)

    def _embed(self, image_HWC: np.ndarray, detection: Detection) -> Face:
        crop_HWC = align(image_HWC, detection.landmarks_52, self.embedder.size_px)
        return Face(detection.box_xywh, detection.score, detection.landmarks_52, self.embedder.embed(crop_HWC))


@cache
def bundled_reader() -> FaceReader:
    """YuNet and SFace, shared by all scorers of a process. ModelFileError if a file is missing or damaged."""
    return FaceReader(FaceDetector(), FaceEmbedder.bundled())
