"""The face of each reference picture, read once and kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from identity_reward_client.errors import ReferenceWithoutFace
from reward_model.types import CacheCount, ReferenceSet

from .face import Face, FaceReader

# about what a kept face takes: its embedding, box, landmarks, and what holds them
FACE_BYTES = 2048


@dataclass(frozen=True, eq=False)
class ReferenceFace:
    """The largest face of a reference picture; a picture with `num_faces` above 1 is worth a look by its sender."""

    face: Face
    num_faces: int


class ReferenceFaces:
    """Least recently used pictures leave first. Threads that ask for one picture at once wait for one reading of it."""

    def __init__(self, reader: FaceReader, capacity: int = 4096):
        self._reader = reader
        self._capacity = capacity
        self._readings: OrderedDict[str, Future[ReferenceFace | None]] = OrderedDict()
        self._lock = threading.Lock()
        self._hits = self._misses = 0

    def read(self, references: ReferenceSet) -> tuple[ReferenceFace, ...]:
        """A face for every reference. ReferenceWithoutFace names the first picture that shows none."""
        found = []
        for index, (key, image_HWC) in enumerate(zip(references.keys, references.images, strict=True)):
            reference = self._read_once(key, image_HWC)
            if reference is None:
                height, width = image_HWC.shape[:2]
                raise ReferenceWithoutFace(
                    f"no face was found in reference {index} (counted from 0), a picture of {width} x {height} pixels; "
                    "send one that shows the person's face from the front or half side, at least 20 pixels wide",
                    details={"reference_index": index, "width": width, "height": height},
                )  # fmt: skip
            found.append(reference)
        return tuple(found)

    @property
    def count(self) -> CacheCount:
        held = len(self._readings)
        return CacheCount("reference faces", self._hits, self._misses, self._misses - held, held * FACE_BYTES)

    def _read_once(self, key: str, image_HWC: np.ndarray) -> ReferenceFace | None:
        with self._lock:
            reading = self._readings.get(key)
            if mine := reading is None:
                self._misses += 1
                reading = self._readings[key] = Future()
                if len(self._readings) > self._capacity:
                    self._readings.popitem(last=False)
            else:
                self._hits += 1
            self._readings.move_to_end(key)
        if mine:
            try:
                face, num_faces = self._reader.read_largest(image_HWC)
                reading.set_result(None if face is None else ReferenceFace(face, num_faces))
            except BaseException as error:
                with self._lock:
                    self._readings.pop(key, None)
                reading.set_exception(error)
        return reading.result()
