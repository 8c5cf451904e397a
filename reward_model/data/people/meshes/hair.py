"""Hair as a sheet laid over the skull, from the crown down to the hairline; long styles hang down from there.

The sheet is a grid of columns round the skull (angle 0 in front, in degrees) and rows downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ..appearance.person import Hair, HairStyle
from .basis import HAIR_UV, SKIN, Basis, atlas_position, f32, load_basis
from .raster import rasterize
from .textured_mesh import TexturedMesh, grid_faces

# of the mean person's skull, in metres
CENTRE = f32([0.0, 0.80, 0.045])
COLUMNS, ROWS, HANGING = 72, 15, 8
ELEVATIONS = np.arange(-70, 90, 2.0)

# the hairline: angle from the front -> elevation about CENTRE
LINE_ANGLES = (0, 25, 42, 56, 66, 74, 83, 90, 112, 122, 145, 180)
LINE_ELEVATIONS = (44, 43, 38, 27, 12, -4, -4, 12, 12, -18, -38, -44)


@dataclass(frozen=True)
class Cut:
    """A hair cut. Millimetres: thickness on top, at the sides and at the edge; hang: shortest and longest length below
    the ears. bumps: relative variation of the thickness. fringe: whether hair may come down the forehead."""

    top: float
    side: float
    edge: float
    hang: tuple[float, float] | None = None
    bumps: float = 0.06
    fringe: bool = True


CUTS: dict[HairStyle, Cut] = {
    "buzz": Cut(2.5, 2.0, 0.6, bumps=0.0, fringe=False),
    "short": Cut(16, 8, 2.0, bumps=0.12),
    "parted": Cut(19, 10, 2.5, bumps=0.06),
    "curly": Cut(32, 26, 7.0, bumps=0.3, fringe=False),
    "bob": Cut(15, 17, 6.0, hang=(35, 75)),
    "long": Cut(14, 16, 6.0, hang=(130, 230)),
    "bun": Cut(8, 6, 1.2, bumps=0.05, fringe=False),
    "ponytail": Cut(9, 6, 1.2, bumps=0.05, fringe=False),
}


def hairline(angle: np.ndarray) -> np.ndarray:
    """Elevation in degrees of the natural hairline at the angle from the front, both sides alike."""
    return np.interp(np.abs(angle), LINE_ANGLES, LINE_ELEVATIONS)


def angles_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(angle from the front, elevation) in degrees about CENTRE of points [.., 3] on the mean person."""
    x, y, z = np.moveaxis(points - CENTRE, -1, 0)
    return np.degrees(np.arctan2(x, z)), np.degrees(np.arctan2(y, np.hypot(x, z)))


@cache
def _skull() -> tuple[np.ndarray, np.ndarray]:
    """Where rays from CENTRE meet the mean person's skin: vertices [COLUMNS, E, 3] of triangles, and their weights."""
    basis = load_basis()
    faces = basis.faces[(basis.part == SKIN) & ~basis.on_body]
    angle, elevation = angles_of(basis.points[faces])
    radius = np.linalg.norm(basis.points[faces] - CENTRE, axis=-1)
    angle = np.where((np.ptp(angle, axis=1) > 180)[:, None] & (angle < 0), angle + 360, angle)
    narrow = np.ptp(angle, axis=1) < 120
    faces, angle, elevation, radius = faces[narrow], angle[narrow], elevation[narrow], radius[narrow]
    step = 360 / COLUMNS
    corners, depth = np.stack([(angle + 180) / step, (elevation + 71) / 2], -1), -radius
    corners = np.concatenate([corners, corners - [COLUMNS, 0]])
    triangle, share = rasterize(corners, np.concatenate([depth, depth]), COLUMNS, len(ELEVATIONS))
    triangle, share = triangle.T, np.swapaxes(share, 0, 1)
    # rows that no ray met (the very top, below the neck) take from the row before, or after
    for i in range(1, len(ELEVATIONS)):
        gap = triangle[:, i] < 0
        triangle[gap, i], share[gap, i] = triangle[gap, i - 1], share[gap, i - 1]
    for i in range(len(ELEVATIONS) - 2, -1, -1):
        gap = triangle[:, i] < 0
        triangle[gap, i], share[gap, i] = triangle[gap, i + 1], share[gap, i + 1]
    return faces[triangle % len(faces)], share


