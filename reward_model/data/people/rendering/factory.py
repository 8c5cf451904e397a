"""Opens a renderer: OpenGL through EGL where it works, else the slower renderer in numpy."""

from __future__ import annotations

import warnings

from ..scenes.renderer import Renderer, RendererError, RendererKind
from .opengl import GlRenderer
from .software import NumpyRenderer


def open_renderer(kind: RendererKind = "auto") -> Renderer:
    """`gl`: OpenGL, or RendererError where EGL does not work. `numpy`: the one in numpy, many times slower.

    `auto`: OpenGL if it works, else numpy with a RuntimeWarning that says why.
    """
    if kind == "numpy":
        return NumpyRenderer()
    try:
        return GlRenderer()
    except RendererError as error:
        if kind == "gl":
            raise
        warnings.warn(f"{error}; people are drawn in numpy, many times slower", RuntimeWarning, stacklevel=2)
        return NumpyRenderer()
