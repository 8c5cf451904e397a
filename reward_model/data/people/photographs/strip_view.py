"""Pixels of one person's strip of a clip over photographs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from ..scenes.renderer import Box
from ..scenes.scene import Camera
from .openpeople import PEOPLE, photograph

# how far neighbouring strips overlap, as a share of the frame's width
FEATHER = 0.08
# of the faces' centres, as a share of the frame's height from the top
FACE_Y = 0.42


def strip_view(
    photographs: Sequence[tuple[str, str]],
    blend_share: float,
    face_size: float,
    camera: Camera,
    column: int,
    num_columns: int,
    width: int,
    height: int,
) -> tuple[np.ndarray, Box]:
    """The frame [height, width, 3] uint8 filled by a photograph with the face in the middle of its strip; its face box.

    photographs: one (person, name), or two that are blended by `blend_share`. face_size: as a share of the height.
    """
    middle = ((column + 0.5) / num_columns + camera.dx) * width, (FACE_Y + camera.dy) * height
    edges = (column / num_columns - FEATHER / 2) * width, ((column + 1) / num_columns + FEATHER / 2) * width
    face_px = face_size * height * camera.zoom
    # large enough that no photograph ends within the strip
    face_px = max(face_px, *(_min_face_px(*names, middle, edges, width, height) for names in photographs))
    views = [_placed(*names, face_px, middle, width, height) for names in photographs]
    view = views[0]
    if len(views) > 1:
        view = cv2.addWeighted(view, 1 - blend_share, views[1], blend_share, 0)
    box = (
        middle[0] - 0.45 * face_px,
        middle[1] - 0.65 * face_px,
        middle[0] + 0.45 * face_px,
        middle[1] + 0.55 * face_px,
    )
    return view, box


def strip_share(column: int, num_columns: int, width: int) -> np.ndarray:
    """[W] float32: the weight of this strip in each pixel column; the weights of all strips sum to 1."""
    x = (np.arange(width) + 0.5) / width

    def right_of(edge: int) -> np.ndarray:
        if edge in (0, num_columns):
            return np.full(width, 1.0 if edge == 0 else 0.0)
        t = np.clip((x - edge / num_columns) / FEATHER + 0.5, 0, 1)
        return t * t * (3 - 2 * t)

    return (right_of(column) - right_of(column + 1)).astype(np.float32)


def _min_face_px(
    person: str, name: str, middle: tuple[float, float], edges: tuple[float, float], frame_width: int, frame_height: int
) -> float:
    """The face's height in pixels of the frame at which the photograph just fills the strip."""
    x, y, box_width, box_height = PEOPLE[person].face_box(name)
    height, width = photograph(person, name).shape[:2]
    left, top = x + box_width / 2, y + box_height / 2
    scales = (
        (middle[0] - max(edges[0], 0)) / left,
        (min(edges[1], frame_width) - middle[0]) / (width - left),
        middle[1] / top,
        (frame_height - middle[1]) / (height - top),
    )
    return max(scales) * box_height


def _placed(person: str, name: str, face_px: float, middle: tuple[float, float], width: int, height: int) -> np.ndarray:
    """The frame [height, width, 3] filled by a photograph, with its face of `face_px` pixels around `middle`."""
    x, y, box_width, box_height = PEOPLE[person].face_box(name)
    # drawn at twice the size and averaged, so that nothing flickers as it moves
    scale = 2 * face_px / box_height
    left, top = 2 * middle[0] - scale * (x + box_width / 2), 2 * middle[1] - scale * (y + box_height / 2)
    source = photograph(person, name)
    while scale < 0.5:
        # a smaller copy first: interpolation takes only the nearest pixels
        source, scale = _shrunk(person, name, source.shape[0] // 2), scale * 2
    matrix = np.array([[scale, 0, left], [0, scale, top]])
    double = (2 * width, 2 * height)
    large = cv2.warpAffine(source, matrix, double, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)


@lru_cache(128)
def _shrunk(person: str, name: str, height: int) -> np.ndarray:
    """The photograph at this height, uint8 RGB."""
    full = photograph(person, name)
    factor = full.shape[0] / height
    size = (round(full.shape[1] / factor), height)
    return cv2.resize(full, size, interpolation=cv2.INTER_AREA)
