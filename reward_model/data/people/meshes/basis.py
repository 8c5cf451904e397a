"""The linear mesh model of people (assets/basis.npz) with texture coordinates: people as vertices in metres.

V vertices and 4 joints after them, with the axes of `scenes.scene`. F triangles. Texture coordinates are in an atlas of
1 x 1, u to the right, v up; R vertices with a place in the atlas.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike

from ..appearance.person import Person

# x0, y0, x1, y1 in the atlas
Region = tuple[float, float, float, float]

ACTIONS = ("smile", "frown", "jaw_open", "pucker", "blink", "wide", "brows_up", "brows_down", "puff", "sneer")
JOINTS = ("neck", "head", "eye_l", "eye_r")
SKIN, EYES, SOCKETS, MOUTH = range(4)
HEAD_UV, FRONT_UV, BACK_UV = (0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 0.75, 1.0), (0.75, 0.5, 1.0, 1.0)
HAIR_UV, EYE_UV, PLAIN_UV = (0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 0.75, 0.5), (0.75, 0.0, 1.0, 0.5)
# how far the head's texture reaches round: its two ends overlap at the back
OVERLAP = 1.08
# the trunk is extended downwards by this, so that no image shows its lower end
DROP_M = 2.0
# a margin of each region keeps neighbours from bleeding into each other
REGION_MARGIN = 0.02


def f32(values: ArrayLike) -> np.ndarray:
    """The values as a float32 array."""
    return np.asarray(values, np.float32)


@dataclass(frozen=True)
class Basis:
    """The mesh model; `export_basis.py` says where it is from.

    points: [V + 4, 3] vertices and joints of the mean young woman.
    phenotype: [5, V + 4, 3] changes with gender, age, gender x age, weight, gender x weight.
    shape: [NUM_SHAPE, .., 3] principal components of the face over the rows shape_rows of points.
    action: [ACTIONS, .., 3] facial actions over the rows action_rows.
    faces: [F, 3] triangles over vertices. part: [F] one of SKIN, EYES, SOCKETS, MOUTH. on_body: [F] textured as body.
    bones: [V, 2] shares of each vertex that move with the neck and with the head.
    lips, lid: [V] 0..1, on the lips and at the edge of the eyelids.
    uv: [R, 2] atlas coordinates; source: [R] their vertices; uv_faces: [F, 3] triangles over these.
    chin, crown: vertices.
    """

    points: np.ndarray
    phenotype: np.ndarray
    shape: np.ndarray
    shape_rows: np.ndarray
    action: np.ndarray
    action_rows: np.ndarray
    faces: np.ndarray
    part: np.ndarray
    bones: np.ndarray
    lips: np.ndarray
    lid: np.ndarray
    on_body: np.ndarray
    uv: np.ndarray
    source: np.ndarray
    uv_faces: np.ndarray
    chin: int
    crown: int

    @property
    def count(self) -> int:
        """V, the number of vertices."""
        return len(self.bones)

    def neutral(self, person: Person) -> np.ndarray:
        """[V + 4, 3] float32: the person at rest, and their joints."""
        g, age, weight = person.gender, person.age, person.weight - 0.5
        points = self.points + np.tensordot(f32([g, age, g * age, weight, g * weight]), self.phenotype, 1)
        points[self.shape_rows] += np.tensordot(f32(person.shape), self.shape, 1)
        return points


def atlas_position(region: Region, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[.., 2] float32 in the atlas for x, y in 0..1 of a region."""
    x0, y0, x1, y1 = region
    inside = [REGION_MARGIN + (1 - 2 * REGION_MARGIN) * np.clip(c, 0, 1) for c in (x, y)]
    return np.stack([x0 + (x1 - x0) * inside[0], y0 + (y1 - y0) * inside[1]], -1).astype(np.float32)


