"""Correctness of the `resize_normalize_patchify` kernel on a GPU, and the fastest of its variants.

`python -m benchmarks.resize_normalize_patchify --gpu-tune` times every variant (tile, warps, prefetch, registers, dtype
of the products) against the default variant. Each must give the patches of the default variant.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from statistics import median
from time import perf_counter

import torch

from frame_ops.plan import Shape, Tile, plan_batch
from frame_ops.resize_normalize_patchify import launch, naive
from frame_ops.resize_normalize_patchify.kernel import resize_normalize_patchify_kernel
from frame_ops.resize_normalize_patchify.launch import FLOAT_VARIANT, VARIANT, Variant
from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import smart_resize
from frame_ops.taps import Semantics

from ..support.harness import Row, gate
from .capture import (
    MAX_PIXELS,
    MIN_PIXELS,
    Batch,
    capture_graph,
    input_sets,
    kernel_calls,
    name_of,
    random_clips,
    replay_seconds,
)

BATCHES: tuple[Batch, ...] = ((1, 33, 240, 416), (16, 33, 240, 416), (1, 10, 480, 832), (1, 81, 720, 1280))
SAME_SIZE: Batch = (1, 33, 252, 420)
TIME_LIMIT_S = 100.0
# tile (out_x, in_x, out_y, in_y) -> numbers of warps
TILES = {
    (64, 64, 32, 32): (4, 8),
    (64, 64, 64, 64): (4, 8),
    (64, 64, 16, 32): (4,),
    (64, 128, 32, 64): (4, 8),
    (64, 64, 32, 64): (4, 8),
    (128, 128, 32, 32): (4, 8),
    (128, 128, 64, 64): (8,),
    (32, 32, 32, 32): (1, 2, 4),
    (32, 64, 32, 32): (2, 4),
    (32, 64, 32, 64): (2, 4),
    (32, 64, 64, 64): (4,),
    (32, 64, 16, 32): (2, 4),
}


def variants() -> list[Variant]:
    """All tiles and numbers of warps, then further options on a few of them."""
    plain = [Variant(Tile(*tile), warps) for tile, choices in TILES.items() for warps in choices]
    small = [v for v in plain if v.tile.out_y <= 32]
    more = [replace(v, tile=v.tile._replace(frames=n)) for n, v in product((2, 4), small[:4])]
    more += [replace(v, tile=v.tile._replace(frames=2), prefetch=True) for v in small[:4]]
    more += [replace(v, registers=n) for n, v in product((96, 80), small[:1] + small[5:6])]
    halves = [replace(v, unit="float16") for v in small[:2] + small[-4:]]
    return [*plain, *more, *halves]


def label(variant: Variant) -> str:
    """The name of a variant in reports, e.g. "64/64 32/32 w4 int8"."""
    tile = variant.tile
    parts = [f"{tile.out_x}/{tile.in_x} {tile.out_y}/{tile.in_y} w{variant.warps} {variant.unit}"]
    parts += [f"frames {tile.frames}"] * (tile.frames > 1) + ["prefetch"] * variant.prefetch
    return " ".join(parts + [f"regs {variant.registers}"] * (variant.registers is not None))


def noise(*shape: int) -> torch.Tensor:
    """Random uint8 values."""
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def mixed_batch() -> tuple[list[torch.Tensor], list[tuple[int, int]]]:
    """Clips and output sizes for the correctness check.

    They cover enlarging, reducing by small and large factors, one axis only and no resize; odd and single frames; both
    channel layouts, strided slices and expanded channels.
    """
    clips = [
        noise(3, 240, 416, 3),
        noise(2, 3, 240, 416).permute(0, 2, 3, 1),
        noise(7, 300, 500, 3)[1::2, 11:251, 40:456],
    ]
    clips += [noise(2, 252, 420, 3), noise(1, 1024, 1024, 3), noise(1, 2500, 3333, 3), noise(2, 252, 416, 3)]
    clips += [noise(1, 40, 1999, 3), noise(4, 31, 29, 3), noise(2, 90, 120, 1).expand(-1, -1, -1, 3)]
    return clips, [smart_resize(clip.shape[1], clip.shape[2], MIN_PIXELS, 399_360) for clip in clips]


def on_gpu(clip: torch.Tensor) -> torch.Tensor:
    """A copy on the GPU with the same strides, which `.cuda()` does not guarantee."""
    storage = torch.empty(0, dtype=torch.uint8).set_(clip.untyped_storage()).cuda()
    return storage.as_strided(clip.shape, clip.stride(), clip.storage_offset())


def check_correctness() -> dict[str, float]:
    """Compare every dtype and semantics with `naive` on the CPU; exits if they differ.

    `u8` and `pillow` must be bit-equal. With `float`, fewer than 0.1 % of the values may differ, by about one level in
    float32 and three in half precision.

    Returns:
        The share of `float` values that differ.
    """
    clips, sizes = mixed_batch()
    shares = {}
    for semantics in ("u8", "pillow", "float"):
        exact = [
            naive.resize_normalize_patchify(clip, *size, semantics) for clip, size in zip(clips, sizes, strict=True)
        ]
        rows = [len(patches) for patches in exact]
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            expected = torch.cat(exact).to(dtype)
            out = torch.full((len(expected) + 1, 1176), float("nan"), dtype=dtype, device="cuda")
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                # the frames are freed as soon as the call returns
                result = resize_normalize_patchify([on_gpu(clip) for clip in clips], sizes, semantics, dtype, out)
            side.synchronize()
            differ = result.cpu() != expected
            share = differ.float().mean().item()
            by_clip = [f"{part.float().mean().item():.1e}" for part in differ.split(rows)]
            message = (
                f"{semantics} {dtype}: {share:.2e} of values differ from naive on the CPU, by clip {' '.join(by_clip)}"
            )
            print(message, flush=True)
            gate(bool(out[-1].isnan().all()), f"{message}, and rows after the last are written")
            if semantics != "float":
                gate(share == 0, message)
            else:
                max_levels = ((result.cpu().float() - expected.float()).abs().max() * min(naive.STD) * 255).item()
                gate(
                    share < 1e-3 and max_levels < (1.01 if dtype == torch.float32 else 3),
                    f"{message}, up to {max_levels} levels",
                )
                shares["float_bytes_that_differ"] = share
    return shares


def compile_variant(variant: Variant) -> str:
    """Compile a variant into the disk cache of Triton; returns the error message, or nothing."""
    options = {name.upper(): size for name, size in variant.tile._asdict().items()}
    try:
        resize_normalize_patchify_kernel.warmup(
            torch.bfloat16, torch.float32, torch.int64, 1, grid=(1,), LIMBS=2, CHUNKED=False, UNIT=variant.unit,
            NORM="multiply", PREFETCH=variant.prefetch, **options, num_warps=variant.warps, maxnreg=variant.registers,
        )  # fmt: skip
    except Exception as error:  # the other variants are still measured
        return f"{label(variant)}: {type(error).__name__}: {str(error)[:200]}"
    return ""


def sweep() -> list[Row]:
    """Time each variant on each batch against the default; the fastest becomes the default of this process."""
    candidates, begin = variants(), perf_counter()
    with ProcessPoolExecutor(8, multiprocessing.get_context("spawn")) as pool:
        errors = [message for message in pool.map(compile_variant, candidates) if message]
    print(*errors, f"{len(candidates)} variants compiled in {perf_counter() - begin:.0f} s", sep="\n", flush=True)
    times: dict[Variant, list[float]] = {}
    begin = perf_counter()
    for variant in [launch.VARIANT, *candidates]:
        if variant not in times and perf_counter() - begin < TIME_LIMIT_S:
            try:
                times[variant] = [_microseconds(variant, batch) for batch in BATCHES]
            except Exception as error:  # for example too little shared memory
                print(label(variant), type(error).__name__, str(error)[:120], flush=True)
    base = times[launch.VARIANT]
    order = sorted(times, key=lambda v: sum(us / base_us for us, base_us in zip(times[v], base, strict=True)))
    for variant in order:
        print(f"{label(variant):48}", *(f"{us:9.1f}" for us in times[variant]), flush=True)
    launch.VARIANT = order[0]
    print("default variant from here on:", label(order[0]), flush=True)
    return [
        Row(f"tune {name_of(batch)} {label(variant)}", "us", "default variant", us, peer, round(peer / us, 3))
        for variant in order
        for batch, us, peer in zip(BATCHES, times[variant], base, strict=True)
    ] + _other_rows()


def _microseconds(
    variant: Variant, batch: Batch, semantics: Semantics = "u8", dtype: torch.dtype = torch.bfloat16
) -> float:
    size = smart_resize(batch[2], batch[3], MIN_PIXELS, MAX_PIXELS)
    sets = input_sets(batch)
    calls = kernel_calls(sets, size, variant, semantics, dtype)
    graph = capture_graph(calls)
    seconds = replay_seconds([graph], len(sets), rounds=7)[0]
    expected = resize_normalize_patchify(sets[-1], [size] * batch[0], semantics, dtype)
    gate(
        semantics == "float" or torch.equal(calls[-1].args[2], expected),
        f"the patches of {label(variant)} differ from those of the default",
    )
    return round(median(seconds) * 1e6, 2)


def _other_rows() -> list[Row]:
    """Times of the other semantics and dtypes, without resize, and on the host, with the fastest variant."""
    batch, best = BATCHES[0], launch.VARIANT
    base = _microseconds(best, batch)
    result = []
    float_variants = [
        FLOAT_VARIANT,
        *(replace(FLOAT_VARIANT, tile=Tile(*tile)) for tile in ((32, 32, 32, 32), (64, 64, 16, 32))),
    ]
    others: list[tuple[Semantics, torch.dtype, Variant]] = [
        ("pillow", torch.bfloat16, best),
        ("u8", torch.float32, best),
        ("u8", torch.float32, VARIANT),
    ]
    for semantics, dtype, variant in others + [("float", torch.bfloat16, variant) for variant in float_variants]:
        us = _microseconds(variant, batch, semantics, dtype)
        name = f"gpu {name_of(batch)} {semantics} {str(dtype)[6:]}, {label(variant)}"
        result.append(Row(name, "us", "u8 bfloat16", us, base, round(base / us, 3)))
        print(name, us, flush=True)
    us = _microseconds(best, SAME_SIZE)
    result.append(Row("gpu 33x252x420 u8 bf16, no resize", "us", "33x240x416 u8 bf16", us, base, round(base / us, 3)))
    clips = [clip for _ in range(2) for clip in random_clips((8, 4, 240, 416))]
    shapes = tuple(Shape(4, 240, 416, 252, 420) for _ in clips)
    plans = launch.device_plans(clips[0].device, torch.cuda.current_stream().cuda_stream)
    host_s = []
    for _ in range(100):
        begin = perf_counter()
        plans.header(plan_batch(shapes, "u8", best.tile), clips)
        host_s.append(perf_counter() - begin)
        torch.cuda.synchronize()
    us = round(median(host_s) * 1e6, 1)
    return [*result, Row("host: plan of 16 clips, a hit", "us", "goal", us, 100.0, round(100 / us, 2), goal=1.0)]
