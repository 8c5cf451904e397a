"""Frames to the vision tower's patches: in the preprocessing threads for a model on the CPU, else on its device."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import groupby

import torch

from frame_ops.resize_normalize_patchify.naive import ROW
from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import PATCH

from ..config import RewardModelConfig
from .runner.sequence import Clip


def packed_patches(
    clips: Sequence[Clip], config: RewardModelConfig, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """[sum of the clips' patches, 1176] on `device`, clips end to end: where they hold uint8 frames, one call of the op
    for each run of clips that are resized alike, straight into its place."""
    packed = torch.empty(4 * sum(clip.num_tokens for clip in clips), ROW, device=device, dtype=dtype)
    at = 0
    for (raw, reference), run in groupby(clips, key=lambda clip: (clip.patches.dtype == torch.uint8, bool(clip.key))):
        alike = list(run)
        out = packed[at : at + 4 * sum(clip.num_tokens for clip in alike)]
        at += len(out)
        moved = [clip.patches.to(device, non_blocking=True) for clip in alike]
        if raw:
            rule = config.reference_pixels if reference else config.frame_pixels
            sizes = [(clip.grid[1] * PATCH, clip.grid[2] * PATCH) for clip in alike]
            resize_normalize_patchify(moved, sizes, rule.resize, dtype, out)
        else:
            torch.cat([patches.to(dtype) for patches in moved], out=out)
    return packed


class ReferencePatches:
    """What was made of reference pictures, kept by content within a budget of bytes. Several threads may ask for one
    picture at once: it is made once."""

    def __init__(self, budget_bytes: int = 256 << 20):
        self.budget_bytes = budget_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._making: dict[str, Future[torch.Tensor]] = {}

    def get(self, key: str, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The tensor of that key, from `make` where it isn't kept; its error is every asker's."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            future = self._making.get(key)
            mine = future is None
            if future is None:
                future = self._making[key] = Future()
        if not mine:
            return future.result()
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                del self._making[key]
            future.set_exception(error)
            raise
        with self._lock:
            del self._making[key]
            self._kept[key] = made
            self._bytes += made.nbytes
            while self._bytes > self.budget_bytes:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        future.set_result(made)
        return made
