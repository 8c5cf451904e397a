"""Synthetic video clips of the size that the released GRPO trainer generates."""

from __future__ import annotations

import numpy as np
from PIL import Image

FRAMES, HEIGHT, WIDTH, FPS = 33, 240, 416, 10


def synthetic_clip(seed: int) -> np.ndarray:
    """uint8 [33, 240, 416, 3]: a textured image that moves diagonally.

    It compresses worse than a flat image and better than noise.
    """
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    wide = np.asarray(coarse.resize((WIDTH + FRAMES * 2, HEIGHT + FRAMES), Image.Resampling.BICUBIC))
    return np.stack([wide[n : n + HEIGHT, 2 * n : 2 * n + WIDTH] for n in range(FRAMES)])
