"""Projects an actor of a scene to triangles in pixels of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..scenes.camera import camera_matrix
from ..scenes.renderer import Box
from ..scenes.scene import Actor, Scene
from .basis import load_basis
from .figure import build_figure, point_normals, posed_points
from .texture import SIZE, paint

# approximate rows of the atlas over the height of a head
HEAD_TEXELS = 390 * SIZE / 1024
# of the camera from the people, in head heights
CAMERA_DISTANCE = 7.0
# coarsest level of the atlas
MAX_LEVEL = 3


@dataclass(frozen=True)
class ActorMesh:
    """An actor's triangles as a renderer draws them.

    vertices: [R, 9] float32: x, y in pixels from the top left, z towards the camera in -1..1, normal, u, v, shade.
    triangles: [F, 3] int32. atlas: [S, S, 4] uint8 with v = 0 in row 0.
    face_box: as in `Frame.face_boxes`.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    atlas: np.ndarray
    face_box: Box | None


def _visible_triangles(
    triangles: np.ndarray, vertices: np.ndarray, num_closed: int, width: int, height: int
) -> np.ndarray:
    """Those inside the frame; of the first `num_closed`, a closed surface, only those that face the camera."""
    x, y = vertices[:, 0], vertices[:, 1]
    outside = (y > height) * 1 + (y < 0) * 2 + (x > width) * 4 + (x < 0) * 8
    a, b, c = triangles.T
    kept = (outside[a] & outside[b] & outside[c]) == 0
    a, b, c = a[:num_closed], b[:num_closed], c[:num_closed]
    kept[:num_closed] &= (x[b] - x[a]) * (y[c] - y[a]) < (y[b] - y[a]) * (x[c] - x[a])
    return triangles[kept]


def project_actor(scene: Scene, actor: Actor, width: int, height: int) -> ActorMesh:
    """The actor's mesh in a frame of this size in pixels."""
    figure = build_figure(actor.person, actor.clothes, actor.body)
    points = posed_points(figure, actor)
    normal = point_normals(points, figure.faces, figure.corner_order, figure.corner_starts)
    pixels = actor.pose.size * height
    flat = points[:, :2] * (CAMERA_DISTANCE / (CAMERA_DISTANCE - points[:, 2:])) * [pixels, -pixels]
    flat += [actor.pose.x * width, actor.pose.y * height]
    matrix = camera_matrix(scene.camera, width, height)
    flat = flat @ matrix[:, :2].T + matrix[:, 2]
    level = int(np.clip(np.floor(np.log2(HEAD_TEXELS / (pixels * scene.camera.zoom * 1.4))), 0, MAX_LEVEL))
    vertices = np.empty((len(figure.source), 9), np.float32)
    vertices[:, :2] = flat[figure.source]
    vertices[:, 2] = points[figure.source, 2] / 16
    vertices[:, 3:6] = normal[figure.source]
    vertices[:, 6:8] = figure.uv
    vertices[:, 8] = figure.shade
    triangles = _visible_triangles(figure.uv_faces, vertices, len(load_basis().uv_faces), width, height)
    x0, y0 = flat[figure.skull].min(0).clip(0)
    x1, y1 = np.minimum(flat[figure.skull].max(0), [width, height])
    box = (float(x0), float(y0), float(x1), float(y1)) if x1 > x0 and y1 > y0 else None
    return ActorMesh(vertices, triangles, paint(actor.person, actor.clothes, level), box)