def _texture_coordinates(points: np.ndarray, faces: np.ndarray, part: np.ndarray, on_body: np.ndarray) -> np.ndarray:
    """[F, 3, 2] atlas coordinates of every corner."""
    eye_l, eye_r = points[-2], points[-1]
    corner = points[faces]
    x, y, z = corner[..., 0], corner[..., 1], corner[..., 2]
    low, high = y.min(where=(part == SKIN)[:, None] & ~on_body[:, None], initial=9), y.max()
    # 0.5 in front; the seam lies at the back
    azimuth = (np.arctan2(-x, -(z - 0.065)) / (2 * np.pi)) + 0.5
    wrapped = (np.ptp(azimuth, axis=1) > 0.5)[:, None] & (azimuth < 0.5)
    uv = atlas_position(HEAD_UV, (azimuth + wrapped) / OVERLAP, (y - low) / (high - low))
    normal_z = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])[:, 2]
    for side, region in ((normal_z >= 0, FRONT_UV), (normal_z < 0, BACK_UV)):
        selected = on_body & side
        uv[selected] = atlas_position(region, x[selected] / 0.6 + 0.5, (y[selected] - 0.1) / 0.55)
    for sign, joint in ((-1, eye_r), (1, eye_l)):
        selected = (part == EYES) & (np.sign(x.mean(1)) == sign)
        uv[selected] = atlas_position(
            EYE_UV, (x[selected] - joint[0]) / 0.029 + 0.5, (y[selected] - joint[1]) / 0.029 + 0.5
        )
    uv[part == MOUTH] = atlas_position(PLAIN_UV, np.array(0.25), np.array(0.25))
    uv[part == SOCKETS] = atlas_position(PLAIN_UV, np.array(0.75), np.array(0.25))
    return uv


def _extension(points: np.ndarray, faces: np.ndarray, part: np.ndarray, low: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices to copy below the trunk's open lower edges, and triangles [.., 3] that join them to their copies."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])[np.tile(part == SKIN, 3)]
    all_edges = set(map(tuple, edges.tolist()))
    open_edges = [
        (a, b) for a, b in edges.tolist() if (b, a) not in all_edges and points[a, 1] < low and points[b, 1] < low
    ]
    rows = sorted({v for edge in open_edges for v in edge})
    copy = {v: len(points) - len(JOINTS) + i for i, v in enumerate(rows)}
    triangles = [t for a, b in open_edges for t in ((b, a, copy[a]), (b, copy[a], copy[b]))]
    return np.array(rows, int), np.array(triangles, int).reshape(-1, 3)


@cache
def load_basis() -> Basis:
    with (files(__package__) / "assets/basis.npz").open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    points, faces, part = arrays["template"], arrays["faces"].astype(int), arrays["part"]
    count = len(points) - len(JOINTS)
    low = points[:count, 1].min() + 0.12
    rim = np.intersect1d(faces[part == SKIN], faces[part == SOCKETS])
    # the rest of a socket lies behind the eye
    visible = (part != SOCKETS) | np.isin(faces, rim).any(1)
    faces, part = faces[visible], part[visible]
    rows, skirt = _extension(points, faces, part, low)

    def with_copies(values: np.ndarray, lower_m: float = 0.0) -> np.ndarray:
        """[.., V + 4, 3] with the copied rows between the vertices and the joints."""
        copies = values[..., rows, :].copy()
        copies[..., 1] -= lower_m
        return np.concatenate([values[..., :count, :], copies, values[..., count:, :]], -2).astype(np.float32)

    def with_copied_rows(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, values[rows]]).astype(np.float32)

    def renumbered(indices: np.ndarray) -> np.ndarray:
        indices = indices.astype(int)
        return np.where(indices >= count, indices + len(rows), indices)

    points = with_copies(points, DROP_M)
    faces, part = np.concatenate([faces, skirt]), np.concatenate([part, np.full(len(skirt), SKIN, part.dtype)])
    bones, lips = with_copied_rows(arrays["bones"]), with_copied_rows(arrays["lips"])
    lid = np.zeros(len(bones), np.float32)
    lid[rim] = 1.0
    on_body = (part == SKIN) & (bones.sum(1)[faces].mean(1) < 0.5)
    uv = _texture_coordinates(points, faces, part, on_body)
    keys = np.concatenate([faces.reshape(-1, 1), np.round(uv.reshape(-1, 2) * 65536).astype(int)], 1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    skull = np.flatnonzero(bones[:, 1] > 0.95)
    front = skull[np.abs(points[skull, 0]) < 0.01]
    front = front[points[front, 2] > points[-1, 2] - 0.01]
    return Basis(
        points=points,
        phenotype=with_copies(arrays["phenotype"].astype(np.float32)),
        shape=arrays["shape"].astype(np.float32),
        shape_rows=renumbered(arrays["shape_rows"]),
        action=arrays["action"].astype(np.float32),
        action_rows=renumbered(arrays["action_rows"]),
        faces=faces,
        part=part,
        bones=bones,
        lips=lips,
        lid=lid,
        on_body=on_body,
        uv=(unique[:, 1:] / 65536).astype(np.float32),
        source=unique[:, 0],
        uv_faces=inverse.reshape(-1, 3),
        chin=int(front[points[front, 1].argmin()]),
        crown=int(skull[points[skull, 1].argmax()]),
    )
