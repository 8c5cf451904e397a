"""Input of the runner for one sample: tokens, positions, and the images and the video among the tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
import torch

from .windows import Grid


@dataclass(frozen=True, eq=False)
class VisionClip:
    """An image or a video as the vision tower reads it."""

    # (temporal slices, height, width) in patches
    grid: Grid
    # [slices * height * width, 1176], normalised, any float dtype; or the input of the runner's `patches` function
    patches: torch.Tensor
    # index of its first token; it has slices * height * width / 4 tokens
    start: int
    # content hash of pixels and preprocessing; None: not cached (a generated video)
    key: str | None = None

    @property
    def num_tokens(self) -> int:
        """Merged tokens: one for each 2 x 2 square of patches."""
        slices, height, width = self.grid
        return slices * height * width // 4


@dataclass(frozen=True, eq=False)
class TokenSequence:
    """The tokens of one sample, up to its last reward token: attention is causal, so later tokens have no influence."""

    token_ids: np.ndarray  # [L] int64
    positions: np.ndarray  # [3, L] int64: temporal, height and width ids of multimodal rotary embedding
    clips: tuple[VisionClip, ...]  # in the order of their tokens
    reward_indices: tuple[int, ...]  # of the reward tokens, ascending; the last is L - 1

    def __len__(self) -> int:
        return len(self.token_ids)

    @cached_property
    def prefix_length(self) -> int:
        """Number of tokens before the first clip without a key, which other samples of the group may share.

        It depends on the sequence alone, so that a sample is computed in the same way in every batch.
        """
        starts = [clip.start for clip in self.clips if clip.key is None]
        return min([*starts, self.reward_indices[0]])

    @cached_property
    def prefix_key(self) -> str:
        """Hash of the prefix: equal ones mean equal tokens, positions and images, so equal keys and values."""
        length = self.prefix_length
        digest = sha256(np.ascontiguousarray(self.token_ids[:length]).tobytes())
        digest.update(np.ascontiguousarray(self.positions[:, :length]).tobytes())
        for clip in self.clips:
            if clip.start < length:
                digest.update(repr((clip.grid, clip.key)).encode())
        return digest.hexdigest()

    def clips_between(self, start: int, end: int) -> tuple[VisionClip, ...]:
        """The clips whose first token is in [start, end)."""
        return tuple(clip for clip in self.clips if start <= clip.start < end)
