"""Random generators keyed by names: values do not depend on earlier calls, on the process or on the platform."""

from __future__ import annotations

from hashlib import sha256

import numpy as np


def generator(*names: object) -> np.random.Generator:
    """Philox, a counter-based generator, keyed by sha256 over the names' text; a seed comes first as a rule."""
    digest = sha256("\0".join(map(str, names)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], np.uint64)))


def torch_seed(seed: int, *names: str | int) -> int:
    return int(generator(seed, "torch", *names).integers(0, 2**63 - 1))
