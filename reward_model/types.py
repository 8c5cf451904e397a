"""Decoded inputs and outputs of a reward model. Pixels are uint8 RGB."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np

from identity_reward_client.fields.warnings import ScoreWarning


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """Decoded reference images: one image a person, in the order in which the prompt names them.

    Its wire form is `identity_reward_client.messages.ReferenceSet`.
    """

    # each uint8 [H, W, 3]
    images: tuple[np.ndarray, ...]

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """A content hash for every image, by which scorers cache what they compute for it."""
        return tuple(
            sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
            for image in self.images
        )


@dataclass(frozen=True, eq=False)
class Video:
    """Decoded frames that the model's frame sampling selects, and their place in the source.

    Its wire form is `identity_reward_client.messages.Video`.
    """

    # uint8 [T, H, W, 3], T = len(frame_indices)
    frames_THWC: np.ndarray
    # frames per second of the source
    fps: float
    num_source_frames: int
    frame_indices: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """What one reward is computed from."""

    references: ReferenceSet
    video: Video
    prompt: str | None = None


# (height, width) in pixels; None: not known yet, which counts as the largest that a model accepts
Size = tuple[int, int] | None


@dataclass(frozen=True)
class Price:
    """Cost of a sample for a model, in tokens: `shared` is paid once a group, `own` once for every video."""

    shared: int
    own: int


@dataclass(frozen=True)
class CacheCount:
    """Counters of one cache of a scorer since it was loaded, and the bytes that it holds now."""

    name: str
    hits: int
    misses: int
    evictions: int
    num_bytes: int


@dataclass(frozen=True)
class Score:
    """A reward, whose scale is the model's own, and how it came about."""

    # finite
    reward: float
    # parts that the reward is made of, in JSON types; may be empty
    details: dict[str, Any] = field(default_factory=dict)
    # reasons to doubt the reward, which they do not change
    warnings: tuple[ScoreWarning, ...] = ()
    # disagreement of the model's members: the standard deviation of their rewards over the largest difference that is a
    # tie at theta 5 (`preference.tie_band` / preference_scale); None for a model without members
    spread: float | None = None
