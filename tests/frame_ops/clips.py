"""Clips for tests of frame ops."""

import numpy as np
import torch


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random bytes, uint8."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
