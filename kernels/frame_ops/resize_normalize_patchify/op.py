"""The public op: uint8 frames to Qwen2.5-VL patches, on the CPU or a CUDA device."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..device import backend
from ..layout import CHANNELS, FACTOR, ROW
from ..taps import SEMANTICS, Semantics
from . import cpu, naive
from .smart_resize import grid_thw

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def resize_normalize_patchify(
    clips_THWC: Sequence[torch.Tensor],
    sizes: Sequence[tuple[int, int]],
    semantics: Semantics = "u8",
    dtype: torch.dtype = torch.float32,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Patches [sum of rows, 1176] in `dtype`, one clip after another, on the clips' device.

    clips_THWC: uint8 [T, H, W, 3] in 0..255, all on one device, of any sizes and strides. Pass a [T, 3, H, W] tensor as
    `frames.permute(0, 2, 3, 1)` and an image as a clip of one frame; nothing is copied first.
    sizes: (height, width) of each clip's resized frames, multiples of 28 (`smart_resize`); `grid_thw` of them gives the
    clip's number of rows.
    out: a contiguous buffer [at least as many rows, 1176] that is filled from its top; the result is a view of it.

    `u8` and `pillow` give the same bits on every device. Under `float`, fewer than 1 in 1000 bytes differ by one level
    between devices, where a float32 sum is close to the middle of two levels.

    On a CUDA device all work is on the current stream, and the frames may be freed right after the call. TypeError for
    something other than a uint8 tensor, ValueError for a shape or size that does not fit; both name the clip.
    """
    clips, device = _checked(clips_THWC, sizes, semantics, dtype)
    rows = 0
    for clip, (height, width) in zip(clips, sizes, strict=True):
        t, h, w = grid_thw(clip.shape[0], height, width)
        rows += t * h * w
    patches = _buffer(out, rows, dtype, device)
    implementation = backend(device)
    if implementation == "triton":
        _by_kernel(clips, sizes, semantics, patches)
    elif implementation == "cpu":
        cpu.fill(clips, sizes, semantics, patches)
    else:
        pairs = zip(clips, sizes, strict=True)
        parts = [naive.resize_normalize_patchify(clip.cpu(), *size, semantics, dtype) for clip, size in pairs]
        patches.copy_(torch.cat(parts))
    return patches


def _by_kernel(
    clips: Sequence[torch.Tensor], sizes: Sequence[tuple[int, int]], semantics: Semantics, patches: torch.Tensor
) -> None:
    from ..plan import Shape, plan_batch
    from .launch import launch, variant_for

    variant = variant_for(semantics)
    shapes = tuple(
        Shape(clip.shape[0], clip.shape[1], clip.shape[2], *size) for clip, size in zip(clips, sizes, strict=True)
    )
    plan = plan_batch(shapes, semantics, variant.tile)
    if patches.device.type != "cuda":
        launch(clips, plan, patches, variant)
        return
    with torch.cuda.device(patches.device):
        launch(clips, plan, patches, variant)
        stream = torch.cuda.current_stream()
        for clip in clips:
            # the caller's frames may come from another stream's memory, and be freed before the kernel has run
            clip.record_stream(stream)


def _checked(
    clips: Sequence[torch.Tensor], sizes: Sequence[tuple[int, int]], semantics: str, dtype: torch.dtype
) -> tuple[Sequence[torch.Tensor], torch.device]:
    if semantics not in SEMANTICS:
        raise ValueError(f"resize semantics are {', '.join(SEMANTICS)}, got {semantics!r}")
    if dtype not in DTYPES:
        raise ValueError(f"patches are float32, float16 or bfloat16, got {dtype}")
    if isinstance(clips, torch.Tensor) or not len(clips):
        raise ValueError("clips are a list of at least one [T, H, W, 3] tensor; wrap a single clip as [clip]")
    if len(sizes) != len(clips):
        raise ValueError(f"every clip has its size: {len(clips)} clips, {len(sizes)} sizes")
    for i, (clip, (height, width)) in enumerate(zip(clips, sizes, strict=True)):
        if not isinstance(clip, torch.Tensor):
            raise TypeError(
                f"clip {i}: frames are a torch tensor, got {type(clip).__name__}; torch.from_numpy shares memory"
            )
        if clip.dtype != torch.uint8:
            raise TypeError(f"clip {i}: frames are uint8 in 0..255, got {clip.dtype}")
        if clip.ndim != 4 or clip.shape[3] != CHANNELS or not clip.numel():
            hint = "; permute(0, 2, 3, 1) makes it so" if clip.ndim == 4 and clip.shape[1] == CHANNELS else ""
            raise ValueError(f"clip {i}: frames are [T, H, W, 3] with no empty side, got {list(clip.shape)}{hint}")
        if height < FACTOR or width < FACTOR or height % FACTOR or width % FACTOR:
            raise ValueError(
                f"clip {i}: sizes are positive multiples of {FACTOR}, got {height}x{width}; see smart_resize"
            )
        if clip.device != clips[0].device:
            raise ValueError(f"clip {i} is on {clip.device}, clip 0 on {clips[0].device}: one call, one device")
        if sum((size - 1) * stride for size, stride in zip(clip.shape[1:], clip.stride()[1:], strict=True)) >= 1 << 31:
            raise ValueError(
                f"clip {i}: a frame of {list(clip.shape[1:])} with strides {clip.stride()} spans over 2 GiB"
            )
    return clips, clips[0].device


def _buffer(out: torch.Tensor | None, rows: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    if out is None and device.type == "cpu":
        return cpu.empty(rows, dtype)
    if out is None:
        return torch.empty(rows, ROW, dtype=dtype, device=device)
    if out.dtype != dtype or out.device != device or out.shape[1:] != (ROW,) or not out.is_contiguous():
        raise ValueError(
            f"out is contiguous {dtype} [rows, {ROW}] on {device}, "
            f"got {out.dtype} {list(out.shape)} on {out.device}" + ("" if out.is_contiguous() else ", not contiguous")
        )
    if len(out) < rows:
        raise ValueError(f"out has {len(out)} rows, these clips need {rows}")
    return out[:rows]
