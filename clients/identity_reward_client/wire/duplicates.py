"""Refusal of references that are the same image, by the service and by the fake client."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..errors import InvalidRequest
from ..messages import Image


def refuse_duplicates(references: Sequence[Image]) -> None:
    """Raise InvalidRequest if two references are the same image: each shows another person, so one is a mistake."""
    for (i, first), (j, second) in combinations(enumerate(references), 2):
        if _same_content(first, second):
            raise InvalidRequest(
                f"references {i} and {j} are the same image; each reference shows another person",
                details={"references": [i, j]},
            )


def _same_content(first: Image, second: Image) -> bool:
    if first.pixels is not None and second.pixels is not None:
        return first.pixels.shape == second.pixels.shape and _same_bytes(first.pixels.data, second.pixels.data)
    if first.data is not None and second.data is not None:
        return _same_bytes(first.data, second.data)
    return False


def _same_bytes(first: bytes | memoryview, second: bytes | memoryview) -> bool:
    return len(first) == len(second) and np.array_equal(np.frombuffer(first, np.uint8), np.frombuffer(second, np.uint8))
