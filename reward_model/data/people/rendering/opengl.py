"""Renderer of scenes with OpenGL 3.3 through EGL: a GPU's, or Mesa's in software (Debian: libegl1, libgl1-mesa-dri)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from cachetools import LRUCache

from ..meshes.projection import project_actor
from ..scenes.camera import camera_matrix
from ..scenes.renderer import Box, Frame, RendererError, RendererKind
from ..scenes.scene import Scene
from .background import PARALLAX, background_rows, paint_background
from .shading import SAMPLES_PER_SIDE, fragment_shader, light_uniforms

VERTEX_SHADER = """
#version 330
uniform vec2 frame;
in vec3 position; in vec3 normal; in vec2 uv; in float shade;
out vec3 v_normal; out vec2 v_uv; out float v_shade;
void main() {
    gl_Position = vec4(position.x / frame.x * 2.0 - 1.0, position.y / frame.y * 2.0 - 1.0, -position.z, 1.0);
    v_normal = normal; v_uv = uv; v_shade = shade;
}
"""
# one triangle that covers the whole target
FULL_TARGET_VERTEX_SHADER = """
#version 330
in vec2 corner;
void main() { gl_Position = vec4(corner, 0.0, 1.0); }
"""
# the background is looked up once per pixel, which is all the detail that its image holds
BACKGROUND_FRAGMENT_SHADER = """
#version 330
uniform sampler2D image; uniform vec3 row_x; uniform vec3 row_y; uniform float side;
out vec4 colour;
void main() {
    vec3 pixel = vec3(floor(gl_FragCoord.xy / side) + 0.5, 1.0);
    colour = texture(image, vec2(dot(row_x, pixel), dot(row_y, pixel)));
}
"""
# a lookup between four samples is their mean
DOWNSAMPLING_FRAGMENT_SHADER = """
#version 330
uniform sampler2D samples; uniform vec2 frame;
out vec4 colour;
void main() { colour = texture(samples, gl_FragCoord.xy / frame); }
"""
MAX_TEXTURES = 48


@dataclass(frozen=True)
class _Target:
    """Buffers of one frame size: `samples` renders to `texture`, which is then averaged into `frame`."""

    samples: Any
    texture: Any
    frame: Any


@dataclass(frozen=True, eq=False)
class _CachedTexture:
    # referenced so that no other array gets its id
    pixels: np.ndarray
    texture: Any


class _TextureCache(LRUCache[int, _CachedTexture]):
    """Textures by the id of the array that they were made from; evicted ones are released."""

    def popitem(self) -> tuple[int, _CachedTexture]:
        key, cached = super().popitem()
        cached.texture.release()
        return key, cached


class GlRenderer:
    kind: RendererKind = "gl"

    def __init__(self) -> None:
        """RendererError where OpenGL 3.3 or EGL is missing."""
        self._gl = _create_context()
        self._actors = self._gl.program(vertex_shader=VERTEX_SHADER, fragment_shader=fragment_shader())
        self._background = self._gl.program(
            vertex_shader=FULL_TARGET_VERTEX_SHADER, fragment_shader=BACKGROUND_FRAGMENT_SHADER
        )
        self._downsampling = self._gl.program(
            vertex_shader=FULL_TARGET_VERTEX_SHADER, fragment_shader=DOWNSAMPLING_FRAGMENT_SHADER
        )
        corners = self._gl.buffer(np.array([[-1, -1], [3, -1], [-1, 3]], np.float32).tobytes())
        self._background_triangle = self._gl.vertex_array(self._background, [(corners, "2f", "corner")])
        self._downsampling_triangle = self._gl.vertex_array(self._downsampling, [(corners, "2f", "corner")])
        self._vertices = self._gl.buffer(reserve=1 << 20, dynamic=True)
        self._triangles = self._gl.buffer(reserve=1 << 20, dynamic=True)
        self._textures = _TextureCache(MAX_TEXTURES)
        self._targets: dict[tuple[int, int], _Target] = {}

    def render(self, scene: Scene, width: int, height: int) -> Frame:
        gl, target = self._gl, self._target(width, height)
        target.samples.use()
        gl.disable(gl.DEPTH_TEST)
        self._render_background(scene, width, height)
        gl.enable(gl.DEPTH_TEST)
        for name, value in light_uniforms(scene.light).items():
            self._actors[name] = value
        self._actors["frame"] = width, height
        boxes: list[Box | None] = []
        for actor in scene.actors:
            self._clear_depth(target.samples)
            mesh = project_actor(scene, actor, width, height)
            self._fill(self._vertices, mesh.vertices)
            self._fill(self._triangles, mesh.triangles)
            self._texture(mesh.atlas).use()
            content = [(self._vertices, "3f 3f 2f 1f", "position", "normal", "uv", "shade")]
            array = gl.vertex_array(self._actors, content, index_buffer=self._triangles, index_element_size=4)
            array.render(vertices=mesh.triangles.size)
            array.release()
            boxes.append(mesh.face_box)
        target.frame.use()
        gl.disable(gl.DEPTH_TEST)
        self._downsampling["frame"] = width, height
        target.texture.use()
        self._downsampling_triangle.render()
        rgb = np.frombuffer(target.frame.read(components=3, alignment=1), np.uint8).reshape(height, width, 3)
        return Frame(rgb, tuple(boxes))

    def close(self) -> None:
        self._gl.release()

    def _render_background(self, scene: Scene, width: int, height: int) -> None:
        rows = background_rows(camera_matrix(scene.camera, width, height, PARALLAX), width, height)
        self._background["row_x"], self._background["row_y"] = map(tuple, rows.tolist())
        self._background["side"] = SAMPLES_PER_SIDE
        self._texture(paint_background(scene.background, width, height)).use()
        self._background_triangle.render()

    def _target(self, width: int, height: int) -> _Target:
        if (width, height) not in self._targets:
            gl, large = self._gl, (width * SAMPLES_PER_SIDE, height * SAMPLES_PER_SIDE)
            texture = gl.texture(large, 4)
            samples = gl.framebuffer([texture], gl.depth_renderbuffer(large))
            self._targets[width, height] = _Target(
                samples, texture, gl.framebuffer([gl.renderbuffer((width, height), 4)])
            )
        return self._targets[width, height]

    def _texture(self, pixels: np.ndarray) -> Any:
        """Cached as long as the painted array is the same object."""
        cached = self._textures.get(id(pixels))
        if cached is None:
            height, width, channels = pixels.shape
            texture = self._gl.texture((width, height), channels, pixels.tobytes(), alignment=1)
            texture.repeat_x = texture.repeat_y = False
            cached = self._textures[id(pixels)] = _CachedTexture(pixels, texture)
        return cached.texture

    def _fill(self, buffer: Any, values: np.ndarray) -> None:
        if values.nbytes > buffer.size:
            buffer.orphan(values.nbytes * 2)
        buffer.write(values.tobytes())

    def _clear_depth(self, target: Any) -> None:
        target.color_mask = (False, False, False, False)
        target.clear(depth=1.0)
        target.color_mask = (True, True, True, True)
        # the mask takes effect with it
        target.use()


def _create_context() -> Any:
    """The only place that opens OpenGL.

    Mesa and triton each bring an LLVM. If triton's library is loaded after Mesa's, the process ends with a segmentation
    fault; the other order works. So triton, which torch imports only when it is needed, is imported here first.
    """
    with suppress(ImportError):
        import_module("triton")
    try:
        # optional dependency: the extra `people`
        import moderngl

        settings: dict[str, Any] = {"standalone": True, "backend": "egl", "require": 330}
        return moderngl.create_context(**settings)
    except Exception as error:  # glcontext raises bare Exception
        raise RendererError(
            f"no OpenGL 3.3 through EGL here ({str(error).strip() or type(error).__name__}); "
            "it takes the extra `people` and Mesa's libegl1 and libgl1-mesa-dri"
        ) from error
