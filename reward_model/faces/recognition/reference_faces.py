"""Cache of the faces of reference images."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache

from identity_reward_client.errors import ReferenceWithoutFace
from reward_model.types import CacheCount, ReferenceSet

from .face import Face
from .orientation import suspected_rotation
from .reader import FaceReader

# about the memory of a cached face: its embedding, box, landmarks, and the objects that hold them
FACE_BYTES = 2048


@dataclass(frozen=True, eq=False)
class ReferenceFace:
    """The largest face of a reference image.

    num_faces: detected in the image; above 1 the sender may want to check which one is meant.
    rotation_degrees: 0, or 90, 180, 270 if the image, rotated clockwise by that, shows a face more clearly: it is
    probably not upright.
    """

    face: Face
    num_faces: int
    rotation_degrees: int = 0

    @property
    def details(self) -> dict[str, float | int]:
        """The fields of a score's `details` that describe a reference, the same for every scorer."""
        return {
            "num_reference_faces": self.num_faces,
            "reference_face_score": self.face.score,
            "reference_rotation_degrees": self.rotation_degrees,
        }


@dataclass(frozen=True)
class NoReferenceFace:
    """A reference image without a face.

    rotation_degrees: 90, 180, 270 if the image shows a face when it is rotated clockwise by that, else 0.
    """

    rotation_degrees: int

    def error(self, index: int, width: int, height: int) -> ReferenceWithoutFace:
        """The error for the reference with this index and size in pixels."""
        details = {"reference_index": index, "width": width, "height": height}
        advice = "send one that shows the person's face from the front or half side, at least 20 pixels wide"
        if self.rotation_degrees:
            details["reference_rotation_degrees"] = self.rotation_degrees
            advice = f"rotated clockwise by {self.rotation_degrees} degrees it shows one: send it upright"
        return ReferenceWithoutFace(
            f"no face was found in reference {index} (counted from 0), an image of {width} x {height} pixels; {advice}",
            details=details,
        )


class ReferenceFaces:
    """LRU cache by content of the image. Threads that ask for one image at once share one reading of it."""

    def __init__(self, reader: FaceReader, capacity: int = 4096):
        self._reader = reader
        self._readings: LRUCache[str, Future[ReferenceFace | NoReferenceFace]] = LRUCache(capacity)
        self._lock = threading.Lock()
        self._hits = self._misses = 0

    def read(self, references: ReferenceSet) -> tuple[ReferenceFace, ...]:
        """A face for every reference. ReferenceWithoutFace names the first image that shows none."""
        faces = []
        for index, (key, image_HWC) in enumerate(zip(references.keys, references.images, strict=True)):
            reference = self._read_once(key, image_HWC)
            if isinstance(reference, NoReferenceFace):
                height, width = image_HWC.shape[:2]
                raise reference.error(index, width, height)
            faces.append(reference)
        return tuple(faces)

    @property
    def count(self) -> CacheCount:
        held = len(self._readings)
        return CacheCount("reference faces", self._hits, self._misses, self._misses - held, held * FACE_BYTES)

    def _read_once(self, key: str, image_HWC: np.ndarray) -> ReferenceFace | NoReferenceFace:
        with self._lock:
            reading = self._readings.get(key)
            if is_first := reading is None:
                self._misses += 1
                reading = self._readings[key] = Future()
            else:
                self._hits += 1
        if is_first:
            try:
                reading.set_result(self._read(image_HWC))
            except BaseException as error:
                with self._lock:
                    self._readings.pop(key, None)
                reading.set_exception(error)
        return reading.result()

    def _read(self, image_HWC: np.ndarray) -> ReferenceFace | NoReferenceFace:
        face, num_faces = self._reader.read_largest(image_HWC)
        rotation_degrees = suspected_rotation(self._reader, image_HWC, face)
        if face is None:
            return NoReferenceFace(rotation_degrees)
        return ReferenceFace(face, num_faces, rotation_degrees)
