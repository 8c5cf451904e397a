"""What the policy reads from a reference image: a face embedding, and the head as a small aligned picture."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from cachetools import LRUCache
from PIL import Image, UnidentifiedImageError

from reward_model.faces.recognition.alignment import TEMPLATE_52, TEMPLATE_SIZE_PX, similarity_transform
from reward_model.faces.recognition.reader import FaceReader, bundled_reader
from trainer.errors import PolicyError

EMBEDDING_SIZE = 128
HEAD_PX = 64
# of the face within the picture of the head: hair and chin have room around it
FACE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class PortraitView:
    """embedding_D: float32 of length 1, of SFace. head_HWC: uint8 RGB, the eyes level and always in one place."""

    embedding_D: np.ndarray
    head_HWC: np.ndarray


def view_portrait(reader: FaceReader, image_HWC: np.ndarray) -> PortraitView | None:
    """The largest face of a uint8 RGB image; None without one."""
    face, _ = reader.read_largest(image_HWC)
    if face is None:
        return None
    scale = HEAD_PX / TEMPLATE_SIZE_PX * FACE_SHARE
    target_52 = TEMPLATE_52 * scale + np.array([1 - FACE_SHARE, 1.1 * (1 - FACE_SHARE)]) * HEAD_PX / 2
    # averaged down from twice the size, so that thin lines do not flicker
    matrix = similarity_transform(face.landmarks_52.astype(np.float64), 2 * target_52)
    large_HWC = cv2.warpAffine(
        image_HWC, matrix, (2 * HEAD_PX, 2 * HEAD_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return PortraitView(face.embedding_D, cv2.resize(large_HWC, (HEAD_PX, HEAD_PX), interpolation=cv2.INTER_AREA))


class PortraitReader:
    """Views of image files, cached by the content of the file."""

    def __init__(self, capacity: int = 4096):
        self._faces = bundled_reader()
        self._views: LRUCache[str, PortraitView] = LRUCache(capacity)

    def read(self, path: Path) -> PortraitView:
        """PolicyError for a file that cannot be read, is no image, or shows no face."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PolicyError(f"the reference {path} cannot be read: {error.strerror or error}") from None
        key = sha256(data).hexdigest()
        if (cached := self._views.get(key)) is not None:
            return cached
        try:
            image_HWC = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            raise PolicyError(f"the reference {path} is no readable image: {error}") from None
        view = view_portrait(self._faces, image_HWC)
        if view is None:
            raise PolicyError(f"the reference {path} shows no face; send one from the front or half side")
        self._views[key] = view
        return view
