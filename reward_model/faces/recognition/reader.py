"""Detection and embedding of all faces of an image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

import numpy as np

from .alignment import TEMPLATE_52, align
from .detection import Detection, FaceDetector
from .embedding import FaceEmbedder
from .face import Face
from .sessions import face_device

Result = TypeVar("Result")
# threads that read images, of all samples together; images of one sample are too few for more
_MAX_THREADS = 16


def _pool() -> ThreadPoolExecutor:
    """One thread for each core of this process; they start when they are needed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(min(cores, _MAX_THREADS), thread_name_prefix="faces")


@dataclass(frozen=True)
class FaceReader:
    """Detector and embedder together. Safe to call from several threads at once."""

    detector: FaceDetector
    embedder: FaceEmbedder
    # most faces of one image that are embedded, largest first: bounds the time that a crowd takes
    max_faces: int = 16
    _threads: ThreadPoolExecutor = field(default_factory=_pool, repr=False, compare=False)

    def begin(self, work: Callable[[np.ndarray], Result], images: Iterable[np.ndarray]) -> list[Future[Result]]:
        """Starts `work` on each image; each runs in one of the reader's threads, of which there is one for each core.

        `work` must not wait for other work of these threads.
        """
        return [self._threads.submit(work, image_HWC) for image_HWC in images]

    def read(self, image_HWC: np.ndarray) -> tuple[Face, ...]:
        """The faces of a uint8 RGB image, largest first."""
        detections = self.detector.detect(image_HWC)[: self.max_faces]
        return tuple(self.embed(image_HWC, detection) for detection in detections)

    def read_faint(self, image_HWC: np.ndarray, min_score: float) -> tuple[tuple[Face, ...], list[Detection]]:
        """The faces as `read`, and less confident boxes of at least `min_score`, as many as leave max_faces."""
        detections, faint = self.detector.detect_faint(image_HWC, min_score)
        faces = tuple(self.embed(image_HWC, detection) for detection in detections[: self.max_faces])
        return faces, faint[: self.max_faces - len(faces)]

    def read_largest(self, image_HWC: np.ndarray) -> tuple[Face | None, int]:
        """The largest face (None where there is none) and the number of detected faces."""
        detections = self.detector.detect(image_HWC)
        return (self.embed(image_HWC, detections[0]) if detections else None), len(detections)

    def read_blank(self) -> tuple[np.ndarray, tuple[Face, ...], Face]:
        """For warming up, runs both networks once: a grey image, its faces (none), and a made-up face in it."""
        grey_HWC = np.full((480, 832, 3), 128, np.uint8)
        size_px = self.embedder.size_px
        faces = self.read(grey_HWC)
        embedding_D = self.embedder.embed(grey_HWC[:size_px, :size_px])
        box = (0.0, 0.0, float(size_px), float(size_px))
        return grey_HWC, faces, Face(box, 0.0, TEMPLATE_52.astype(np.float32), embedding_D)

    def embed(self, image_HWC: np.ndarray, detection: Detection) -> Face:
        """A detected face of this image with its embedding."""
        crop_HWC = align(image_HWC, detection.landmarks_52, self.embedder.size_px)
        return Face(detection.box_xywh, detection.score, detection.landmarks_52, self.embedder.embed(crop_HWC))


def bundled_reader(device: str = "cpu") -> FaceReader:
    """YuNet and SFace, shared by all scorers of a process and device. ModelFileError if a file is missing or damaged.

    On the CPU where onnxruntime does not support the device; that is logged.
    """
    return _bundled_reader(face_device(device))


@cache
def _bundled_reader(device: str) -> FaceReader:
    return FaceReader(FaceDetector(device=device), FaceEmbedder.bundled(device))
