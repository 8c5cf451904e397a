"""The exported basis (assets/basis.npz), the texture coordinates over it, and people as vertices in metres.

V vertices and 4 joints after them, D = 3 axes of scene.py. Texture coordinates are in an atlas of 1 x 1, u right, v up.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from ..appearance.person import Person

ACTIONS = ("smile", "frown", "jaw_open", "pucker", "blink", "wide", "brows_up", "brows_down", "puff", "sneer")
JOINTS = ("neck", "head", "eye_l", "eye_r")
SKIN, EYES, SOCKETS, MOUTH = range(4)
# regions (x0, y0, x1, y1) of the atlas
HEAD_UV, FRONT_UV, BACK_UV = (0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 0.75, 1.0), (0.75, 0.5, 1.0, 1.0)
HAIR_UV, EYE_UV, PLAIN_UV = (0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 0.75, 0.5), (0.75, 0.0, 1.0, 0.5)
OVERLAP = 1.08  # how far the head's texture goes round
DROP_M = 2.0  # the trunk goes on downwards, so that it has no lower end in a picture


def f32(values: Any) -> np.ndarray:
    return np.asarray(values, np.float32)


@dataclass(frozen=True)
class Basis:
    """points: vertices and joints of the mean young woman; the other arrays go over its rows, see export_basis.py.

    faces [F, 3] triangles over vertices, part [F] one of SKIN, EYES, SOCKETS, MOUTH; uv [R, 2] and source [R]: the
    vertices with a place in the atlas, `drawn` [F, 3] the triangles over them. on_body [F]: drawn with the clothes.
    bones [V, 2]: share of each vertex that moves with the neck and with the head.
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
    drawn: np.ndarray
    chin: int
    crown: int

    @property
    def count(self) -> int:
        return len(self.bones)

    def neutral(self, person: Person) -> np.ndarray:
        """[V + 4, 3] float32: the person's face at rest, and their joints."""
        g, age, weight = person.gender, person.age, person.weight - 0.5
        points = self.points + np.tensordot(f32([g, age, g * age, weight, g * weight]), self.phenotype, 1)
        points[self.shape_rows] += np.tensordot(f32(person.shape), self.shape, 1)
        return points


