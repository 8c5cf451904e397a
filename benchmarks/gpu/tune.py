"""On a GPU: is the kernel right, and which variant is fastest (`resize_normalize_patchify --gpu-tune`)."""

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
from .patchify import (
    MAX_PIXELS,
    MIN_PIXELS,
    frames,
    graph_of,
    input_sets,
    kernel_calls,
    name_of,
    replay_seconds,
)

SHAPES = ((1, 33, 240, 416), (16, 33, 240, 416), (1, 10, 480, 832), (1, 81, 720, 1280))
SAME_SIZE = (1, 33, 252, 420)
BUDGET_S = 100.0
# (out_x, in_x, out_y, in_y), then the numbers of warps to try
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
    """The plain ones first; then what may help the better of them."""
    plain = [Variant(Tile(*tile), warps) for tile, choices in TILES.items() for warps in choices]
    small = [v for v in plain if v.tile.out_y <= 32]
    more = [replace(v, tile=v.tile._replace(frames=n)) for n, v in product((2, 4), small[:4])]
    more += [replace(v, tile=v.tile._replace(frames=2), prefetch=True) for v in small[:4]]
    more += [replace(v, registers=n) for n, v in product((96, 80), small[:1] + small[5:6])]
    halves = [replace(v, unit="float16") for v in small[:2] + small[-4:]]
    return [*plain, *more, *halves]


def label(variant: Variant) -> str:
    tile = variant.tile
    parts = [f"{tile.out_x}/{tile.in_x} {tile.out_y}/{tile.in_y} w{variant.warps} {variant.unit}"]
    parts += [f"frames {tile.frames}"] * (tile.frames > 1) + ["prefetch"] * variant.prefetch
    return " ".join(parts + [f"regs {variant.registers}"] * (variant.registers is not None))


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def mixed_batch() -> tuple[list[torch.Tensor], list[tuple[int, int]]]:
    """Up, down, far down, one axis, no resize; odd, one frame; both layouts, a slice, a plane that is repeated."""
    clips = [
        noise(3, 240, 416, 3),
        noise(2, 3, 240, 416).permute(0, 2, 3, 1),
        noise(7, 300, 500, 3)[1::2, 11:251, 40:456],
    ]
    clips += [noise(2, 252, 420, 3), noise(1, 1024, 1024, 3), noise(1, 2500, 3333, 3), noise(2, 252, 416, 3)]
    clips += [noise(1, 40, 1999, 3), noise(4, 31, 29, 3), noise(2, 90, 120, 1).expand(-1, -1, -1, 3)]
    return clips, [smart_resize(clip.shape[1], clip.shape[2], MIN_PIXELS, 399_360) for clip in clips]


def on_gpu(clip: torch.Tensor) -> torch.Tensor:
    """The same strides there, which .cuda() alone does not promise."""
    storage = torch.empty(0, dtype=torch.uint8).set_(clip.untyped_storage()).cuda()
    return storage.as_strided(clip.shape, clip.stride(), clip.storage_offset())


def check_everything() -> dict[str, float]:
    """Every dtype and semantics on the mixed batch against naive on the CPU; the share of `float` bytes that differ."""
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
                # the frames are freed as soon as the call is back
                got = resize_normalize_patchify([on_gpu(clip) for clip in clips], sizes, semantics, dtype, out)
            side.synchronize()
            differ = got.cpu() != expected
            wrong = differ.float().mean().item()
            each = [f"{part.float().mean().item():.1e}" for part in differ.split(rows)]
            what = f"{semantics} {dtype}: {wrong:.2e} of values differ from naive on the CPU, by clip {' '.join(each)}"
            print(what, flush=True)
            gate(bool(out[-1].isnan().all()), f"{what}, and rows past the last are written")
            if semantics != "float":
                gate(wrong == 0, what)
            else:
                worst = ((got.cpu().float() - expected.float()).abs().max() * min(naive.STD) * 255).item()
                gate(wrong < 1e-3 and worst < (1.01 if dtype == torch.float32 else 3), f"{what}, up to {worst} levels")
                shares["float_bytes_that_differ"] = wrong
    return shares


def warm(variant: Variant) -> str:
    """Compiles into the disk cache, in a process of its own."""
    options = {name.upper(): size for name, size in variant.tile._asdict().items()}
    try:
        resize_normalize_patchify_kernel.warmup(
            torch.bfloat16, torch.float32, torch.int64, 1, grid=(1,), LIMBS=2, CHUNKED=False, UNIT=variant.unit,
            NORM="multiply", PREFETCH=variant.prefetch, **options, num_warps=variant.warps, maxnreg=variant.registers,
        )  # fmt: skip
    except Exception as error:  # a variant that does not compile is a result too
        return f"{label(variant)}: {type(error).__name__}: {str(error)[:200]}"
    return ""


