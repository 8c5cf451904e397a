"""The texture atlas of a person: skin, lips, brows, beard, eyes, hair and clothes, painted procedurally.

Textures are functions of points on the mean person, in metres. S texels per side of the atlas.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from ..appearance.person import Clothes, Person, Rgb
from .basis import BACK_UV, EYE_UV, FRONT_UV, HAIR_UV, HEAD_UV, PLAIN_UV, SKIN, Region, f32, load_basis
from .hair import angles_of, hairline
from .raster import rasterize

# texels per side of the atlas at level 0; each level halves it
SIZE = 1024
SKIN_GLOSS, HAIR_GLOSS, EYE_GLOSS = 0.18, 0.28, 0.9
BODY_UV = (FRONT_UV[0], FRONT_UV[1], BACK_UV[2], BACK_UV[3])


def smooth_step(low: float | np.ndarray, high: float | np.ndarray, value: np.ndarray) -> np.ndarray:
    """0 at `low`, 1 at `high` (which may be the smaller one), with zero slope at both."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Canvas:
    """Surface of the mean person under each texel of the atlas.

    point: [S, S, 3] on the mean person. lips, lid (edges of the eyelids): [S, S] 0..1.
    grain, fine: [S, S] coarse and fine noise of about -1..1.
    """

    point: np.ndarray
    lips: np.ndarray
    lid: np.ndarray
    grain: np.ndarray
    fine: np.ndarray

    def part(self, region: Region) -> Canvas:
        return Canvas(*(_region(values, region) for values in (self.point, self.lips, self.lid, self.grain, self.fine)))


def _noise(size: int, cells: int) -> np.ndarray:
    """[size, size] smooth noise of about -1..1 with one random value per cell."""
    rng = np.random.Generator(np.random.Philox(cells))
    values = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
    position = (np.arange(size) + 0.5) / size * cells
    low, t = position.astype(int), (position % 1).astype(np.float32)
    t = t * t * (3 - 2 * t)
    rows = values[low] * (1 - t)[:, None] + values[low + 1] * t[:, None]
    return rows[:, low] * (1 - t) + rows[:, low + 1] * t


@cache
def canvas(level: int) -> Canvas:
    """The canvas of an atlas with SIZE >> level texels per side."""
    if level:
        fine = canvas(0)
        step = 1 << level

        def shrink(values: np.ndarray) -> np.ndarray:
            side = SIZE // step
            return values.reshape(side, step, side, step, *values.shape[2:]).mean((1, 3))

        return Canvas(*(shrink(getattr(fine, name)) for name in ("point", "lips", "lid", "grain", "fine")))
    basis = load_basis()
    skin = basis.part == SKIN
    faces, uv_faces = basis.faces[skin], basis.uv_faces[skin]
    corners = basis.uv[uv_faces] * SIZE
    point = basis.points[faces]
    outward = np.linalg.norm(point[..., [0, 2]] - [0, 0.05], axis=-1)
    triangle, share = rasterize(corners, outward, SIZE, SIZE)
    values = np.concatenate([point, basis.lips[faces][..., None], basis.lid[faces][..., None]], -1)[triangle]
    values = (values * share[..., None]).sum(2)
    filled = triangle >= 0
    # margins and texels between triangles take from their neighbours
    for _ in range(24):
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            beside = np.roll(filled, shift, axis) & ~filled
            values[beside] = np.roll(values, shift, axis)[beside]
            filled = filled | beside
    grain = 0.6 * _noise(SIZE, 48) + 0.4 * _noise(SIZE, 160)
    return Canvas(values[..., :3], values[..., 3], values[..., 4], grain, _noise(SIZE, 300))


@cache
def landmarks() -> dict[str, np.ndarray]:
    """Points [3] on the mean person: mouth, eye (the left one), chin."""
    basis = load_basis()
    lips = basis.lips > 0.5
    return {
        "mouth": basis.points[: basis.count][lips].mean(0),
        "eye": basis.points[-2],
        "chin": basis.points[basis.chin],
    }


def beard_mask(style: str, point: np.ndarray) -> np.ndarray:
    """0..1 where a beard of the style grows, for points [.., 3] on the mean person."""
    x, y, z = np.abs(point[..., 0]), point[..., 1], point[..., 2]
    mouth, chin = landmarks()["mouth"], landmarks()["chin"]
    up = y - mouth[1]
    lip = (
        smooth_step(0.004, 0.009, up + 0.2 * x) * smooth_step(0.024, 0.015, up + 0.2 * x) * smooth_step(0.036, 0.026, x)
    )
    below = smooth_step(-0.010, -0.016, up) * smooth_step(chin[1] - 0.012, chin[1] - 0.002, y)
    side = smooth_step(0.023, 0.029, x) * smooth_step(0.038, 0.032, x) * smooth_step(0.02, 0.01, np.abs(up + 0.008))
    goatee = np.maximum(below * smooth_step(0.034, 0.022, x), side)
    front = smooth_step(0.05, 0.07, z)
    if style == "moustache":
        return lip * front
    if style == "goatee":
        return np.maximum(lip, goatee) * front
    # jaw and cheeks: below a line from the sideburn to the corner of the mouth
    cheek = smooth_step(0.012, 0.002, up - 0.055 * smooth_step(0.035, 0.075, x)) * smooth_step(
        0.030, 0.038, x - 0.2 * up
    )
    edge = smooth_step(chin[1] - 0.02, chin[1] - 0.006, y - 0.12 * (0.1 - z))
    before_ear = smooth_step(0.044, 0.054, z) * smooth_step(0.078, 0.073, x)
    jaw = np.maximum(cheek, below) * edge * before_ear
    return np.maximum(np.maximum(lip, goatee * front), jaw)


