"""Rasterizer in numpy: which triangle covers each sample of a grid, and the weights of its corners.

Suffixes: F triangles, C their 3 corners, D the axes x and y; K triangles of one chunk, R and S rows and columns of the
square of samples around each of them.
"""

from __future__ import annotations

import numpy as np

# triangles are handled in groups by the side of the square of samples that they may cover
TIERS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
# samples that are tested at once
CHUNK_SAMPLES = 1 << 21


def rasterize(corners_FCD: np.ndarray, depth_FC: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The front triangle of every sample and its corners' weights.

    corners_FCD [F, 3, 2] in samples (sample i, j is the point i + 0.5, j + 0.5); depth_FC [F, 3], larger in front. At
    equal depth the later triangle wins.

    Returns triangle_HW int32 (-1 for none) and weights_HWC [H, W, 3] float32, which sum to 1 where there is a triangle.
    """
    corners = corners_FCD.astype(np.float64)
    low = np.ceil(corners.min(1) - 0.5).clip(0, None).astype(np.int64)
    high = np.floor(corners.max(1) - 0.5).astype(np.int64)
    high = np.minimum(high, [width - 1, height - 1])
    span = (high - low + 1).max(1)
    inside = (high >= low).all(1)
    indices: list[np.ndarray] = []
    triangles: list[np.ndarray] = []
    depths: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for below, tier in zip((0, *TIERS), TIERS, strict=False):
        selected = np.flatnonzero(inside & (span > below) & (span <= tier))
        step = max(1, CHUNK_SAMPLES // (tier * tier))
        side = min(tier, max(width, height))
        for start in range(0, len(selected), step):
            covered = _covered_samples(corners, depth_FC, low, selected[start : start + step], side, width, height)
            for parts, values in zip((indices, triangles, depths, weights), covered, strict=True):
                parts.append(values)
    triangle, weight = np.full(width * height, -1, np.int32), np.zeros((width * height, 3), np.float32)
    if indices:
        index, owner, depth, share = (np.concatenate(parts) for parts in (indices, triangles, depths, weights))
        order = np.lexsort((owner, depth))
        triangle[index[order]] = owner[order]
        weight[index[order]] = share[order]
    return triangle.reshape(height, width), weight.reshape(height, width, 3)


def _covered_samples(
    corners: np.ndarray, depth_FC: np.ndarray, low: np.ndarray, selected: np.ndarray, side: int, width: int, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Samples that the selected triangles cover: (index in the grid, triangle, depth, corners' weights [.., 3]).

    `low`: [F, 2] the first sample of each triangle's bounding box, of at most `side` samples.
    """
    grid = np.arange(side)
    x_KRS = (low[selected, 0, None] + grid)[:, None, :] + 0 * grid[None, :, None]
    y_KRS = (low[selected, 1, None] + grid)[:, :, None] + 0 * grid[None, None, :]
    a, b, c = (corners[selected, i][:, None, None] for i in range(3))

    def edge(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Twice the signed area between the edge from p to q and each sample."""
        return (q[..., 0] - p[..., 0]) * (y_KRS + 0.5 - p[..., 1]) - (q[..., 1] - p[..., 1]) * (x_KRS + 0.5 - p[..., 0])

    areas = np.stack([edge(b, c), edge(c, a), edge(a, b)], -1)
    total = areas.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = areas / total[..., None]
    covered = (share >= 0).all(-1) & (np.abs(total) > 1e-12) & (x_KRS < width) & (y_KRS < height)
    number, row, column = np.nonzero(covered)
    share = share[number, row, column]
    owner = selected[number]
    depth = (share * depth_FC[owner]).sum(-1)
    index = (y_KRS * width + x_KRS)[number, row, column]
    return index, owner.astype(np.int32), depth, share.astype(np.float32)
