"""Triangles over a grid of samples, in numpy: which triangle is in front, and the weights of its corners."""

import numpy as np

TIERS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
CHUNK = 1 << 21


def rasterize(corners_FCD: np.ndarray, depth_FC: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """corners_FCD [F, 3, 2] in samples (sample i, j is the point i + 0.5, j + 0.5), depth_FC [F, 3], larger in front.

    Returns triangle_HW int32 (-1: none) and weights_HW3 float32, the shares of the corners. At equal depth the later
    triangle wins.
    """
    corners = corners_FCD.astype(np.float64)
    low = np.ceil(corners.min(1) - 0.5).clip(0, None).astype(np.int64)
    high = np.floor(corners.max(1) - 0.5).astype(np.int64)
    high = np.minimum(high, [width - 1, height - 1])
    span = (high - low + 1).max(1)
    seen = (high >= low).all(1)
    indices: list[np.ndarray] = []
    triangles: list[np.ndarray] = []
    depths: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for below, tier in zip((0, *TIERS), TIERS, strict=False):
        chosen = np.flatnonzero(seen & (span > below) & (span <= tier))
        step = max(1, CHUNK // (tier * tier))
        for start in range(0, len(chosen), step):
            found = _cover(
                corners, depth_FC, low, chosen[start : start + step], min(tier, max(width, height)), width, height
            )
            for kept, values in zip((indices, triangles, depths, weights), found, strict=True):
                kept.append(values)
    triangle, weight = np.full(width * height, -1, np.int32), np.zeros((width * height, 3), np.float32)
    if indices:
        index, owner, depth, share = (np.concatenate(kept) for kept in (indices, triangles, depths, weights))
        order = np.lexsort((owner, depth))
        triangle[index[order]] = owner[order]
        weight[index[order]] = share[order]
    return triangle.reshape(height, width), weight.reshape(height, width, 3)


def _cover(corners, depth_FC, low, chosen, tier, width, height):
    grid = np.arange(tier)
    x = (low[chosen, 0, None] + grid)[:, None, :] + 0 * grid[None, :, None]
    y = (low[chosen, 1, None] + grid)[:, :, None] + 0 * grid[None, None, :]
    a, b, c = (corners[chosen, i][:, None, None] for i in range(3))

    def edge(p, q):
        return (q[..., 0] - p[..., 0]) * (y + 0.5 - p[..., 1]) - (q[..., 1] - p[..., 1]) * (x + 0.5 - p[..., 0])

    areas = np.stack([edge(b, c), edge(c, a), edge(a, b)], -1)
    total = areas.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = areas / total[..., None]
    inside = (share >= 0).all(-1) & (np.abs(total) > 1e-12) & (x < width) & (y < height)
    which, row, column = np.nonzero(inside)
    share = share[which, row, column]
    owner = chosen[which]
    depth = (share * depth_FC[owner]).sum(-1)
    return (y * width + x)[which, row, column], owner.astype(np.int32), depth, share.astype(np.float32)