def cloth_mask(clothes: Clothes, point: np.ndarray) -> np.ndarray:
    """0..1 where the clothes cover the skin, for points [.., 3] on the mean person."""
    x, y, z = np.abs(point[..., 0]), point[..., 1], point[..., 2]
    forward = smooth_step(-0.05, 0.06, z)
    line = {"crew": 0.612, "v": 0.622, "turtle": 0.655, "wide": 0.600}[clothes.neckline] + 0.045 * (1 - forward)
    drop = {"crew": 0.030, "v": 0.125, "turtle": 0.015, "wide": 0.055}[clothes.neckline]
    reach = {"crew": 0.075, "v": 0.060, "turtle": 0.07, "wide": 0.105}[clothes.neckline]
    shape = np.clip(1 - x / reach, 0, 1) if clothes.neckline == "v" else np.sqrt(np.clip(1 - (x / reach) ** 2, 0, 1))
    return smooth_step(0.004, -0.004, y - (line - drop * shape * forward))


def _mix(under: np.ndarray, over: np.ndarray | Rgb, share: np.ndarray) -> np.ndarray:
    return under + (np.asarray(over, np.float32) - under) * share[..., None]


def _skin(person: Person, ground: Canvas) -> np.ndarray:
    return f32(person.skin) * (1 + 0.025 * ground.grain[..., None] + 0.012 * ground.fine[..., None])


def _face(person: Person, ground: Canvas) -> np.ndarray:
    x, y, z = np.abs(ground.point[..., 0]), ground.point[..., 1], ground.point[..., 2]
    eye = landmarks()["eye"]
    skin = f32(person.skin)
    out = _skin(person, ground)
    face = smooth_step(0.05, 0.08, z)

    def spot(px: float, py: float, sx: float, sy: float) -> np.ndarray:
        return np.exp(-(((x - px) / sx) ** 2) - ((y - py) / sy) ** 2) * face

    blush = skin * f32([1.02, 0.80, 0.78])
    out = _mix(
        out, blush, 0.40 * spot(0.042, eye[1] - 0.035, 0.02, 0.016) + 0.4 * spot(0, eye[1] - 0.045, 0.014, 0.012)
    )
    out = _mix(
        out,
        skin * 0.78,
        0.45 * spot(eye[0], eye[1] - 0.013, 0.014, 0.005) + 0.25 * spot(eye[0], eye[1] + 0.012, 0.02, 0.008),
    )
    freckles = smooth_step(0.42, 0.6, ground.fine) * smooth_step(0.035, 0.015, np.abs(y - eye[1] + 0.035)) * face
    out = _mix(out, skin * f32([0.75, 0.62, 0.55]), np.clip(0.8 * person.freckles, 0, 0.8) * freckles)
    wrinkle = (
        smooth_step(0.35, 0.8, f32(person.age))
        * spot(0, eye[1] + 0.055, 0.04, 0.02)
        * (0.5 + 0.5 * np.sin(y * 2 * np.pi / 0.009))
    )
    out = _mix(out, skin * 0.72, 0.35 * wrinkle)
    hair = f32(person.hair.colour)
    # scalp under the hair, and the shadow of shaven hair
    angle, elevation = angles_of(ground.point)
    scalp = smooth_step(0, 6, elevation - hairline(angle) - 1.5 * ground.grain)
    scalp *= {"bald": 0.12, "buzz": 0.85}.get(person.hair.style, 1.0)
    out = _mix(out, 0.8 * hair, scalp)
    if person.beard:
        grown = beard_mask(person.beard.style, ground.point)
        strength = person.beard.density * (0.5 if person.beard.style == "stubble" else 0.95)
        out = _mix(
            out,
            0.75 * hair * (1 + 0.25 * ground.fine[..., None]),
            np.clip(grown * strength * (1 + 0.3 * ground.fine), 0, 1),
        )
    out = _mix(out, person.lips, 0.9 * smooth_step(0.25, 0.7, ground.lips))
    brow = np.clip((x - 0.010) / 0.046, 0, 1)
    ridge = eye[1] + 0.0190 + 0.006 * np.sin(np.pi * np.clip(brow * 0.78 + 0.05, 0, 1)) - 0.004 * brow**2
    half = (0.0026 + 0.0036 * person.brows) * (1 - 0.65 * brow**1.5)
    share = (
        smooth_step(1.25, 0.6, np.abs(y - ridge) / half)
        * smooth_step(0.008, 0.014, x)
        * smooth_step(0.058, 0.052, x)
        * face
    )
    out = _mix(out, 0.55 * hair + 0.12 * skin, share * (0.8 + 0.15 * ground.fine))
    lash = smooth_step(0.25, 0.8, ground.lid)
    out = _mix(out, skin * 0.25, lash * np.where(y > eye[1], 0.9, 0.35) * face)
    return out.astype(np.float32)


