"""Glasses: two rims, a bridge and two arms, as thin tubes in front of the eyes. Lengths are metres."""

from __future__ import annotations

import numpy as np

from ..appearance.person import Glasses
from .basis import PLAIN_UV, Basis, atlas_position
from .textured_mesh import TexturedMesh

TUBE_RADIUS_M, TUBE_SIDES = 0.0016, 6
RIM_POINTS, ARM_POINTS, BRIDGE_POINTS = 28, 8, 7


def _tube(path: np.ndarray, closed: bool) -> TexturedMesh:
    """A tube along `path` [N, 3]; `closed` joins its ends."""
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along, np.where(np.abs(along[:, 2:]) > 0.8, [[0.0, 1, 0]], [[0.0, 0, 1]]))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(along, side)
    angle = np.linspace(0, 2 * np.pi, TUBE_SIDES, endpoint=False)[:, None]
    ring = np.cos(angle) * side[:, None] + np.sin(angle) * other[:, None]
    points = (path[:, None] + TUBE_RADIUS_M * ring).reshape(-1, 3)
    n = len(path)
    i, j = np.meshgrid(np.arange(n if closed else n - 1), np.arange(TUBE_SIDES), indexing="ij")
    a, b = i * TUBE_SIDES + j, i * TUBE_SIDES + (j + 1) % TUBE_SIDES
    c, d = (i + 1) % n * TUBE_SIDES + j, (i + 1) % n * TUBE_SIDES + (j + 1) % TUBE_SIDES
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    return TexturedMesh(
        points, faces, np.repeat(atlas_position(PLAIN_UV, np.array([0.25]), np.array([0.75])), len(points), 0)
    )


def glasses_mesh(glasses: Glasses | None, neutral: np.ndarray, basis: Basis) -> TexturedMesh:
    """Fitted to the face at rest `neutral` [V + 4, 3]; empty without glasses."""
    if glasses is None:
        return TexturedMesh.empty()
    left, right = neutral[-2], neutral[-1]
    middle, eye_distance = (left + right) / 2, np.linalg.norm(left - right)
    skin = neutral[: basis.count]
    between_eyes = np.abs(skin[:, 0] - middle[0]) < 0.5 * eye_distance + 0.02
    near = skin[(np.abs(skin[:, 1] - middle[1]) < 0.022) & between_eyes]
    plane = near[near[:, 2] > middle[2], 2].max() + 0.003
    radius = 0.5 * eye_distance - 0.010 + 0.003 * glasses.size
    angle = np.linspace(0, 2 * np.pi, RIM_POINTS, endpoint=False)
    power = 1.0 if glasses.shape == "round" else 0.45
    wide, high = (1.0, 0.92) if glasses.shape == "round" else (1.08, 0.74)
    x = wide * radius * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = high * radius * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    pieces = []
    for eye, side in ((left, 1), (right, -1)):
        centre_x = eye[0] + side * 0.001
        bow = -6.0 * np.square(x + centre_x - middle[0])
        pieces.append(_tube(np.stack([x + centre_x, y + middle[1] - 0.003, plane + bow], -1), True))
        outer = centre_x + side * wide * radius
        ear = skin[(skin[:, 0] * side > 0) & (np.abs(skin[:, 1] - middle[1]) < 0.015)]
        reach = max(abs(ear[:, 0] - middle[0]).max() - 0.004, abs(outer - middle[0]))
        s = np.linspace(0, 1, ARM_POINTS)
        start = plane - 6.0 * (outer - middle[0]) ** 2
        arm_x = outer + side * (reach - abs(outer - middle[0])) * np.minimum(2.5 * s, 1)
        pieces.append(_tube(np.stack([arm_x, 0 * s + middle[1] + 0.003, start - s * 0.095], -1), False))
    s = np.linspace(-1, 1, BRIDGE_POINTS)
    half = 0.5 * eye_distance - wide * radius
    pieces.append(_tube(np.stack([middle[0] + s * half, middle[1] + 0.004 * (1 - s * s), plane + 0 * s], -1), False))
    return TexturedMesh.join(pieces)
