"""A person as triangles: built once at rest, then posed for each frame."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..appearance.person import Clothes, Person
from ..scenes.scene import Actor, Box, Camera, Scene
from .basis import ACTIONS, EYES, MOUTH, SOCKETS, Basis, f32, load_basis
from .glasses import glasses_mesh
from .hair import hair_mesh
from .texture import SIZE, beard_mask, cloth_mask, paint

HEAD_TEXELS = 390 * SIZE / 1024  # about: rows of the atlas over a head's height
DISTANCE = 7.0  # of the camera from the people, in heads


@dataclass(frozen=True)
class Figure:
    """A person at rest in head heights, centre of the head at the origin: N points, R places in the atlas, F triangles.

    points [N, 3]; joints [4, 3] (neck, head, eyes); bones [N, 2]; faces [F, 3] over points; source [R], uv [R, 2],
    shade [R] and drawn [F, 3] for the renderer; corner_order and corner_starts sort the triangles' corners by point.
    """

    points: np.ndarray
    joints: np.ndarray
    bones: np.ndarray
    faces: np.ndarray
    source: np.ndarray
    uv: np.ndarray
    shade: np.ndarray
    drawn: np.ndarray
    corner_order: np.ndarray
    corner_starts: np.ndarray
    skull: np.ndarray
    scale: float


@dataclass(frozen=True)
class Draw:
    """What a renderer draws for an actor: vertices [R, 9] float32 (x, y in pixels from the top left, z towards the
    camera in -1..1, normal, u, v, shade), triangles [F, 3] int32, the atlas [S, S, 4] uint8 with v = 0 in row 0."""

    vertices: np.ndarray
    triangles: np.ndarray
    atlas: np.ndarray
    box: Box | None


def normals(points: np.ndarray, faces: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """[N, 3] unit normals of points, each the sum of its triangles' weighted by area."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    p, q = b - a, c - a
    flat = np.empty_like(p)
    flat[:, 0] = p[:, 1] * q[:, 2] - p[:, 2] * q[:, 1]
    flat[:, 1] = p[:, 2] * q[:, 0] - p[:, 0] * q[:, 2]
    flat[:, 2] = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    total = np.add.reduceat(flat[order], starts, 0)
    return total / np.maximum(np.sqrt(np.einsum("nd,nd->n", total, total)), 1e-12)[:, None]


