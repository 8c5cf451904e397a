"""Square windows around faces, cut from frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..supervision.ground_truth import RenderedFace


def cut_window(
    frames_THWC: np.ndarray, faces: Sequence[RenderedFace], side: int, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[RenderedFace, ...]]:
    """A window around a random face, off its centre by up to an eighth of `side` pixels and clipped to the frame.

    Returns the cut frames, and the faces whose centre is inside with their boxes in [0, 1] of the window's sides.
    """
    height, width = frames_THWC.shape[1:3]
    size = np.array([width, height] * 2, np.float32)
    box_px = faces[int(rng.integers(len(faces)))].box * size
    centre = (box_px[:2] + box_px[2:]) / 2 + side * rng.uniform(-1 / 8, 1 / 8, 2)
    cut = np.minimum(side, (width, height))
    x, y = np.clip(np.round(centre - cut / 2), 0, size[:2] - cut).astype(int).tolist()
    inside = []
    for face in faces:
        box = (face.box * size - np.array([x, y, x, y])) / np.tile(cut, 2)
        if (np.abs((box[:2] + box[2:]) / 2 - 0.5) <= 0.5).all():
            inside.append(replace(face, box=box.astype(np.float32)))
    return frames_THWC[:, y : y + cut[1], x : x + cut[0]], tuple(inside)
