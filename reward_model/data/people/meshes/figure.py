"""A person as triangles: built once at rest, then posed for each frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..appearance.person import Beard, Clothes, Person
from ..scenes.scene import Actor
from .basis import ACTIONS, EYES, MOUTH, SOCKETS, Basis, f32, load_basis
from .glasses import glasses_mesh
from .hair import hair_mesh
from .texture import beard_mask, cloth_mask

CLOTH_THICKNESS_M = 0.007


@dataclass(frozen=True)
class Figure:
    """A person at rest, in head heights, with the centre of the head at the origin.

    N points, R vertices with a place in the atlas, F triangles.

    points [N, 3]; joints [4, 3] (neck, head, eyes); bones [N, 2] (shares of neck and head); faces [F, 3] over points.
    source [R] (the point of a vertex), uv [R, 2], shade [R] and uv_faces [F, 3] (triangles over these vertices) are for
    the renderer. corner_order and corner_starts sort the triangles' corners by point. skull: indices of the points
    within the face box. scale: head heights per metre.
    """

    points: np.ndarray
    joints: np.ndarray
    bones: np.ndarray
    faces: np.ndarray
    source: np.ndarray
    uv: np.ndarray
    shade: np.ndarray
    uv_faces: np.ndarray
    corner_order: np.ndarray
    corner_starts: np.ndarray
    skull: np.ndarray
    scale: float


def point_normals(points: np.ndarray, faces: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """[N, 3] unit normals of points, each the sum of its triangles' normals weighted by area."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    p, q = b - a, c - a
    flat = np.empty_like(p)
    flat[:, 0] = p[:, 1] * q[:, 2] - p[:, 2] * q[:, 1]
    flat[:, 1] = p[:, 2] * q[:, 0] - p[:, 0] * q[:, 2]
    flat[:, 2] = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    total = np.add.reduceat(flat[order], starts, 0)
    return total / np.maximum(np.sqrt(np.einsum("nd,nd->n", total, total)), 1e-12)[:, None]


