"""Random draws that depend on a seed and names alone: never on what was drawn before, on a process or on a platform."""

from __future__ import annotations

from hashlib import sha256

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Philox, keyed by sha256 over the seed and the names."""
    digest = sha256(repr((int(seed), *names)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], np.uint64)))


def torch_seed(seed: int, *names: str | int) -> int:
    return int(generator(seed, "torch", *names).integers(0, 2**63 - 1))
