"""The op on a CPU, several times faster than the library's processor and bit-equal to it.

What saves time: torch's uint8 interpolation is fastest on the decoder's own [T, H, W, 3] layout, so frames are passed
as a permuted view; patches are put in order while they are cast, one pair of frames at a time, which stays in the
cache, and normalised in place.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..taps import Semantics
from .naive import MEAN, STD
from .resize import resize


def fill(
    clips_THWC: Sequence[torch.Tensor], sizes: Sequence[tuple[int, int]], semantics: Semantics, patches: torch.Tensor
) -> None:
    """Writes the clips' patches into [sum of rows, 1176], one clip after another."""
    row = 0
    for clip, (height, width) in zip(clips_THWC, sizes, strict=True):
        rows = (len(clip) + 1) // 2 * (height // 14) * (width // 14)
        _fill_clip(resize(clip, height, width, semantics), patches[row : row + rows])
        row += rows


def _fill_clip(frames_THWC: torch.Tensor, patches: torch.Tensor) -> None:
    frames, height, width, _ = frames_THWC.shape
    scale = 1.0 / (1 / 255)
    mean, std = torch.tensor(MEAN) * scale, torch.tensor(STD) * scale
    mean, std = mean.repeat_interleave(392), std.repeat_interleave(392)
    per_pair = height // 14 * (width // 14)
    scratch = torch.empty(per_pair, 1176)
    for pair in range((frames + 1) // 2):
        two = frames_THWC[2 * pair : 2 * pair + 2]
        two = two.expand(2, -1, -1, -1) if len(two) == 1 else two
        blocks = two.reshape(2, height // 28, 2, 14, width // 28, 2, 14, 3).permute(1, 4, 2, 5, 7, 0, 3, 6)
        target = patches[pair * per_pair : (pair + 1) * per_pair]
        done = target if target.dtype == torch.float32 else scratch
        done.view(blocks.shape).copy_(blocks)
        torch.div(done.sub_(mean), std, out=done)
        if done is scratch:
            target.copy_(done)