def _cloth(clothes: Clothes, ground: Canvas) -> np.ndarray:
    x, y = ground.point[..., 0], ground.point[..., 1]
    first, second = f32(clothes.colour), f32(clothes.second)

    def bands(value: np.ndarray, period: float) -> np.ndarray:
        return smooth_step(-0.15, 0.15, np.sin(2 * np.pi * value / period))

    if clothes.pattern == "stripes":
        share = bands(y, 0.05)
    elif clothes.pattern == "checks":
        share = 0.5 * (bands(x, 0.055) + bands(y, 0.055))
    elif clothes.pattern == "dots":
        share = smooth_step(0.0145, 0.0115, np.hypot((x % 0.05) - 0.025, ((y + 0.025 * (x // 0.05)) % 0.05) - 0.025))
    elif clothes.pattern == "halves":
        share = smooth_step(0.485, 0.475, y)
    else:
        share = np.zeros_like(y)
    return _mix(np.broadcast_to(first, ground.point.shape), second, share) * (1 + 0.05 * ground.fine[..., None])


def _eye(person: Person, side: int) -> np.ndarray:
    """[side, side, 4] the front of the eyeball; EYE_UV is stretched over it."""
    position = (np.arange(side) + 0.5) / side * 2 - 1
    x, y = np.meshgrid(position / 0.96, position / 0.96)
    r = np.hypot(x, y)
    soft = max(0.04, 2.5 / side)
    out = np.broadcast_to(f32([0.90, 0.89, 0.88]), (side, side, 3))
    out = _mix(out, (0.75, 0.6, 0.58), smooth_step(0.6, 1.0, r) * 0.6)
    spokes = 0.85 + 0.15 * np.sin(28 * np.arctan2(y, x)) + 0.35 * smooth_step(0.15, 0.42, r) * (y < 0)
    iris = f32(person.eyes) * spokes[..., None]
    out = _mix(out, iris, smooth_step(0.44 + soft, 0.44 - soft, r))
    out = _mix(out, f32(person.eyes) * 0.25, smooth_step(0.1, 0.02, np.abs(r - 0.42)) * 0.6)
    out = _mix(out, (0.02, 0.02, 0.02), smooth_step(0.19 + soft, 0.19 - soft, r))
    glint = smooth_step(0.12 + soft, 0.12 - soft, np.hypot(x + 0.17, y - 0.2))
    return np.concatenate([_mix(out, (1, 1, 1), glint * 0.9), np.full((side, side, 1), EYE_GLOSS)], -1).astype(
        np.float32
    )


def _region(atlas: np.ndarray, region: Region) -> np.ndarray:
    size = len(atlas)
    x0, y0, x1, y1 = (int(c * size) for c in region)
    return atlas[y0:y1, x0:x1]


@lru_cache(maxsize=64)
def paint(person: Person, clothes: Clothes, level: int) -> np.ndarray:
    """[S, S, 4] uint8, S = SIZE >> level, row 0 at v = 0: sRGB colour and gloss."""
    ground = canvas(level)
    size = SIZE >> level
    atlas = np.empty((size, size, 4), np.float32)
    for region, painter in ((HEAD_UV, _face), (BODY_UV, _skin)):
        part, under = _region(atlas, region), ground.part(region)
        cloth = cloth_mask(clothes, under.point)
        part[..., :3] = _mix(painter(person, under), _cloth(clothes, under), cloth)
        part[..., 3] = SKIN_GLOSS * (1 - cloth)
    hair = _region(atlas, HAIR_UV)
    rows, columns = hair.shape[:2]
    streaks = _region(np.repeat(_noise(size, 128 >> max(0, level - 1))[:1], size, 0), (0, 0, 1, 1))[:rows, :columns]
    streaks = streaks + 0.5 * _region(ground.grain, HAIR_UV)
    hair[..., :3] = f32(person.hair.colour) * (1 + 0.28 * streaks[..., None])
    hair[..., 3] = HAIR_GLOSS
    eye = _eye(person, size // 2)
    _region(atlas, EYE_UV)[:] = eye.reshape(size // 2, size // 4, 2, 4).mean(2)
    plain = _region(atlas, PLAIN_UV)
    half_y, half_x = plain.shape[0] // 2, plain.shape[1] // 2
    plain[:half_y, :half_x] = (0.35, 0.13, 0.12, 0.1)
    plain[:half_y, half_x:, :3], plain[:half_y, half_x:, 3] = f32(person.skin) * [0.75, 0.55, 0.5], 0.1
    plain[half_y:, :, :3], plain[half_y:, :, 3] = (person.glasses.colour if person.glasses else (0, 0, 0)), 0.8
    return (atlas.clip(0, 1) * 255 + 0.5).astype(np.uint8)