def place(region: tuple[float, float, float, float], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x, y in 0..1 of a region -> [.., 2] of the atlas; a margin keeps neighbours from bleeding into each other."""
    x0, y0, x1, y1 = region
    margin = 0.02
    inside = [margin + (1 - 2 * margin) * np.clip(c, 0, 1) for c in (x, y)]
    return np.stack([x0 + (x1 - x0) * inside[0], y0 + (y1 - y0) * inside[1]], -1).astype(np.float32)


def _texture_coordinates(points, faces, part, on_body, eye_l, eye_r) -> np.ndarray:
    """[F, 3, 2] a place in the atlas for every corner."""
    corner = points[faces]
    x, y, z = corner[..., 0], corner[..., 1], corner[..., 2]
    low, high = y.min(where=(part == SKIN)[:, None] & ~on_body[:, None], initial=9), y.max()
    round_ = (np.arctan2(-x, -(z - 0.065)) / (2 * np.pi)) + 0.5  # 0.5 in front; the seam lies at the back
    wrapped = (np.ptp(round_, axis=1) > 0.5)[:, None] & (round_ < 0.5)
    uv = place(HEAD_UV, (round_ + wrapped) / OVERLAP, (y - low) / (high - low))
    normal_z = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])[:, 2]
    for side, region in ((normal_z >= 0, FRONT_UV), (normal_z < 0, BACK_UV)):
        chosen = on_body & side
        uv[chosen] = place(region, x[chosen] / 0.6 + 0.5, (y[chosen] - 0.1) / 0.55)
    for sign, joint in ((-1, eye_r), (1, eye_l)):
        chosen = (part == EYES) & (np.sign(x.mean(1)) == sign)
        uv[chosen] = place(EYE_UV, (x[chosen] - joint[0]) / 0.029 + 0.5, (y[chosen] - joint[1]) / 0.029 + 0.5)
    uv[part == MOUTH] = place(PLAIN_UV, np.array(0.25), np.array(0.25))
    uv[part == SOCKETS] = place(PLAIN_UV, np.array(0.75), np.array(0.25))
    return uv


def _drop(points: np.ndarray, faces: np.ndarray, part: np.ndarray, low: float):
    """Rows to copy and triangles of a skirt under the open lower edges; the copies are lowered by DROP_M."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])[np.tile(part == SKIN, 3)]
    known = set(map(tuple, edges.tolist()))
    open_ = [(a, b) for a, b in edges.tolist() if (b, a) not in known and points[a, 1] < low and points[b, 1] < low]
    rows = sorted({v for edge in open_ for v in edge})
    copy = {v: len(points) - len(JOINTS) + i for i, v in enumerate(rows)}
    triangles = [t for a, b in open_ for t in ((b, a, copy[a]), (b, copy[a], copy[b]))]
    return np.array(rows, int), np.array(triangles, int).reshape(-1, 3)


@cache
def load_basis() -> Basis:
    with (files(__package__) / "assets/basis.npz").open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    points, faces, part = arrays["template"], arrays["faces"].astype(int), arrays["part"]
    count = len(points) - len(JOINTS)
    low = points[:count, 1].min() + 0.12
    rim = np.intersect1d(faces[part == SKIN], faces[part == SOCKETS])
    seen = (part != SOCKETS) | np.isin(faces, rim).any(1)  # the rest of a socket lies behind the eye
    faces, part = faces[seen], part[seen]
    rows, skirt = _drop(points, faces, part, low)

    def extend(values: np.ndarray, lower: float = 0.0) -> np.ndarray:
        """Over [.., V + 4, 3]: the copied rows go between the vertices and the joints."""
        copies = values[..., rows, :].copy()
        copies[..., 1] -= lower
        return np.concatenate([values[..., :count, :], copies, values[..., count:, :]], -2).astype(np.float32)

    def longer(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, values[rows]]).astype(np.float32)

    def moved(indices: np.ndarray) -> np.ndarray:
        indices = indices.astype(int)
        return np.where(indices >= count, indices + len(rows), indices)

    points = extend(points, DROP_M)
    faces, part = np.concatenate([faces, skirt]), np.concatenate([part, np.full(len(skirt), SKIN, part.dtype)])
    bones, lips = longer(arrays["bones"]), longer(arrays["lips"])
    lid = np.zeros(len(bones), np.float32)
    lid[rim] = 1.0
    on_body = (part == SKIN) & (bones.sum(1)[faces].mean(1) < 0.5)
    uv = _texture_coordinates(points, faces, part, on_body, points[-2], points[-1])
    keys = np.concatenate([faces.reshape(-1, 1), np.round(uv.reshape(-1, 2) * 65536).astype(int)], 1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    skull = np.flatnonzero(bones[:, 1] > 0.95)
    front = skull[np.abs(points[skull, 0]) < 0.01]
    front = front[points[front, 2] > points[-1, 2] - 0.01]
    return Basis(
        points=points,
        phenotype=extend(arrays["phenotype"].astype(np.float32)),
        shape=arrays["shape"].astype(np.float32),
        shape_rows=moved(arrays["shape_rows"]),
        action=arrays["action"].astype(np.float32),
        action_rows=moved(arrays["action_rows"]),
        faces=faces,
        part=part,
        bones=bones,
        lips=lips,
        lid=lid,
        on_body=on_body,
        uv=(unique[:, 1:] / 65536).astype(np.float32),
        source=unique[:, 0],
        drawn=inverse.reshape(-1, 3),
        chin=int(front[points[front, 1].argmin()]),
        crown=int(skull[points[skull, 1].argmax()]),
    )
