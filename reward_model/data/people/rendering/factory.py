"""Opens a renderer: OpenGL through EGL where it works, else the slow one in numpy."""

import warnings
from typing import Literal

from ..scenes.scene import Renderer

RendererKind = Literal["auto", "gl", "numpy"]


class RendererError(RuntimeError):
    """No such renderer on this machine, and what would help."""


def open_renderer(kind: RendererKind = "auto") -> Renderer:
    """auto: EGL if it works, else numpy with a warning that says why. gl: RendererError where EGL does not work."""
    from .software import NumpyRenderer

    if kind == "numpy":
        return NumpyRenderer()
    from .opengl import GlRenderer

    try:
        return GlRenderer()
    except RendererError as error:
        if kind == "gl":
            raise
        warnings.warn(f"{error}; people are drawn in numpy, many times slower", RuntimeWarning, stacklevel=2)
        return NumpyRenderer()