def sweep() -> list[Row]:
    """A row for each variant and shape, against the default; the fastest overall becomes the default of this run."""
    tried, begin = variants(), perf_counter()
    with ProcessPoolExecutor(8, multiprocessing.get_context("spawn")) as pool:
        failures = [message for message in pool.map(warm, tried) if message]
    print(*failures, f"{len(tried)} variants compiled in {perf_counter() - begin:.0f} s", sep="\n", flush=True)
    times: dict[Variant, list[float]] = {}
    begin = perf_counter()
    for variant in [launch.VARIANT, *tried]:
        if variant not in times and perf_counter() - begin < BUDGET_S:
            try:
                times[variant] = [_microseconds(variant, batch) for batch in SHAPES]
            except Exception as error:  # not enough shared memory, or wrong patches
                print(label(variant), type(error).__name__, str(error)[:120], flush=True)
    base = times[launch.VARIANT]
    order = sorted(times, key=lambda v: sum(mine / ours for mine, ours in zip(times[v], base, strict=True)))
    for variant in order:
        print(f"{label(variant):48}", *(f"{us:9.1f}" for us in times[variant]), flush=True)
    launch.VARIANT = order[0]
    print("this run goes on with", label(order[0]), flush=True)
    return [
        Row(f"tune {name_of(batch)} {label(variant)}", "us", "default variant", us, peer, round(peer / us, 3))
        for variant in order
        for batch, us, peer in zip(SHAPES, times[variant], base, strict=True)
    ] + _other_rows()


def _microseconds(variant: Variant, batch, semantics: Semantics = "u8", dtype: torch.dtype = torch.bfloat16) -> float:
    size = smart_resize(batch[2], batch[3], MIN_PIXELS, MAX_PIXELS)
    sets = input_sets(batch)
    calls = kernel_calls(sets, size, variant, semantics, dtype)
    graph = graph_of(calls)
    seconds = replay_seconds([graph], len(sets), rounds=7)[0]
    expected = resize_normalize_patchify(sets[-1], [size] * batch[0], semantics, dtype)
    gate(
        semantics == "float" or torch.equal(calls[-1].args[2], expected),
        f"{label(variant)} gives other patches than the default",
    )
    return round(median(seconds) * 1e6, 2)


def _other_rows() -> list[Row]:
    """Semantics, dtypes, no resize, and host time, with this run's variant."""
    batch, best = SHAPES[0], launch.VARIANT
    base = _microseconds(best, batch)
    done = []
    floats = [
        FLOAT_VARIANT,
        *(replace(FLOAT_VARIANT, tile=Tile(*tile)) for tile in ((32, 32, 32, 32), (64, 64, 16, 32))),
    ]
    others: list[tuple[Semantics, torch.dtype, Variant]] = [
        ("pillow", torch.bfloat16, best),
        ("u8", torch.float32, best),
        ("u8", torch.float32, VARIANT),
    ]
    for semantics, dtype, variant in others + [("float", torch.bfloat16, variant) for variant in floats]:
        us = _microseconds(variant, batch, semantics, dtype)
        name = f"gpu {name_of(batch)} {semantics} {str(dtype)[6:]}, {label(variant)}"
        done.append(Row(name, "us", "u8 bfloat16", us, base, round(base / us, 3)))
        print(name, us, flush=True)
    us = _microseconds(best, SAME_SIZE)
    done.append(Row("gpu 33x252x420 u8 bf16, no resize", "us", "33x240x416 u8 bf16", us, base, round(base / us, 3)))
    clips = [clip for _ in range(2) for clip in frames((8, 4, 240, 416))]
    shapes = tuple(Shape(4, 240, 416, 252, 420) for _ in clips)
    plans = launch.device_plans(clips[0].device, torch.cuda.current_stream().cuda_stream)
    host = []
    for _ in range(100):
        begin = perf_counter()
        plans.header(plan_batch(shapes, "u8", best.tile), clips)
        host.append(perf_counter() - begin)
        torch.cuda.synchronize()
    us = round(median(host) * 1e6, 1)
    return [*done, Row("host: plan of 16 clips, a hit", "us", "goal", us, 100.0, round(100 / us, 2), goal=1.0)]
