"""One lighting model for both renderers: wrapped diffuse light, an ambient sky above, a soft highlight.

Colours are squared before lighting and their square root is taken after it, which approximates sRGB's transfer curve.
"""

from __future__ import annotations

import numpy as np

from ..meshes.basis import f32
from ..scenes.scene import Light

# along each side of a pixel
SAMPLES_PER_SIDE = 2
# how far diffuse light reaches round, and the exponent of the highlight
WRAP, SHINE = 0.25, 28.0
VIEW = f32([0, 0, 1])


def light_uniforms(light: Light) -> dict[str, tuple[float, float, float]]:
    """The shader's uniforms: unit vectors towards the light and halfway to the viewer, and the light's colours."""
    direction = np.asarray(light.direction, float)
    direction = direction / np.linalg.norm(direction)
    half = direction + VIEW
    half = half / np.linalg.norm(half)
    return {"towards": tuple(direction.tolist()), "halfway": tuple(half.tolist()),
            "sun": light.colour, "ambient": light.ambient}  # fmt: skip


def fragment_shader() -> str:
    return f"""
#version 330
uniform sampler2D atlas; uniform vec3 towards, halfway, sun, ambient;
in vec3 v_normal; in vec2 v_uv; in float v_shade;
out vec4 colour;
void main() {{
    vec4 paint = texture(atlas, v_uv);
    vec3 n = normalize(v_normal);
    n = n.z < 0.0 ? -n : n;
    float lit = max(0.0, (dot(n, towards) + {WRAP}) / {1 + WRAP});
    float shine = pow(max(0.0, dot(n, halfway)), {SHINE}) * paint.a;
    vec3 light = (ambient * (0.78 + 0.22 * n.y) + sun * lit) * v_shade;
    colour = vec4(sqrt(paint.rgb * paint.rgb * light + sun * (0.35 * shine * v_shade)), 1.0);
}}
"""


def shade(paint: np.ndarray, normal: np.ndarray, occlusion: np.ndarray, light: Light) -> np.ndarray:
    """What the fragment shader computes: colours [N, 3] 0..1 from paint [N, 4], normal [N, 3] and occlusion [N]."""
    uniforms = {name: f32(value) for name, value in light_uniforms(light).items()}
    n = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    n = np.where(n[:, 2:] < 0, -n, n)
    lit = np.maximum(0, (n @ uniforms["towards"] + WRAP) / (1 + WRAP))
    shine = np.maximum(0, n @ uniforms["halfway"]) ** SHINE * paint[:, 3]
    light_ND = (uniforms["ambient"] * (0.78 + 0.22 * n[:, 1:2]) + uniforms["sun"] * lit[:, None]) * occlusion[:, None]
    colour = paint[:, :3] ** 2 * light_ND + uniforms["sun"] * (0.35 * shine * occlusion)[:, None]
    return np.sqrt(colour).clip(0, 1)
