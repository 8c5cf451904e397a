"""What the policy reads from a reference image: a face embedding, and edges and colours of the aligned head."""

from __future__ import annotations

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
# pixels of a side of the picture of the head, and of the cells in which edges and colours are counted
HEAD_PX, EDGE_CELL_PX, COLOUR_CELL_PX = 64, 8, 4
NUM_DIRECTIONS = 8
FEATURES_SIZE = EMBEDDING_SIZE + NUM_DIRECTIONS * (HEAD_PX // EDGE_CELL_PX) ** 2 + 3 * (HEAD_PX // COLOUR_CELL_PX) ** 2
# of the face within the picture of the head: hair and chin have room around it
FACE_SHARE = 0.5


def view_portrait(reader: FaceReader, image_HWC: np.ndarray) -> np.ndarray | None:
    """[FEATURES_SIZE] float32 of the largest face of a uint8 RGB image; None without one.

    First the face embedding, of length 1; then of the head, aligned by its landmarks, a histogram of edge directions in
    every cell (Dalal and Triggs 2005), and mean colours.
    """
    face, _ = reader.read_largest(image_HWC)
    if face is None:
        return None
    head_HWC = aligned_head(image_HWC, face.landmarks_52)
    colours = cv2.resize(head_HWC, (HEAD_PX // COLOUR_CELL_PX,) * 2, interpolation=cv2.INTER_AREA)
    parts = (face.embedding_D, edge_histograms(head_HWC).ravel(), colours.ravel() / np.float32(255))
    return np.concatenate(parts).astype(np.float32)


def aligned_head(image_HWC: np.ndarray, landmarks_52: np.ndarray) -> np.ndarray:
    """[HEAD_PX, HEAD_PX, 3] uint8: the eyes level and always in one place."""
    scale = HEAD_PX / TEMPLATE_SIZE_PX * FACE_SHARE
    target_52 = TEMPLATE_52 * scale + np.array([1 - FACE_SHARE, 1.1 * (1 - FACE_SHARE)]) * HEAD_PX / 2
    # averaged down from twice the size, so that thin lines do not flicker
    matrix = similarity_transform(landmarks_52.astype(np.float64), 2 * target_52)
    large_HWC = cv2.warpAffine(
        image_HWC, matrix, (2 * HEAD_PX, 2 * HEAD_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.resize(large_HWC, (HEAD_PX, HEAD_PX), interpolation=cv2.INTER_AREA)


def edge_histograms(head_HWC: np.ndarray) -> np.ndarray:
    """[directions, cells, cells] float32: strength of the edges of each direction, normalized over nearby cells."""
    grey = cv2.cvtColor(head_HWC, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.hypot(dx, dy)
    direction = np.arctan2(dy, dx) / (2 * np.pi) * NUM_DIRECTIONS % NUM_DIRECTIONS
    below = np.floor(direction)
    share = direction - below
    low = below.astype(int) % NUM_DIRECTIONS
    y, x = np.mgrid[:HEAD_PX, :HEAD_PX]
    histogram = np.zeros((NUM_DIRECTIONS, HEAD_PX, HEAD_PX), np.float32)
    histogram[low, y, x] += strength * (1 - share)
    histogram[(low + 1) % NUM_DIRECTIONS, y, x] += strength * share
    cells = HEAD_PX // EDGE_CELL_PX
    summed = histogram.reshape(NUM_DIRECTIONS, cells, EDGE_CELL_PX, cells, EDGE_CELL_PX).mean((2, 4))
    return np.sqrt(summed / (cv2.blur(summed.sum(0), (3, 3)) + 0.02))


class PortraitReader:
    """Features of image files, cached by the content of the file."""

    def __init__(self, capacity: int = 4096):
        self._faces = bundled_reader()
        self._views: LRUCache[str, np.ndarray] = LRUCache(capacity)

    def read(self, path: Path) -> np.ndarray:
        """[FEATURES_SIZE] float32. PolicyError for a file that cannot be read, is no image, or shows no face."""
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
