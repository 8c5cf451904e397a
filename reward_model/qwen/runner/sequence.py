"""What the runner is given for one sample: tokens, positions, and the pictures and clips among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
import torch

from .windows import Grid


@dataclass(frozen=True, eq=False)
class Clip:
    """A picture or video as the vision tower takes it."""

    grid: Grid  # (temporal slices, height, width) in patches
    # [slices * height * width, 1176], normalised, any float dtype; or what the runner's `patches` makes them of
    patches: torch.Tensor
    start: int  # index of its first token; it has slices * height * width / 4 of them
    key: str | None = None  # content hash of pixels and preprocessing; None: not worth keeping (a generated video)

    @property
    def num_tokens(self) -> int:
        slices, height, width = self.grid
        return slices * height * width // 4


@dataclass(frozen=True, eq=False)
class TokenSequence:
    """Ends with the last reward token: what stands behind it cannot influence it, attention being causal."""

    token_ids: np.ndarray  # [L] int64
    positions: np.ndarray  # [3, L] int64: temporal, height and width ids of multimodal rotary embedding
    clips: tuple[Clip, ...]  # in the order of their tokens
    reward_indices: tuple[int, ...]  # where rewards are read, ascending; the last is L - 1

    def __len__(self) -> int:
        return len(self.token_ids)

    @cached_property
    def prefix_length(self) -> int:
        """Tokens before the first clip without a key: what other samples of the group can have in common.

        It follows from the sequence alone, so that a sample is computed alike by itself and in any company.
        """
        starts = [clip.start for clip in self.clips if clip.key is None]
        return min([*starts, self.reward_indices[0]])

    @cached_property
    def prefix_key(self) -> str:
        """Equal keys mean equal tokens, positions and pictures, and so equal keys and values in every layer."""
        length = self.prefix_length
        digest = sha256(np.ascontiguousarray(self.token_ids[:length]).tobytes())
        digest.update(np.ascontiguousarray(self.positions[:, :length]).tobytes())
        for clip in self.clips:
            if clip.start < length:
                digest.update(repr((clip.grid, clip.key)).encode())
        return digest.hexdigest()

    def clips_between(self, start: int, end: int) -> tuple[Clip, ...]:
        return tuple(clip for clip in self.clips if start <= clip.start < end)
