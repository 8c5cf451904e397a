"""Draws in numpy where OpenGL is missing: the same meshes, atlas and light, four samples a pixel."""

import numpy as np

from ..meshes.figure import camera_matrix, draw
from ..meshes.raster import rasterize
from ..scenes.scene import Frame, Scene
from .background import PARALLAX, background
from .shading import SIDE, inverse_rows, shade


def bilinear(picture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """[N, C] float32 0..1 of picture [H, W, C] uint8 at u, v in 0..1 (clamped to its edge), row 0 at v = 0."""
    height, width = picture.shape[:2]
    x, y = (u * width - 0.5).clip(0, width - 1), (v * height - 0.5).clip(0, height - 1)
    i, j = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    s, t = (x - i)[:, None].astype(np.float32), (y - j)[:, None].astype(np.float32)
    top = picture[j, i] * (1 - s) + picture[j, i + 1] * s
    low = picture[j + 1, i] * (1 - s) + picture[j + 1, i + 1] * s
    return (top * (1 - t) + low * t) / np.float32(255)


class NumpyRenderer:
    kind = "numpy"

    def render(self, scene: Scene, width: int, height: int) -> Frame:
        rows = inverse_rows(camera_matrix(scene.camera, width, height, PARALLAX), width, height)
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        at = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        wall = bilinear(background(scene.background, width, height), *(rows @ at)).reshape(height, width, 3)
        samples = wall.repeat(SIDE, 0).repeat(SIDE, 1)
        boxes = []
        for actor in scene.actors:
            figure = draw(scene, actor, width, height)
            corners = figure.vertices[figure.triangles]
            triangle, share = rasterize(corners[..., :2] * SIDE, corners[..., 2], width * SIDE, height * SIDE)
            seen = triangle >= 0
            values = (corners[triangle[seen]][..., 3:] * share[seen][..., None]).sum(1)
            paint = bilinear(figure.atlas, values[:, 3], values[:, 4])
            samples[seen] = shade(paint, values[:, :3], values[:, 5], scene.light)
            boxes.append(figure.box)
        rgb = samples.reshape(height, SIDE, width, SIDE, 3).mean((1, 3))
        return Frame((rgb * 255 + 0.5).astype(np.uint8), tuple(boxes))

    def close(self) -> None:
        return None
