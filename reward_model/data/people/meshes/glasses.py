"""Glasses: two rims, a bridge and two arms, as thin tubes in front of the eyes."""

import numpy as np

from ..appearance.person import Glasses
from .basis import PLAIN_UV, Basis, place

TUBE_M, SIDES = 0.0016, 6


def _tube(path: np.ndarray, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """points and faces of a tube along path [N, 3]."""
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along, np.where(np.abs(along[:, 2:]) > 0.8, [[0.0, 1, 0]], [[0.0, 0, 1]]))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(along, side)
    around = np.linspace(0, 2 * np.pi, SIDES, endpoint=False)[:, None]
    points = path[:, None] + TUBE_M * (np.cos(around) * side[:, None] + np.sin(around) * other[:, None])
    n = len(path)
    i, j = np.meshgrid(np.arange(n if closed else n - 1), np.arange(SIDES), indexing="ij")
    a, b = i * SIDES + j, i * SIDES + (j + 1) % SIDES
    c, d = (i + 1) % n * SIDES + j, (i + 1) % n * SIDES + (j + 1) % SIDES
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    return points.reshape(-1, 3), faces


def glasses_mesh(glasses: Glasses | None, neutral: np.ndarray, basis: Basis):
    """points [N, 3] in the person's own metres, triangles [F, 3] and uv [N, 2]; all empty without glasses."""
    if glasses is None:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), int), np.zeros((0, 2), np.float32)
    left, right = neutral[-2], neutral[-1]
    middle, apart = (left + right) / 2, np.linalg.norm(left - right)
    skin = neutral[: basis.count]
    near = skin[(np.abs(skin[:, 1] - middle[1]) < 0.022) & (np.abs(skin[:, 0] - middle[0]) < 0.5 * apart + 0.02)]
    plane = near[near[:, 2] > middle[2], 2].max() + 0.003
    radius = 0.5 * apart - 0.010 + 0.003 * glasses.size
    around = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    power = 1.0 if glasses.shape == "round" else 0.45
    wide, high = (1.0, 0.92) if glasses.shape == "round" else (1.08, 0.74)
    x = wide * radius * np.sign(np.cos(around)) * np.abs(np.cos(around)) ** power
    y = high * radius * np.sign(np.sin(around)) * np.abs(np.sin(around)) ** power
    pieces = []
    for eye, side in ((left, 1), (right, -1)):
        centre_x = eye[0] + side * 0.001
        bow = -6.0 * np.square(x + centre_x - middle[0])
        pieces.append(_tube(np.stack([x + centre_x, y + middle[1] - 0.003, plane + bow], -1), True))
        outer = centre_x + side * wide * radius
        ear = skin[(skin[:, 0] * side > 0) & (np.abs(skin[:, 1] - middle[1]) < 0.015)]
        reach = max(abs(ear[:, 0] - middle[0]).max() - 0.004, abs(outer - middle[0]))
        s = np.linspace(0, 1, 8)
        start = plane - 6.0 * (outer - middle[0]) ** 2
        arm_x = outer + side * (reach - abs(outer - middle[0])) * np.minimum(2.5 * s, 1)
        pieces.append(_tube(np.stack([arm_x, 0 * s + middle[1] + 0.003, start - s * 0.095], -1), False))
    s = np.linspace(-1, 1, 7)
    half = 0.5 * apart - wide * radius
    pieces.append(_tube(np.stack([middle[0] + s * half, middle[1] + 0.004 * (1 - s * s), plane + 0 * s], -1), False))
    offsets = np.cumsum([0] + [len(p) for p, _ in pieces])
    points = np.concatenate([p for p, _ in pieces]).astype(np.float32)
    faces = np.concatenate([f + o for (_, f), o in zip(pieces, offsets, strict=False)])
    return points, faces, np.repeat(place(PLAIN_UV, np.array([0.25]), np.array([0.75])), len(points), 0)