def _ellipsoid(centre: np.ndarray, radii: np.ndarray, rings: int = 12) -> TexturedMesh:
    u, v = np.meshgrid(np.linspace(0, 1, 2 * rings + 1), np.linspace(0, 1, rings + 1), indexing="ij")
    theta, phi = 2 * np.pi * u, np.pi * v
    unit = np.stack([np.sin(phi) * np.sin(theta), np.cos(phi), np.sin(phi) * np.cos(theta)], -1)
    return TexturedMesh(
        (centre + unit * radii).reshape(-1, 3), grid_faces(*u.shape), atlas_position(HAIR_UV, u, v).reshape(-1, 2)
    )


def _hairline_of(hair: Hair, cut: Cut, angle: np.ndarray, front: np.ndarray) -> np.ndarray:
    """[COLUMNS + 1] elevation of the lower edge of the sheet; `front`: 1 over the forehead, 0 at the sides and back."""
    line = hairline(angle)
    if cut.fringe:
        sweep = 7 * np.sin(np.radians(angle * 2.2 + 40)) + 2.5 * np.sin(np.radians(angle * 11))
        line = line - np.clip(front * 1.4, 0, 1) * np.clip(hair.fringe * 36 - 12, 0, None) * (1 + 0.03 * sweep)
    if cut.hang:
        line = front * line + (1 - front) * np.minimum(line, -4)
    return line


def _thickness_mm(
    hair: Hair, cut: Cut, points: np.ndarray, out: np.ndarray, turn: np.ndarray, centre: np.ndarray, front: np.ndarray
) -> np.ndarray:
    """[COLUMNS + 1, ROWS] over the skull's `points`. out: unit vectors away from it; turn: columns' angles [.., 1]."""
    t = np.linspace(0, 1, ROWS)
    up = np.clip(out[..., 1], 0, 1)
    rim = np.clip((1 - t) / 0.25, 0, 1) ** 0.6
    thick = cut.side + (cut.top - cut.side) * up + 4 * hair.length * up
    wave = np.sin(9 * turn + 3 * t) * np.sin(5 * turn - 7 * t + 1) + 0.6 * np.sin(23 * turn + 17 * t) * np.sin(
        31 * t + 2
    )
    thick = thick * (1 + cut.bumps * wave)
    if hair.style == "parted":
        parting = np.exp(-(((points[..., 0] - 0.028) / 0.007) ** 2))
        thick = thick * (1 - 0.8 * parting * (points[..., 2] > centre[2] - 0.02))
    keep = (1 - front)[:, None] if cut.hang else 0.0
    return cut.edge + (thick - cut.edge) * np.maximum(rim, keep)


def _hanging_rows(
    hair: Hair, hang_mm: tuple[float, float], edge: np.ndarray, out: np.ndarray, angle: np.ndarray, front: np.ndarray
) -> np.ndarray:
    """[COLUMNS + 1, HANGING, 3] rows below the sheet's lower edge [COLUMNS + 1, 1, 3]."""
    turn = np.radians(angle)
    length = (hang_mm[0] + (hang_mm[1] - hang_mm[0]) * hair.length) * 1e-3 * (1 - front)
    length = length * (1 + 0.05 * np.sin(13 * turn) + 0.03 * np.sin(29 * turn))
    drop = np.linspace(0, 1, HANGING + 1)[1:]
    hung = np.repeat(edge, HANGING, 1)
    hung[..., 1] -= length[:, None] * drop
    flat = out * [1, 0, 1]
    bell = np.sin(np.pi * np.clip(drop, 0, 1)) * 0.006 - 0.012 * drop**2
    hung += flat * (bell * (1 - front)[:, None])[..., None]
    back = np.clip(np.abs(angle) - 110, 0, 40)[:, None] / 40
    hung[..., 2] -= back * (0.035 * np.sin(np.pi / 2 * drop)) * (length[:, None] > 0.1)
    return hung


