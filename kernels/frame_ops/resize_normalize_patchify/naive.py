"""The op in plain torch: the reference that every other implementation is measured against.

Bit-equal to transformers' Qwen2-VL processors on a CPU: resize in uint8, normalise through a table of the 256 values of
each channel, computed by the library's own arithmetic, and order the patches as the vision tower expects them.

Legend: T frames, H x W pixels, C = 3 channels.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from ..layout import CHANNELS, FACTOR, MERGE, PATCH, ROW, TEMPORAL_PATCH
from ..taps import Semantics
from .resize import resize

# OpenAI CLIP's, in every Qwen2.5-VL preprocessor_config.json
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def mean_and_std() -> tuple[torch.Tensor, torch.Tensor]:
    """float32 [3] each, for values of 0 to 255: in transformers' fused form, (value - mean) / std."""
    scale = 1.0 / (1 / 255)
    return torch.tensor(MEAN) * scale, torch.tensor(STD) * scale


@cache
def normalization_table(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """[3, 256]: the normalised value of each byte in each channel, rounded to `dtype` at the end."""
    mean, std = mean_and_std()
    return ((torch.arange(256, dtype=torch.float32)[None] - mean[:, None]) / std[:, None]).to(dtype)


def patchify(frames_THWC: torch.Tensor) -> torch.Tensor:
    """[rows, 1176] of the same dtype, from frames whose sides are multiples of 28; an odd last frame is repeated.

    Rows: temporal patch, then 2x2 blocks of patches row by row, then the four patches of a block.
    Columns: channel, frame of the pair, y, x.
    """
    if frames_THWC.shape[0] % TEMPORAL_PATCH:
        frames_THWC = torch.cat([frames_THWC, frames_THWC[-1:]])
    t, h, w, c = frames_THWC.shape
    pairs = t // TEMPORAL_PATCH, TEMPORAL_PATCH
    blocks = frames_THWC.reshape(*pairs, h // FACTOR, MERGE, PATCH, w // FACTOR, MERGE, PATCH, c)
    return blocks.permute(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(-1, ROW)


def resize_normalize_patchify(
    frames_THWC: torch.Tensor,
    height: int,
    width: int,
    semantics: Semantics = "u8",
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """[rows, 1176] in `dtype` of uint8 [T, H, W, 3] on the CPU, resized to `height` x `width` (see `smart_resize`).

    An image is a clip of one frame. `grid_thw` says how many patches there are along each axis. ValueError for frames
    of another shape, or sizes that are no multiples of 28.
    """
    if frames_THWC.ndim != 4 or frames_THWC.shape[-1] != 3 or not len(frames_THWC):
        raise ValueError(f"frames are uint8 [T, H, W, 3] with T >= 1, got {tuple(frames_THWC.shape)}")
    if height % FACTOR or width % FACTOR or height < FACTOR or width < FACTOR:
        raise ValueError(f"sizes are positive multiples of {FACTOR}, got {height}x{width}")
    rows = patchify(resize(frames_THWC, height, width, semantics)).view(-1, CHANNELS, ROW // CHANNELS).numpy()
    table = normalization_table(dtype)
    out = torch.empty(rows.shape, dtype=dtype)
    for channel in range(CHANNELS):
        out[:, channel] = table[channel][torch.from_numpy(rows[:, channel].astype(np.int32))]
    return out.view(-1, ROW)
