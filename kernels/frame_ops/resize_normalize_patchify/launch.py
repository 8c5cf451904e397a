"""Launches the kernel. Only `kernel.py`, which this module imports, and `tile.py` import triton."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import torch

from ..plan import BatchPlan, DevicePlans, Tile
from ..taps import Semantics
from .kernel import resize_normalize_patchify_kernel
from .naive import mean_and_std, normalization_table


@dataclass(frozen=True)
class Variant:
    """Tuning parameters of a launch; every variant computes the same bytes (kernels/README.md lists what was tried)."""

    tile: Tile = field(default_factory=Tile)
    warps: int = 4
    # the matrix units that compute the sums of `u8` and `pillow`
    unit: Literal["int8", "float16"] = "int8"
    prefetch: bool = False
    # the compiler's limit of registers per thread; None: `register_limit` decides
    registers: int | None = None


VARIANT = Variant()
# float32 products have no matrix units, and want a smaller tile for the registers
FLOAT_VARIANT = Variant(Tile(out_x=32))


# Registers per thread for clips with extreme scales, where a variant names no limit. Without it the compiler aims at
# three blocks of 128 threads per multiprocessor (168 registers) and spills two of them.
CHUNKED_REGISTERS = 224


def variant_for(semantics: Semantics) -> Variant:
    """The variant that the op launches."""
    return FLOAT_VARIANT if semantics == "float" else VARIANT


def register_limit(variant: Variant, chunked: bool) -> int | None:
    """Registers per thread for a launch; `chunked`: some block reads more than one chunk of inputs."""
    return CHUNKED_REGISTERS if chunked and variant.registers is None else variant.registers


@cache
def device_plans(device: torch.device, stream: int) -> DevicePlans:
    """The plans of one stream: a stream of its own never reads weights before their copy has ended."""
    return DevicePlans(device)


@cache
def normalization(device: torch.device, dtype: torch.dtype) -> tuple[str, torch.Tensor]:
    """(how the kernel normalises, the numbers for it): "table" [3, 256], else float32 [3, 3] of means, 1 / stds, stds.

    (value - m) * (1 / s) equals the division once rounded to a half precision, for all 768 arguments. Triton's
    interpreter truncates float32 to bfloat16 where a GPU rounds, so it looks the values up.
    """
    if device.type == "cpu":
        return "table", normalization_table(dtype)
    mean, std = mean_and_std()
    return "divide" if dtype == torch.float32 else "multiply", torch.stack([mean, 1 / std, std]).to(device)


def launch(clips_THWC: Sequence[torch.Tensor], plan: BatchPlan, patches: torch.Tensor, variant: Variant) -> None:
    """Fills patches [plan.rows, 1176] with the clips' patches, on the current stream of their device."""
    device = patches.device
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    run(device_plans(device, stream).header(plan, clips_THWC), plan, patches, variant)


def run(header: torch.Tensor, plan: BatchPlan, patches: torch.Tensor, variant: Variant) -> None:
    """Launches the kernel with a header that is on the device."""
    norm, numbers = normalization(patches.device, patches.dtype)
    resize_normalize_patchify_kernel[(plan.programs,)](
        patches,
        numbers,
        header,
        len(plan.shapes),
        LIMBS=plan.limbs,
        CHUNKED=plan.chunked,
        UNIT=variant.unit,
        NORM=norm,
        PREFETCH=variant.prefetch,
        **{name.upper(): size for name, size in variant.tile._asdict().items()},
        num_warps=variant.warps,
        maxnreg=register_limit(variant, plan.chunked),
    )
