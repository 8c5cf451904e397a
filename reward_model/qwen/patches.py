"""Frames to patches of the vision tower: in the preprocessing threads for a model on the CPU, else on its device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from threading import Condition

import torch
from cachetools import LRUCache, cached

from frame_ops.layout import PATCH, ROW
from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify

from ..config import RewardModelConfig
from .runner.sequence import VisionClip


def packed_patches(
    clips: Sequence[VisionClip], config: RewardModelConfig, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Patches [sum of the clips' patches, 1176] in `dtype` on `device`, clips end to end.

    Clips that hold uint8 frames are resized here, one call of the op for each run of clips with the same rule.
    """
    packed = torch.empty(4 * sum(clip.num_tokens for clip in clips), ROW, device=device, dtype=dtype)
    start = 0
    for (raw, reference), run in groupby(clips, key=lambda clip: (clip.patches.dtype == torch.uint8, bool(clip.key))):
        run_clips = list(run)
        out = packed[start : start + 4 * sum(clip.num_tokens for clip in run_clips)]
        start += len(out)
        moved = [clip.patches.to(device, non_blocking=True) for clip in run_clips]
        if raw:
            rule = config.reference_pixels if reference else config.frame_pixels
            sizes = [(clip.grid[1] * PATCH, clip.grid[2] * PATCH) for clip in run_clips]
            resize_normalize_patchify(moved, sizes, rule.resize, dtype, out)
        else:
            torch.cat([patches.to(dtype) for patches in moved], out=out)
    return packed


class ReferencePatches:
    """Cache of prepared reference images by content, least recently used first out, within a budget of bytes.

    Several threads may request one image at once: it is prepared once, and an error is not cached.
    """

    def __init__(self, budget_bytes: int = 256 << 20) -> None:
        cache: LRUCache[str, torch.Tensor] = LRUCache(budget_bytes, getsizeof=lambda patches: patches.nbytes)
        self._get = cached(cache, key=lambda key, prepare: key, condition=Condition())(self._prepare)

    def get(self, key: str, prepare: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The tensor of that key, from `prepare` where it is not cached."""
        return self._get(key, prepare)

    @staticmethod
    def _prepare(key: str, prepare: Callable[[], torch.Tensor]) -> torch.Tensor:
        return prepare()
