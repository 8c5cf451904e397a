"""Renderer of scenes in numpy, for machines without OpenGL: the same meshes, atlas, light and samples per pixel."""

from __future__ import annotations

import numpy as np

from ..meshes.projection import project_actor
from ..meshes.raster import rasterize
from ..scenes.camera import camera_matrix
from ..scenes.renderer import Box, Frame, RendererKind
from ..scenes.scene import Scene
from .background import PARALLAX, background_rows, paint_background
from .shading import SAMPLES_PER_SIDE, shade


def bilinear(image_HWC: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """[N, C] float32 0..1 of a uint8 image at u, v in 0..1 (clamped to its edge), row 0 at v = 0."""
    height, width = image_HWC.shape[:2]
    x, y = (u * width - 0.5).clip(0, width - 1), (v * height - 0.5).clip(0, height - 1)
    i, j = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    s, t = (x - i)[:, None].astype(np.float32), (y - j)[:, None].astype(np.float32)
    top = image_HWC[j, i] * (1 - s) + image_HWC[j, i + 1] * s
    low = image_HWC[j + 1, i] * (1 - s) + image_HWC[j + 1, i + 1] * s
    return (top * (1 - t) + low * t) / np.float32(255)


class NumpyRenderer:
    kind: RendererKind = "numpy"

    def render(self, scene: Scene, width: int, height: int) -> Frame:
        rows = background_rows(camera_matrix(scene.camera, width, height, PARALLAX), width, height)
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        pixels = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        background = paint_background(scene.background, width, height)
        colours = bilinear(background, *(rows @ pixels)).reshape(height, width, 3)
        samples = colours.repeat(SAMPLES_PER_SIDE, 0).repeat(SAMPLES_PER_SIDE, 1)
        boxes: list[Box | None] = []
        for actor in scene.actors:
            mesh = project_actor(scene, actor, width, height)
            corners = mesh.vertices[mesh.triangles]
            triangle, share = rasterize(
                corners[..., :2] * SAMPLES_PER_SIDE,
                corners[..., 2],
                width * SAMPLES_PER_SIDE,
                height * SAMPLES_PER_SIDE,
            )
            covered = triangle >= 0
            values = (corners[triangle[covered]][..., 3:] * share[covered][..., None]).sum(1)
            paint = bilinear(mesh.atlas, values[:, 3], values[:, 4])
            samples[covered] = shade(paint, values[:, :3], values[:, 5], scene.light)
            boxes.append(mesh.face_box)
        rgb = samples.reshape(height, SAMPLES_PER_SIDE, width, SAMPLES_PER_SIDE, 3).mean((1, 3))
        return Frame((rgb * 255 + 0.5).astype(np.uint8), tuple(boxes))

    def close(self) -> None:
        """There is nothing to release."""
