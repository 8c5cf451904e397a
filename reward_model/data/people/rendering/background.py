"""Procedural backgrounds, painted once for a seed and a frame size, with a margin so that the camera may move.

Painters take x, y [H, W] float32 in frame heights, 0 at the frame's top left, and give [H, W, 3] colours of about 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from reward_model.data.seeding import generator

from ..meshes.texture import smooth_step
from ..scenes.scene import Background, BackgroundKind

# of the frame's width and height, on every side
MARGIN = 0.25
# share of the camera's movement that the background follows
PARALLAX = 0.6
Painter = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def _noise(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, cell: float) -> np.ndarray:
    """Smooth noise -1..1 over x, y with a random value every `cell`."""
    values = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
    u, v = np.floor(x / cell), np.floor(y / cell)
    s, t = x / cell - u, y / cell - v
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    # the values as one row, so that one index serves a cell and its neighbours
    i, j = u.astype(np.int32) & 63, (v.astype(np.int32) & 63) << 6
    right, below, flat = (i + 1) & 63, (j + 64) & 4095, values.ravel()
    top = flat[j | i] * (1 - s) + flat[j | right] * s
    low = flat[below | i] * (1 - s) + flat[below | right] * s
    return top * (1 - t) + low * t


def _mix(under: np.ndarray, over: np.ndarray, share: np.ndarray) -> np.ndarray:
    return under + (over - under) * share[..., None]


def _sample_muted_colour(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    grey = rng.uniform(low, high)
    return np.clip(grey + rng.normal(size=3) * 0.045, 0.03, 0.97)


def _gradient(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    share = smooth_step(-0.7, 0.7, (x - 0.8) * np.cos(angle) + (y - 0.5) * np.sin(angle))
    out = _mix(
        np.broadcast_to(_sample_muted_colour(rng, 0.25, 0.6), (*x.shape, 3)),
        _sample_muted_colour(rng, 0.45, 0.85),
        share,
    )
    return out * (1 + 0.02 * _noise(rng, x, y, 0.3))[..., None]


def _window(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    wall = _sample_muted_colour(rng, 0.45, 0.75)
    out = wall * (1 + 0.05 * _noise(rng, x, y, 0.3) - 0.15 * smooth_step(0.2, 1.1, y))[..., None]
    left, top, wide, high = rng.uniform(-0.1, 1.2), rng.uniform(-0.2, 0.1), rng.uniform(0.4, 0.6), rng.uniform(0.5, 0.7)
    u, v = (x - left) / wide, (y - top) / high
    inside = smooth_step(0, 0.03, u) * smooth_step(1, 0.97, u) * smooth_step(0, 0.03, v) * smooth_step(1, 0.97, v)
    sky = _mix(np.broadcast_to([0.93, 0.95, 0.97], out.shape), np.array([0.6, 0.72, 0.62]), smooth_step(0.55, 0.8, v))
    bars = np.maximum(smooth_step(0.03, 0.015, np.abs(u - 0.5)), smooth_step(0.025, 0.012, np.abs(v - 0.45)))
    out = _mix(
        out,
        np.array([0.9, 0.89, 0.86]),
        smooth_step(-0.07, -0.05, u)
        * smooth_step(1.07, 1.05, u)
        * smooth_step(-0.07, -0.05, v)
        * smooth_step(1.07, 1.05, v),
    )
    out = _mix(out, sky, inside)
    out = _mix(out, np.array([0.88, 0.87, 0.84]), inside * bars)
    board = rng.uniform(0.8, 0.95)
    return _mix(out, _sample_muted_colour(rng, 0.25, 0.45), smooth_step(board, board + 0.015, y))


def _bricks(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    high = rng.uniform(0.07, 0.1)
    row = np.floor(y / high)
    along = x / (high * 2.3) + 0.5 * (row % 2)
    column = np.floor(along)
    tint = rng.uniform(-1, 1, (97,))[(row * 31 + column * 17).astype(int) % 97]
    joint = np.minimum(
        smooth_step(0.0, 0.1, np.minimum(y / high - row, row + 1 - y / high)),
        smooth_step(0.0, 0.05, np.minimum(along - column, column + 1 - along)),
    )
    brick = np.clip(np.array([0.58, 0.33, 0.26]) + rng.normal(size=3) * 0.06, 0.1, 0.9) * (1 + 0.12 * tint)[..., None]
    out = _mix(np.broadcast_to(_sample_muted_colour(rng, 0.6, 0.7), brick.shape), brick, joint)
    return out * (1 + 0.06 * _noise(rng, x, y, 0.03))[..., None]


def _stripes(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    period, angle = rng.uniform(0.12, 0.3), rng.choice([0.0, np.pi / 2, np.pi / 4])
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    return _mix(
        np.broadcast_to(_sample_muted_colour(rng, 0.3, 0.6), (*x.shape, 3)),
        _sample_muted_colour(rng, 0.5, 0.85),
        smooth_step(-0.1, 0.1, wave),
    )


def _bokeh(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    out = np.broadcast_to(_sample_muted_colour(rng, 0.1, 0.25), (*x.shape, 3)) * (1 + 0.4 * y)[..., None]
    warm = np.array([[1.0, 0.8, 0.5], [0.6, 0.75, 1.0], [1.0, 0.55, 0.4], [0.7, 0.9, 0.7]])
    for _ in range(40):
        cx, cy, r = rng.uniform(-0.5, 2.2), rng.uniform(-0.3, 1.3), rng.uniform(0.025, 0.1)
        rows = slice(*np.searchsorted(y[:, 0], [cy - r, cy + r]))
        columns = slice(*np.searchsorted(x[0], [cx - r, cx + r]))
        near = rows, columns
        disc = smooth_step(r, r * 0.85, np.hypot(x[near] - cx, y[near] - cy)) * rng.uniform(0.12, 0.5)
        out[near] = _mix(out[near], warm[int(rng.integers(4))], disc)
    return out


def _outdoors(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    sky = _mix(
        np.broadcast_to([0.52, 0.7, 0.92], (*x.shape, 3)), np.array([0.88, 0.92, 0.96]), smooth_step(-0.3, 0.6, y)
    )
    cloud = _noise(rng, x, y * 2, 0.25) + 0.5 * _noise(rng, x, y * 2, 0.1)
    out = _mix(sky, np.array([0.97, 0.97, 0.98]), 0.8 * smooth_step(0.1, 0.8, cloud))
    hill = 0.5 + 0.08 * _noise(rng, x, 0 * y, 0.5)
    out = _mix(out, np.array([0.45, 0.55, 0.5]), smooth_step(hill, hill + 0.02, y))
    tree = 0.6 + 0.09 * _noise(rng, x, 0 * y, 0.17) + 0.03 * _noise(rng, x, y, 0.04)
    leaves = np.array([0.2, 0.36, 0.16]) * (1 + 0.35 * _noise(rng, x, y, 0.025))[..., None]
    out = _mix(out, leaves, smooth_step(tree, tree + 0.02, y))
    grass = np.array([0.4, 0.55, 0.25]) * (1 + 0.12 * _noise(rng, x, y, 0.02))[..., None]
    return _mix(out, grass, smooth_step(0.84, 0.87, y))


PAINTERS: dict[BackgroundKind, Painter] = {
    "gradient": _gradient,
    "window": _window,
    "bricks": _bricks,
    "stripes": _stripes,
    "bokeh": _bokeh,
    "outdoors": _outdoors,
}


def _size_with_margin(width: int, height: int) -> tuple[int, int]:
    return round(width * (1 + 2 * MARGIN)), round(height * (1 + 2 * MARGIN))


@lru_cache(maxsize=16)
def paint_background(background: Background, width: int, height: int) -> np.ndarray:
    """[(1 + 2 MARGIN) height, (1 + 2 MARGIN) width, 3] uint8, row 0 at the top."""
    wide, high = _size_with_margin(width, height)
    x, y = np.meshgrid(
        ((np.arange(wide) + 0.5) / height - MARGIN * width / height).astype(np.float32),
        ((np.arange(high) + 0.5) / height - MARGIN).astype(np.float32),
    )
    rgb = PAINTERS[background.kind](generator("background", background.kind, background.seed), x, y)
    return (rgb.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def background_rows(matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """[2, 3] pixels of the frame to 0..1 over the background's image; the inverse of `matrix`, a camera's [2, 3]."""
    back = np.linalg.inv(np.concatenate([matrix, [[0, 0, 1]]]))[:2]
    back[:, 2] += MARGIN * np.array([width, height])
    wide, high = _size_with_margin(width, height)
    return back / np.array([[wide], [high]])
