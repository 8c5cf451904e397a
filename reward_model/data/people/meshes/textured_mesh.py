"""Triangles over points with texture coordinates: what hair and glasses are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class TexturedMesh(NamedTuple):
    """points: [N, 3] in metres; faces: [F, 3] int over points; uv: [N, 2] in the atlas."""

    points: np.ndarray
    faces: np.ndarray
    uv: np.ndarray

    @classmethod
    def empty(cls) -> TexturedMesh:
        return cls(np.zeros((0, 3), np.float32), np.zeros((0, 3), int), np.zeros((0, 2), np.float32))

    @classmethod
    def join(cls, pieces: Sequence[TexturedMesh]) -> TexturedMesh:
        """All pieces as one mesh with float32 points."""
        offsets = np.cumsum([0] + [len(piece.points) for piece in pieces[:-1]])
        return cls(
            np.concatenate([piece.points for piece in pieces]).astype(np.float32),
            np.concatenate([piece.faces + offset for piece, offset in zip(pieces, offsets, strict=True)]),
            np.concatenate([piece.uv for piece in pieces]),
        )


def grid_faces(columns: int, rows: int, clockwise: bool = False) -> np.ndarray:
    """[2 (columns - 1) (rows - 1), 3] triangles over a grid of points [columns, rows], flattened."""
    i = (np.arange(columns - 1)[:, None] * rows + np.arange(rows - 1)).ravel()
    a, b, c, d = i, i + rows, i + 1, i + rows + 1
    if clockwise:
        return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
