"""The protocol that renderers of scenes implement. `rendering.factory.open_renderer` opens one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from .scene import Scene

RendererKind = Literal["auto", "gl", "numpy"]
# x0, y0, x1, y1
Box = tuple[float, float, float, float]


class RendererError(RuntimeError):
    """The requested renderer does not work on this machine; the message says what would help."""


@dataclass(frozen=True)
class Frame:
    """rgb: [H, W, 3] uint8.

    face_boxes: for each actor the box in pixels around the head without hair and neck, cut to the frame, or None where
    it lies outside. A face that another actor covers keeps its box.
    """

    rgb: np.ndarray
    face_boxes: tuple[Box | None, ...]


class Renderer(Protocol):
    """Renders scenes to frames; the same scene and size give the same pixels in every run on one machine."""

    kind: RendererKind

    def render(self, scene: Scene, width: int, height: int) -> Frame: ...

    def close(self) -> None: ...
