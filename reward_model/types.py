"""What a reward model looks at, decoded and ready. Pixels are uint8 RGB."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """One picture a person, in the order that the prompt names them."""

    images: tuple[np.ndarray, ...]  # each [H, W, 3] uint8

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """A content hash for every picture: what caches of features are keyed by."""
        return tuple(
            sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
            for image in self.images
        )


@dataclass(frozen=True, eq=False)
class Video:
    """The frames that the model's frame sampling picked, and where in the source they stand."""

    frames_THWC: np.ndarray  # uint8, T = len(frame_indices)
    fps: float  # of the source
    num_source_frames: int
    frame_indices: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    references: ReferenceSet
    video: Video
    prompt: str | None = None


# (height, width) in pixels, or None for a file that nobody has opened: it counts as the largest that a model takes
Size = tuple[int, int] | None


@dataclass(frozen=True)
class Price:
    """What a sample costs a model, in tokens: `shared` is paid once for a whole group, `own` by every video."""

    shared: int
    own: int


@dataclass(frozen=True)
class CacheCount:
    """What one cache of a scorer did since it was loaded."""

    name: str
    hits: int
    misses: int
    evictions: int
    num_bytes: int


@dataclass(frozen=True)
class Score:
    reward: float
    # what the reward is made of (JSON types only); models that have nothing to say leave it empty
    details: dict[str, Any] = field(default_factory=dict)