def _corners(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    flat = faces.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(count))
    return (order // 3).astype(np.int32), starts


@lru_cache(maxsize=4)
def _grown(clothes: Clothes) -> np.ndarray:
    """[V] how much of the clothes' thickness lies over each vertex."""
    basis = load_basis()
    return cloth_mask(clothes, basis.points[: basis.count]).astype(np.float32)


@lru_cache(maxsize=8)
def _bearded(style: str) -> np.ndarray:
    basis = load_basis()
    return beard_mask(style, basis.points[: basis.count]).astype(np.float32)


def _height(basis: Basis, points: np.ndarray) -> float:
    return float(points[basis.crown, 1] - points[basis.chin, 1])


def _exchanged(basis: Basis, person: Person, body: Person) -> np.ndarray:
    """The head of one person on the body of another, joined along the neck at the joint of the head."""
    head, trunk = basis.neutral(person), basis.neutral(body)
    trunk = (trunk - trunk[-3]) * (_height(basis, head) / _height(basis, trunk)) + head[-3]
    share = np.concatenate([basis.bones.sum(1).clip(0, 1), [0, 1, 1, 1]])[:, None].astype(np.float32)
    return head * share + trunk * (1 - share)


@lru_cache(maxsize=64)
def build(person: Person, clothes: Clothes, body: Person | None) -> Figure:
    basis = load_basis()
    neutral = basis.neutral(person) if body is None else _exchanged(basis, person, body)
    height = _height(basis, neutral)
    middle = f32([0, (neutral[basis.crown, 1] + neutral[basis.chin, 1]) / 2, neutral[-3, 2]])
    hair, glasses = hair_mesh(person.hair, neutral, basis), glasses_mesh(person.glasses, neutral, basis)
    skin = neutral[: basis.count]
    order, starts = _corners(basis.faces, basis.count)
    thick = 0.007 * _grown(clothes)
    if person.beard and person.beard.style != "stubble":
        thick = thick + {"full": 0.008}.get(person.beard.style, 0.004) * person.beard.density * _bearded(
            person.beard.style
        )
    skin = skin + normals(skin, basis.faces, order, starts) * thick[:, None]
    points, faces, drawn = [skin, hair[0], glasses[0]], [basis.faces], [basis.drawn]
    source, uv = [basis.source], [basis.uv]
    count, places = basis.count, len(basis.source)
    for piece in (hair, glasses):
        faces.append(piece[1] + count)
        drawn.append(piece[1] + places)
        source.append(np.arange(len(piece[0])) + count)
        uv.append(piece[2])
        count, places = count + len(piece[0]), places + len(piece[0])
    part_shade = np.ones(len(basis.source), np.float32)
    part_shade[basis.drawn[basis.part == MOUTH]] = 0.45
    part_shade[basis.drawn[basis.part == SOCKETS]] = 0.55
    rest, chin = basis.points[basis.source], basis.points[basis.chin, 1]
    # the head's shadow on the throat
    throat = np.clip((chin + 0.01 - rest[:, 1]) / 0.04, 0, 1) * np.clip((rest[:, 1] - 0.575) / 0.05, 0, 1)
    part_shade *= 1 - 0.38 * throat * (rest[:, 2] < 0.105)
    rigid = np.tile(f32([0, 1]), (count - basis.count, 1))
    all_faces = np.concatenate(faces)
    order, starts = _corners(all_faces, count)
    return Figure(
        points=((np.concatenate(points) - middle) / height).astype(np.float32),
        joints=((neutral[-4:] - middle) / height).astype(np.float32),
        bones=np.concatenate([basis.bones, rigid]),
        faces=all_faces,
        source=np.concatenate(source),
        uv=np.concatenate(uv).astype(np.float32),
        shade=np.concatenate([part_shade, np.ones(places - len(part_shade))]).astype(np.float32),
        drawn=np.concatenate(drawn).astype(np.int32),
        corner_order=order,
        corner_starts=starts,
        skull=np.flatnonzero(
            (basis.bones[:, 1] > 0.95) & (basis.points[: basis.count, 1] >= basis.points[basis.chin, 1] - 0.004)
        ),
        scale=1 / height,
    )


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Degrees, signs of `Pose`; roll is applied first, yaw last."""
    y, p, r = np.radians([yaw, -pitch, -roll])
    around_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    around_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (around_y @ around_x @ around_z).astype(np.float32)


def posed(figure: Figure, actor: Actor) -> np.ndarray:
    """[N, 3] the figure with the actor's expression and pose, in head heights about the centre of the head."""
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
    for side, joint in ((1, figure.joints[2]), (-1, figure.joints[3])):
        ball = _eyeball(side)
        points[ball] = (points[ball] - joint) @ gaze.T + joint
    head = rotation(pose.yaw, pose.pitch, pose.roll)
    neck = rotation((pose.yaw + pose.turn) / 2, pose.pitch / 2, pose.roll / 2)
    body = rotation(pose.turn, 0, 0)
    below, joint = figure.joints[0], figure.joints[1]
    atlas_joint = (joint - below) @ neck.T + below
    centre = (-joint) @ head.T + atlas_joint
    share_neck, share_head = figure.bones[:, :1], figure.bones[:, 1:]
    by_head = (points - joint) @ head.T + atlas_joint
    by_neck = (points - below) @ neck.T + below
    by_body = (points - below) @ body.T + below
    return by_head * share_head + by_neck * share_neck + by_body * (1 - share_head - share_neck) - centre


@lru_cache(maxsize=2)
def _eyeball(side: int) -> np.ndarray:
    basis = load_basis()
    rows = np.unique(basis.faces[basis.part == EYES])
    return rows[np.sign(basis.points[rows, 0]) == side]


def camera_matrix(camera: Camera, width: int, height: int, parallax: float = 1.0) -> np.ndarray:
    """[2, 3] pixels of the scene -> pixels of the frame; things far away move by a smaller share (parallax)."""
    zoom = 1 + (camera.zoom - 1) * parallax
    angle = np.radians(camera.roll)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([width / 2, height / 2])
    shift = middle - turn @ (middle + parallax * np.array([camera.dx * width, camera.dy * height]))
    return np.concatenate([turn, shift[:, None]], 1)


def _facing(triangles: np.ndarray, vertices: np.ndarray, closed: int, width: int, height: int) -> np.ndarray:
    """Without those outside the frame, and of the first `closed` ones without those that show their back."""
    x, y = vertices[:, 0], vertices[:, 1]
    outside = (y > height) * 1 + (y < 0) * 2 + (x > width) * 4 + (x < 0) * 8
    a, b, c = triangles.T
    kept = (outside[a] & outside[b] & outside[c]) == 0
    a, b, c = a[:closed], b[:closed], c[:closed]
    kept[:closed] &= (x[b] - x[a]) * (y[c] - y[a]) < (y[b] - y[a]) * (x[c] - x[a])
    return triangles[kept]


def draw(scene: Scene, actor: Actor, width: int, height: int) -> Draw:
    figure = build(actor.person, actor.clothes, actor.body)
    points = posed(figure, actor)
    normal = normals(points, figure.faces, figure.corner_order, figure.corner_starts)
    pixels = actor.pose.size * height
    flat = points[:, :2] * (DISTANCE / (DISTANCE - points[:, 2:])) * [pixels, -pixels]
    flat += [actor.pose.x * width, actor.pose.y * height]
    matrix = camera_matrix(scene.camera, width, height)
    flat = flat @ matrix[:, :2].T + matrix[:, 2]
    level = int(np.clip(np.floor(np.log2(HEAD_TEXELS / (pixels * scene.camera.zoom * 1.4))), 0, 3))
    vertices = np.empty((len(figure.source), 9), np.float32)
    vertices[:, :2] = flat[figure.source]
    vertices[:, 2] = points[figure.source, 2] / 16
    vertices[:, 3:6] = normal[figure.source]
    vertices[:, 6:8] = figure.uv
    vertices[:, 8] = figure.shade
    triangles = _facing(figure.drawn, vertices, len(load_basis().drawn), width, height)
    x0, y0 = flat[figure.skull].min(0).clip(0)
    x1, y1 = np.minimum(flat[figure.skull].max(0), [width, height])
    box = (float(x0), float(y0), float(x1), float(y1)) if x1 > x0 and y1 > y0 else None
    return Draw(vertices, triangles, paint(actor.person, actor.clothes, level), box)
