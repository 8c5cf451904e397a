"""The affine map that a camera applies to the image plane."""

from __future__ import annotations

import numpy as np

from .scene import Camera


def camera_matrix(camera: Camera, width: int, height: int, parallax: float = 1.0) -> np.ndarray:
    """[2, 3] float64: pixels of the scene to pixels of the frame.

    `parallax`: the share of the camera's movement that the mapped things follow; far away things follow less.
    """
    zoom = 1 + (camera.zoom - 1) * parallax
    angle = np.radians(camera.roll)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([width / 2, height / 2])
    shift = middle - turn @ (middle + parallax * np.array([camera.dx * width, camera.dy * height]))
    return np.concatenate([turn, shift[:, None]], 1)
