"""Frames to the vision tower's patches: in the preprocessing threads for a model on the CPU, else on its device."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

import torch

from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import PATCH

from .config import RewardModelConfig
from .runner.sequence import Clip, TokenSequence


def on_device(
    sequences: Sequence[TokenSequence], config: RewardModelConfig, device: torch.device, dtype: torch.dtype
) -> list[TokenSequence]:
    """The sequences with patches where they hold uint8 frames: one call of the op for each kind of resize.

    Clips of equal key, as a group's references are, are made once.
    """
    waiting: dict[object, Clip] = {}
    for sequence in sequences:
        for clip in sequence.clips:
            if clip.patches.dtype == torch.uint8:
                waiting.setdefault(_identity(clip), clip)
    made: dict[object, torch.Tensor] = {}
    for references, rule in ((True, config.reference_pixels), (False, config.frame_pixels)):
        todo = {key: clip for key, clip in waiting.items() if (clip.key is not None) is references}
        if todo:
            sizes = [(clip.grid[1] * PATCH, clip.grid[2] * PATCH) for clip in todo.values()]
            frames = [clip.patches.to(device, non_blocking=True) for clip in todo.values()]
            rows = resize_normalize_patchify(frames, sizes, rule.resize, dtype)
            parts = rows.split([4 * clip.num_tokens for clip in todo.values()])
            made.update(zip(todo, parts, strict=True))
    return [
        replace(s, clips=tuple(replace(c, patches=made.get(_identity(c), c.patches)) for c in s.clips))
        for s in sequences
    ]


def _identity(clip: Clip) -> object:
    return clip.key if clip.key is not None else id(clip)


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