def _sort_corners(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The triangle of each corner, corners sorted by point; and where each point's corners start."""
    flat = faces.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(count))
    return (order // 3).astype(np.int32), starts


@lru_cache(maxsize=4)
def _clothes_share(clothes: Clothes) -> np.ndarray:
    """[V] share of the clothes' thickness that lies over each vertex."""
    basis = load_basis()
    return cloth_mask(clothes, basis.points[: basis.count]).astype(np.float32)


@lru_cache(maxsize=8)
def _beard_share(style: str) -> np.ndarray:
    """[V] share of the beard's thickness that lies over each vertex."""
    basis = load_basis()
    return beard_mask(style, basis.points[: basis.count]).astype(np.float32)


def _head_height(basis: Basis, points: np.ndarray) -> float:
    return float(points[basis.crown, 1] - points[basis.chin, 1])


def _head_on_body(basis: Basis, person: Person, body: Person) -> np.ndarray:
    """[V + 4, 3] the head of `person` on the body of `body`, joined along the neck at the joint of the head."""
    head, trunk = basis.neutral(person), basis.neutral(body)
    trunk = (trunk - trunk[-3]) * (_head_height(basis, head) / _head_height(basis, trunk)) + head[-3]
    share = np.concatenate([basis.bones.sum(1).clip(0, 1), [0, 1, 1, 1]])[:, None].astype(np.float32)
    return head * share + trunk * (1 - share)


def _thickness(clothes: Clothes, beard: Beard | None) -> np.ndarray:
    """[V] metres of clothes and beard over the skin."""
    thickness = CLOTH_THICKNESS_M * _clothes_share(clothes)
    if beard and beard.style != "stubble":
        beard_m = {"full": 0.008}.get(beard.style, 0.004)
        thickness = thickness + beard_m * beard.density * _beard_share(beard.style)
    return thickness


def _vertex_shade(basis: Basis) -> np.ndarray:
    """[R] float32: darker inside mouth and sockets, and in the head's shadow on the throat."""
    shade = np.ones(len(basis.source), np.float32)
    shade[basis.uv_faces[basis.part == MOUTH]] = 0.45
    shade[basis.uv_faces[basis.part == SOCKETS]] = 0.55
    rest, chin = basis.points[basis.source], basis.points[basis.chin, 1]
    throat = np.clip((chin + 0.01 - rest[:, 1]) / 0.04, 0, 1) * np.clip((rest[:, 1] - 0.575) / 0.05, 0, 1)
    shade *= 1 - 0.38 * throat * (rest[:, 2] < 0.105)
    return shade


@lru_cache(maxsize=64)
def build_figure(person: Person, clothes: Clothes, body: Person | None) -> Figure:
    """`body`: whose build is below the neck; None for the person's own."""
    basis = load_basis()
    neutral = basis.neutral(person) if body is None else _head_on_body(basis, person, body)
    height = _head_height(basis, neutral)
    middle = f32([0, (neutral[basis.crown, 1] + neutral[basis.chin, 1]) / 2, neutral[-3, 2]])
    hair, glasses = hair_mesh(person.hair, neutral, basis), glasses_mesh(person.glasses, neutral, basis)
    skin = neutral[: basis.count]
    order, starts = _sort_corners(basis.faces, basis.count)
    skin = skin + point_normals(skin, basis.faces, order, starts) * _thickness(clothes, person.beard)[:, None]
    points, faces, uv_faces = [skin, hair.points, glasses.points], [basis.faces], [basis.uv_faces]
    source, uv = [basis.source], [basis.uv]
    num_points, num_vertices = basis.count, len(basis.source)
    for piece in (hair, glasses):
        faces.append(piece.faces + num_points)
        uv_faces.append(piece.faces + num_vertices)
        source.append(np.arange(len(piece.points)) + num_points)
        uv.append(piece.uv)
        num_points, num_vertices = num_points + len(piece.points), num_vertices + len(piece.points)
    shade = _vertex_shade(basis)
    rigid = np.tile(f32([0, 1]), (num_points - basis.count, 1))
    all_faces = np.concatenate(faces)
    order, starts = _sort_corners(all_faces, num_points)
    return Figure(
        points=((np.concatenate(points) - middle) / height).astype(np.float32),
        joints=((neutral[-4:] - middle) / height).astype(np.float32),
        bones=np.concatenate([basis.bones, rigid]),
        faces=all_faces,
        source=np.concatenate(source),
        uv=np.concatenate(uv).astype(np.float32),
        shade=np.concatenate([shade, np.ones(num_vertices - len(shade))]).astype(np.float32),
        uv_faces=np.concatenate(uv_faces).astype(np.int32),
        corner_order=order,
        corner_starts=starts,
        skull=np.flatnonzero(
            (basis.bones[:, 1] > 0.95) & (basis.points[: basis.count, 1] >= basis.points[basis.chin, 1] - 0.004)
        ),
        scale=1 / height,
    )


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """[3, 3] float32. Degrees with the signs of `Pose`; roll is applied first, yaw last."""
    y, p, r = np.radians([yaw, -pitch, -roll])
    around_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    around_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (around_y @ around_x @ around_z).astype(np.float32)


def posed_points(figure: Figure, actor: Actor) -> np.ndarray:
    """[N, 3] the figure's points in the actor's expression and pose, in head heights about the centre of the head."""
    basis, expression, pose = load_basis(), actor.expression, actor.pose
    points = figure.points.copy()
    weights = f32([getattr(expression, action) for action in ACTIONS])
    used = np.flatnonzero(weights)
    if len(used):
        rows = basis.action_rows
        kept = rows < basis.count
        moved = np.tensordot(weights[used] * np.float32(figure.scale), basis.action[used], 1)
        points[rows[kept]] += moved[kept]
    gaze = rotation(expression.gaze_x, expression.gaze_y, 0)
    for side, eye in ((1, figure.joints[2]), (-1, figure.joints[3])):
        ball = _eyeball(side)
        points[ball] = (points[ball] - eye) @ gaze.T + eye
    head = rotation(pose.yaw, pose.pitch, pose.roll)
    neck = rotation((pose.yaw + pose.turn) / 2, pose.pitch / 2, pose.roll / 2)
    body = rotation(pose.turn, 0, 0)
    neck_joint, head_joint = figure.joints[0], figure.joints[1]
    moved_head_joint = (head_joint - neck_joint) @ neck.T + neck_joint
    centre = (-head_joint) @ head.T + moved_head_joint
    share_neck, share_head = figure.bones[:, :1], figure.bones[:, 1:]
    by_head = (points - head_joint) @ head.T + moved_head_joint
    by_neck = (points - neck_joint) @ neck.T + neck_joint
    by_body = (points - neck_joint) @ body.T + neck_joint
    return by_head * share_head + by_neck * share_neck + by_body * (1 - share_head - share_neck) - centre


@lru_cache(maxsize=2)
def _eyeball(side: int) -> np.ndarray:
    """Indices of the vertices of the left (1) or right (-1) eyeball."""
    basis = load_basis()
    rows = np.unique(basis.faces[basis.part == EYES])
    return rows[np.sign(basis.points[rows, 0]) == side]
