"""Launches the kernel. Importing this needs triton; nothing else of frame_ops does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import torch

from ..plan import BatchPlan, DevicePlans, Tile
from .kernel import resize_normalize_patchify_kernel
from .naive import MEAN, STD, normalization_table


@dataclass(frozen=True)
class Variant:
    """What a GPU may be tuned by; every variant computes the same bytes (README.md of kernels says what was tried)."""

    tile: Tile = field(default_factory=Tile)
    warps: int = 4
    unit: Literal["int8", "float16"] = "int8"


@cache
def device_plans(device: torch.device, stream: int) -> DevicePlans:
    """One for each stream, so that weights are never read before the copy that brings them."""
    return DevicePlans(device)


@cache
def normalization(device: torch.device, dtype: torch.dtype) -> tuple[str, torch.Tensor]:
    """How the kernel normalises, and the numbers for it.

    (value - m) * (1 / s) equals the division once rounded to a half precision, for all 768 arguments. Triton's
    interpreter truncates float32 to bfloat16 where a GPU rounds, so it looks the values up.
    """
    if device.type == "cpu":
        return "table", normalization_table(dtype)
    scale = 1.0 / (1 / 255)
    mean, std = torch.tensor(MEAN) * scale, torch.tensor(STD) * scale
    return "divide" if dtype == torch.float32 else "multiply", torch.stack([mean, 1 / std, std]).to(device)


def launch(clips_THWC: Sequence[torch.Tensor], plan: BatchPlan, patches: torch.Tensor, variant: Variant) -> None:
    """Fills patches [plan.rows, 1176] with the clips' patches, on the current stream of their device."""
    device = patches.device
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    norm, numbers = normalization(device, patches.dtype)
    resize_normalize_patchify_kernel[(plan.programs,)](
        patches,
        numbers,
        device_plans(device, stream).header(plan, clips_THWC),
        len(clips_THWC),
        LIMBS=plan.limbs,
        CHUNKED=plan.chunked,
        UNIT=variant.unit,
        NORM=norm,
        **{name.upper(): size for name, size in variant.tile._asdict().items()},
        num_warps=variant.warps,
    )
