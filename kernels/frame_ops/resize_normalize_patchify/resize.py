"""Antialiased bicubic resize (a = -0.5) of uint8 frames in the arithmetic of three libraries, chosen by name.

`u8`      torch's uint8 kernel on a CPU: 16-bit weights, horizontal pass first, uint8 between the passes; what
          transformers 5 gives on a CPU.
`float`   torchvision's functional resize of a uint8 tensor: float32 passes, clamped, rounded half to even.
`pillow`  Pillow 10's `Image.resize`: 22-bit fixed-point weights, horizontal pass first, uint8 between the passes.
          Implemented here because other Pillow releases choose another order of passes, which changes bytes.
"""

from __future__ import annotations

import numpy as np
import torch

from ..taps import SEMANTICS, Semantics, axis_taps


def resize(frames_THWC: torch.Tensor, height: int, width: int, semantics: Semantics = "u8") -> torch.Tensor:
    """uint8 [T, H, W, C] to uint8 [T, height, width, C]; frames that have the size already are returned unchanged.

    ValueError for another dtype or shape, or unknown semantics.
    """
    if frames_THWC.dtype != torch.uint8 or frames_THWC.ndim != 4:
        raise ValueError(f"frames are uint8 [T, H, W, C], got {frames_THWC.dtype} {tuple(frames_THWC.shape)}")
    if semantics not in SEMANTICS:
        raise ValueError(f"resize semantics are {', '.join(SEMANTICS)}, got {semantics!r}")
    if tuple(frames_THWC.shape[1:3]) == (height, width):
        return frames_THWC
    if semantics == "pillow":
        wide = _fixed_point_pass(frames_THWC, 2, width)
        return _fixed_point_pass(wide, 1, height)
    # a permuted view is channels_last: torch's fastest layout for this kernel
    frames_TCHW = frames_THWC.permute(0, 3, 1, 2)
    if semantics == "u8":
        out = torch.nn.functional.interpolate(frames_TCHW, (height, width), mode="bicubic", antialias=True)
    else:
        out = torch.nn.functional.interpolate(frames_TCHW.float(), (height, width), mode="bicubic", antialias=True)
        out = out.clamp_(0, 255).round_().to(torch.uint8)
    return out.permute(0, 2, 3, 1)


def _fixed_point_pass(frames: torch.Tensor, dim: int, new_size: int) -> torch.Tensor:
    """uint8 frames with axis `dim` resized to `new_size`, in Pillow's fixed-point arithmetic."""
    size = frames.shape[dim]
    if size == new_size:
        return frames
    taps = axis_taps(size, new_size, "pillow")
    shape = [1] * frames.ndim
    shape[dim] = new_size
    total = torch.full((), 1 << (taps.shift - 1), dtype=torch.int32)
    for k in range(taps.weights.shape[1]):
        source = torch.from_numpy(np.minimum(taps.starts + k, size - 1))  # past the last tap the weight is 0
        weight = torch.from_numpy(taps.weights[:, k].copy()).view(shape)
        total = total + frames.index_select(dim, source).to(torch.int32) * weight
    return (total >> taps.shift).clamp_(0, 255).to(torch.uint8)
