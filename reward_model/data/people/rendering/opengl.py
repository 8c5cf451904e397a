"""Draws with OpenGL 3.3 through EGL: a GPU's or Mesa's in software (Debian: libegl1, libgl1-mesa-dri)."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..meshes.figure import camera_matrix, draw
from ..scenes.scene import Frame, Scene
from .background import PARALLAX, background
from .factory import RendererError
from .shading import SIDE, fragment_shader, inverse_rows, light_uniforms

VERTEX = """
#version 330
uniform vec2 frame;
in vec3 position; in vec3 normal; in vec2 uv; in float shade;
out vec3 v_normal; out vec2 v_uv; out float v_shade;
void main() {
    gl_Position = vec4(position.x / frame.x * 2.0 - 1.0, position.y / frame.y * 2.0 - 1.0, -position.z, 1.0);
    v_normal = normal; v_uv = uv; v_shade = shade;
}
"""
WHOLE_VERTEX = """
#version 330
in vec2 corner;
void main() { gl_Position = vec4(corner, 0.0, 1.0); }
"""
BACK_FRAGMENT = """
#version 330
uniform sampler2D picture; uniform vec3 row_x; uniform vec3 row_y; uniform float side;
out vec4 colour;
void main() {
    vec3 at = vec3(floor(gl_FragCoord.xy / side) + 0.5, 1.0);  // one look a pixel, as much as a picture holds
    colour = texture(picture, vec2(dot(row_x, at), dot(row_y, at)));
}
"""
SHRINK_FRAGMENT = """
#version 330
uniform sampler2D samples; uniform vec2 frame;
out vec4 colour;
void main() { colour = texture(samples, gl_FragCoord.xy / frame); }  // between four samples: their mean
"""
TEXTURES = 48


@dataclass(frozen=True)
class _Target:
    samples: Any
    texture: Any
    frame: Any


class GlRenderer:
    kind = "gl"

    def __init__(self) -> None:
        try:
            import moderngl

            settings: dict[str, Any] = {"standalone": True, "backend": "egl", "require": 330}
            self._gl: Any = moderngl.create_context(**settings)
        except Exception as error:  # glcontext raises bare Exception
            raise RendererError(
                f"no OpenGL 3.3 through EGL here ({str(error).strip() or type(error).__name__}); "
                "it takes the extra `people` and Mesa's libegl1 and libgl1-mesa-dri"
            ) from error
        self._people = self._gl.program(vertex_shader=VERTEX, fragment_shader=fragment_shader())
        self._back = self._gl.program(vertex_shader=WHOLE_VERTEX, fragment_shader=BACK_FRAGMENT)
        self._shrink = self._gl.program(vertex_shader=WHOLE_VERTEX, fragment_shader=SHRINK_FRAGMENT)
        corners = self._gl.buffer(np.array([[-1, -1], [3, -1], [-1, 3]], np.float32).tobytes())
        self._wall = self._gl.vertex_array(self._back, [(corners, "2f", "corner")])
        self._whole = self._gl.vertex_array(self._shrink, [(corners, "2f", "corner")])
        self._vertices = self._gl.buffer(reserve=1 << 20, dynamic=True)
        self._triangles = self._gl.buffer(reserve=1 << 20, dynamic=True)
        self._textures: OrderedDict[int, tuple[np.ndarray, Any]] = OrderedDict()
        self._targets: dict[tuple[int, int], _Target] = {}

    def _target(self, width: int, height: int) -> _Target:
        if (width, height) not in self._targets:
            gl, large = self._gl, (width * SIDE, height * SIDE)
            texture = gl.texture(large, 4)
            samples = gl.framebuffer([texture], gl.depth_renderbuffer(large))
            self._targets[width, height] = _Target(
                samples, texture, gl.framebuffer([gl.renderbuffer((width, height), 4)])
            )
        return self._targets[width, height]

    def _texture(self, pixels: np.ndarray) -> Any:
        """Kept while the painted array is the same object; the array is held, so its id stays its own."""
        if id(pixels) not in self._textures:
            height, width, channels = pixels.shape
            texture = self._gl.texture((width, height), channels, pixels.tobytes(), alignment=1)
            texture.repeat_x = texture.repeat_y = False
            self._textures[id(pixels)] = pixels, texture
            if len(self._textures) > TEXTURES:
                self._textures.popitem(last=False)[1][1].release()
        self._textures.move_to_end(id(pixels))
        return self._textures[id(pixels)][1]

    def _fill(self, buffer: Any, values: np.ndarray) -> None:
        if values.nbytes > buffer.size:
            buffer.orphan(values.nbytes * 2)
        buffer.write(values.tobytes())

    def render(self, scene: Scene, width: int, height: int) -> Frame:
        gl, target = self._gl, self._target(width, height)
        target.samples.use()
        gl.disable(gl.DEPTH_TEST)
        rows = inverse_rows(camera_matrix(scene.camera, width, height, PARALLAX), width, height)
        self._back["row_x"], self._back["row_y"] = map(tuple, rows.tolist())
        self._back["side"] = SIDE
        self._texture(background(scene.background, width, height)).use()
        self._wall.render()
        gl.enable(gl.DEPTH_TEST)
        for name, value in light_uniforms(scene.light).items():
            self._people[name] = value
        self._people["frame"] = width, height
        boxes = []
        for actor in scene.actors:
            self._clear_depth(target.samples)
            figure = draw(scene, actor, width, height)
            self._fill(self._vertices, figure.vertices)
            self._fill(self._triangles, figure.triangles)
            self._texture(figure.atlas).use()
            content = [(self._vertices, "3f 3f 2f 1f", "position", "normal", "uv", "shade")]
            array = gl.vertex_array(self._people, content, index_buffer=self._triangles, index_element_size=4)
            array.render(vertices=figure.triangles.size)
            array.release()
            boxes.append(figure.box)
        target.frame.use()
        gl.disable(gl.DEPTH_TEST)
        self._shrink["frame"] = width, height
        target.texture.use()
        self._whole.render()
        rgb = np.frombuffer(target.frame.read(components=3, alignment=1), np.uint8).reshape(height, width, 3)
        return Frame(rgb, tuple(boxes))

    def _clear_depth(self, target: Any) -> None:
        target.color_mask = (False, False, False, False)
        target.clear(depth=1.0)
        target.color_mask = (True, True, True, True)
        target.use()  # the mask takes effect with it

    def close(self) -> None:
        self._gl.release()