def _sheet(hair: Hair, cut: Cut, surface: np.ndarray, centre: np.ndarray) -> TexturedMesh:
    """`surface` [COLUMNS, E, 3]: the skull's points by column and elevation."""
    angle = np.linspace(-180, 180, COLUMNS + 1) + 180 / COLUMNS
    front = np.clip((62 - np.abs(angle)) / 14, 0, 1)
    line = _hairline_of(hair, cut, angle, front)
    elevation = 88 - (88 - line[:, None]) * np.linspace(0, 1, ROWS)
    # the surface at these elevations, column by column
    row = np.clip((elevation - ELEVATIONS[0]) / 2, 0, len(ELEVATIONS) - 1.001)
    below, share = row.astype(int), (row % 1)[..., None]
    columns = np.arange(COLUMNS + 1)[:, None] % COLUMNS
    points = surface[columns, below] * (1 - share) + surface[columns, below + 1] * share
    out = points - centre
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    thick = _thickness_mm(hair, cut, points, out, np.radians(angle)[:, None], centre, front)
    points = points + out * thick[..., None] * 1e-3
    points[:, 0] = points[:COLUMNS, 0].mean(0)
    if cut.hang:
        hung = _hanging_rows(hair, cut.hang, points[:, -1:], out[:, -1:], angle, front)
        points = np.concatenate([points, hung], 1)
    rows = points.shape[1]
    u, v = np.broadcast_arrays(np.linspace(0, 1, COLUMNS + 1)[:, None], 1 - np.linspace(0, 1, rows))
    faces = grid_faces(COLUMNS + 1, rows)
    return TexturedMesh(points.reshape(-1, 3), faces, atlas_position(HAIR_UV, u, v).reshape(-1, 2))


def _ponytail(root: np.ndarray, length: float) -> TexturedMesh:
    """A tube that leaves the back of the head at `root` and hangs down by `length` metres."""
    s, around = np.linspace(0, 1, 16), np.linspace(0, 2 * np.pi, 15)
    path = root + np.stack(
        [0 * s, 0.03 * np.sin(np.pi * s) - length * s**1.3, -0.055 * np.sin(np.pi / 2 * np.minimum(2 * s, 1))], -1
    )
    radius = 0.026 * (np.sin(np.pi * np.clip(s * 0.8 + 0.16, 0, 1)) ** 0.7)[:, None]
    radius[-1] = 0
    ring = np.stack([np.cos(around), 0 * around, np.sin(around)], -1)
    points = path[None] + ring[:, None] * radius[None, :, :]
    columns, rows = points.shape[:2]
    u, v = np.broadcast_arrays(np.linspace(0, 1, columns)[:, None], 1 - s)
    faces = grid_faces(columns, rows, clockwise=True)
    return TexturedMesh(points.reshape(-1, 3), faces, atlas_position(HAIR_UV, u, v).reshape(-1, 2))


def hair_mesh(hair: Hair, neutral: np.ndarray, basis: Basis) -> TexturedMesh:
    """Fitted to the face at rest `neutral` [V + 4, 3]; empty for a bald person."""
    if hair.style == "bald":
        return TexturedMesh.empty()
    vertices, share = _skull()
    surface = (neutral[vertices] * share[..., None]).sum(2)
    ear_level = surface[:, ELEVATIONS.searchsorted(0)]
    centre = 0.5 * (ear_level.max(0) + ear_level.min(0))
    pieces = [_sheet(hair, CUTS[hair.style], surface, centre)]
    back = surface[0]
    if hair.style == "bun":
        radius = 0.03 + 0.014 * hair.length
        middle = back[ELEVATIONS.searchsorted(48)] + f32([0, 0.5, -0.4]) * radius
        pieces.append(_ellipsoid(middle, f32([1.1, 0.95, 1.0]) * radius))
    if hair.style == "ponytail":
        pieces.append(_ponytail(back[ELEVATIONS.searchsorted(24)], 0.12 + 0.14 * hair.length))
    return TexturedMesh.join(pieces)
